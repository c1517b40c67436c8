//! Quotas of users: what they have, what they are about to have, and the reservation of more.
//!
//! Bytes are reserved before they are taken. An upload reserves them in its row, and an attempt in
//! the row of its job, for the archive. Each reservation is made in a transaction that has locked
//! its user and counts all others, so quotas are exact with any number of processes. When a video
//! or an archive is complete, its size takes the place of the reservation in the same transaction.
//! The reservation of an attempt ends with its lease, that of an upload with its row.

use std::ops::RangeInclusive;
use std::time::Duration;

use jobs::{JobId, State, Time, UserId};
use sea_orm::sea_query::{CaseStatement, Expr, ExprTrait, Query, UnionType};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    QuerySelect,
};

use crate::bounded::Transaction;
use crate::change::is_held;
use crate::claim::Claim;
use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::rows::{accepted_job, counter_change, job, upload, user_usage};
use crate::uploads::{RECEIVING, UPLOAD_LIFETIME};

/// Time within which accepted jobs count for [`Quotas::jobs_per_hour`](crate::Quotas).
pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// Resources that a user uses or has reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Number of jobs that wait or run, and of videos that are being received.
    pub unfinished_jobs: u64,
    /// Size of the stored videos and archives in bytes, with the reservations for others.
    pub stored_bytes: u64,
}

/// Result of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservation {
    /// So many bytes are reserved in addition.
    Granted(u64),
    /// Nothing is reserved in addition.
    Refused(Refusal),
}

/// Reason why nothing is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The user does not exist anymore.
    UnknownUser,
    /// The upload was abandoned, or the claim does not hold.
    Ended,
    /// The user has this number of unfinished jobs.
    UnfinishedJobs(u64),
    /// Too many jobs of the user were accepted within an hour. This is the time until the first of
    /// them does not count anymore.
    JobsPerHour(Duration),
    /// The user has used up and reserved this number of bytes.
    StoredBytes(u64),
}

/// Row that holds a reservation.
#[derive(Clone, Copy)]
enum Target<'a> {
    Upload(JobId),
    /// Job as it was claimed.
    Archive(&'a Job),
}

impl Target<'_> {
    /// Add to the reservation. Return whether it still exists.
    async fn extend(self, on: &impl ConnectionTrait, bytes: u64) -> Result<bool, Error> {
        let extended = match self {
            Self::Upload(id) => {
                let reserved = Expr::col(upload::Column::ReservedBytes).add(signed(bytes));
                upload::Entity::update_many()
                    .col_expr(upload::Column::ReservedBytes, reserved)
                    .filter(upload::Column::Id.eq(id.0))
                    .filter(upload::Column::State.eq(RECEIVING))
                    .exec(on)
                    .await?
            }
            Self::Archive(held) => {
                let reserved = Expr::col(job::Column::ReservedBytes).add(signed(bytes));
                job::Entity::update_many()
                    .col_expr(job::Column::ReservedBytes, reserved)
                    .filter(is_held(held))
                    .exec(on)
                    .await?
            }
        };
        Ok(extended.rows_affected > 0)
    }
}

impl Database {
    /// Resources that a user uses or has reserved.
    pub async fn usage(&self, user: UserId) -> Result<Usage, Error> {
        usage(&self.read, user).await
    }

    /// Check whether a user may begin an upload of this size in bytes. Others may begin before this
    /// one does, so it reserves nothing.
    pub async fn check_quotas(&self, user: UserId, bytes: u64) -> Result<Option<Refusal>, Error> {
        let usage = usage(&self.read, user).await?;
        if let Some(refusal) = self.refuse_job(&self.read, user, usage).await? {
            return Ok(Some(refusal));
        }
        let left = self.rules.quotas.stored_bytes.saturating_sub(usage.stored_bytes);
        Ok((bytes > left).then_some(Refusal::StoredBytes(usage.stored_bytes)))
    }

    /// Record that a video is going to be received, as one more unfinished job, and reserve bytes
    /// for it: as many as are left, within a range.
    pub async fn begin_upload(
        &self,
        user: UserId,
        id: JobId,
        key: &str,
        bytes: RangeInclusive<u64>,
    ) -> Result<Reservation, Error> {
        let transaction = self.begin().await?;
        let until = self.now() + UPLOAD_LIFETIME;
        let reservation = self.record_upload(&transaction, user, id, key, bytes, until).await?;
        if matches!(reservation, Reservation::Granted(_)) {
            transaction.commit().await?;
        }
        Ok(reservation)
    }

    /// Record an upload that expires at a time, and reserve bytes for it, unless it is refused.
    pub(crate) async fn record_upload(
        &self,
        transaction: &Transaction,
        user: UserId,
        id: JobId,
        key: &str,
        bytes: RangeInclusive<u64>,
        expires_at: Time,
    ) -> Result<Reservation, Error> {
        if !self.lock_user(transaction, user).await? {
            return Ok(Reservation::Refused(Refusal::UnknownUser));
        }
        let usage = usage(transaction, user).await?;
        if let Some(refusal) = self.refuse_job(transaction, user, usage).await? {
            return Ok(Reservation::Refused(refusal));
        }
        let reservation = self.grant(usage, &bytes);
        if let Reservation::Granted(bytes) = reservation {
            let row = upload::ActiveModel {
                id: ActiveValue::Set(id.0),
                user_id: ActiveValue::Set(user.0),
                key: ActiveValue::Set(key.to_owned()),
                state: ActiveValue::Set(RECEIVING.to_owned()),
                expires_at: ActiveValue::Set(expires_at),
                reserved_bytes: ActiveValue::Set(signed(bytes)),
                ..Default::default()
            };
            row.insert(transaction).await?;
        }
        Ok(reservation)
    }

    /// Reserve further bytes for an upload: as many as are left, within a range.
    pub async fn extend_upload(
        &self,
        user: UserId,
        id: JobId,
        bytes: RangeInclusive<u64>,
    ) -> Result<Reservation, Error> {
        self.extend(user, Target::Upload(id), &bytes).await
    }

    /// Reduce the reservation of an upload to the size of its video in bytes, which is stored now.
    pub async fn settle_upload(&self, id: JobId, size_bytes: u64) -> Result<(), Error> {
        upload::Entity::update_many()
            .col_expr(upload::Column::ReservedBytes, Expr::value(signed(size_bytes)))
            .filter(upload::Column::Id.eq(id.0))
            .filter(upload::Column::State.eq(RECEIVING))
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Reserve further bytes for the archive of an attempt: as many as are left, within a range.
    pub async fn extend_archive(
        &self,
        claim: &Claim,
        bytes: RangeInclusive<u64>,
    ) -> Result<Reservation, Error> {
        self.extend(claim.job.user_id, Target::Archive(&claim.job), &bytes).await
    }

    async fn extend(
        &self,
        user: UserId,
        target: Target<'_>,
        bytes: &RangeInclusive<u64>,
    ) -> Result<Reservation, Error> {
        let transaction = self.begin().await?;
        if !self.lock_user(&transaction, user).await? {
            return Ok(Reservation::Refused(Refusal::UnknownUser));
        }
        let reservation = self.grant(usage(&transaction, user).await?, bytes);
        if let Reservation::Granted(bytes) = reservation {
            if !target.extend(&transaction, bytes).await? {
                return Ok(Reservation::Refused(Refusal::Ended));
            }
            transaction.commit().await?;
        }
        Ok(reservation)
    }

    /// Grant as many bytes of a range as are left.
    fn grant(&self, usage: Usage, bytes: &RangeInclusive<u64>) -> Reservation {
        let left = self.rules.quotas.stored_bytes.saturating_sub(usage.stored_bytes);
        if *bytes.start() > left {
            return Reservation::Refused(Refusal::StoredBytes(usage.stored_bytes));
        }
        Reservation::Granted(Ord::min(left, *bytes.end()))
    }

    /// Reason to refuse another job of a user, apart from its size.
    async fn refuse_job(
        &self,
        on: &impl ConnectionTrait,
        user: UserId,
        usage: Usage,
    ) -> Result<Option<Refusal>, Error> {
        let quotas = self.rules.quotas;
        if usage.unfinished_jobs >= quotas.unfinished_jobs {
            return Ok(Some(Refusal::UnfinishedJobs(usage.unfinished_jobs)));
        }
        let now = self.now();
        let accepted = accepted_job::Entity::find()
            .select_only()
            .expr_as(Expr::col(accepted_job::Column::Id).count(), "jobs")
            .expr_as(Expr::col(accepted_job::Column::AcceptedAt).min(), "first")
            .filter(accepted_job::Column::UserId.eq(user.0))
            .filter(accepted_job::Column::AcceptedAt.gt(now - HOUR));
        let accepted: Option<(i64, Option<Time>)> = accepted.into_tuple().one(on).await?;
        let (accepted, first) = accepted.unwrap_or_default();
        // Each video that is being received may become a job.
        let receiving: Option<i64> = upload::Entity::find()
            .select_only()
            .expr_as(Expr::col(upload::Column::Id).count(), "uploads")
            .filter(upload::Column::UserId.eq(user.0))
            .filter(upload::Column::State.eq(RECEIVING))
            .into_tuple()
            .one(on)
            .await?;
        let jobs = accepted.saturating_add(receiving.unwrap_or_default());
        if u64::try_from(jobs).unwrap_or_default() < quotas.jobs_per_hour {
            return Ok(None);
        }
        let left = first.and_then(|first| (first + HOUR - now).to_std().ok());
        Ok(Some(Refusal::JobsPerHour(left.unwrap_or(Duration::from_mins(1)))))
    }
}

/// Resources that a user uses or has reserved.
async fn usage(on: &impl ConnectionTrait, user: UserId) -> Result<Usage, Error> {
    // One statement, hence one snapshot: adding up moves changes from one table to the other, and
    // reservations become changes.
    let changes = Query::select()
        .columns([counter_change::Column::UnfinishedJobs, counter_change::Column::StoredBytes])
        .from(counter_change::Entity)
        .and_where(counter_change::Column::UserId.eq(user.0))
        .to_owned();
    let is_receiving = CaseStatement::new()
        .case(upload::Column::State.eq(RECEIVING), Expr::value(1_i64))
        .finally(Expr::value(0_i64));
    let uploads = Query::select()
        .expr(is_receiving)
        .column(upload::Column::ReservedBytes)
        .from(upload::Entity)
        .and_where(upload::Column::UserId.eq(user.0))
        .to_owned();
    let running = Query::select()
        .expr(Expr::value(0_i64))
        .column(job::Column::ReservedBytes)
        .from(job::Entity)
        .and_where(job::Column::UserId.eq(user.0))
        .and_where(job::Column::Status.eq(State::Processing.name()))
        .and_where(job::Column::LeaseUntil.is_not_null())
        .to_owned();
    let all = Query::select()
        .columns([user_usage::Column::UnfinishedJobs, user_usage::Column::StoredBytes])
        .from(user_usage::Entity)
        .and_where(user_usage::Column::UserId.eq(user.0))
        .union(UnionType::All, changes)
        .union(UnionType::All, uploads)
        .union(UnionType::All, running)
        .to_owned();
    let sum = |column: &'static str| Expr::expr(Expr::col(column).sum()).cast_as("bigint");
    let total = Query::select()
        .expr_as(sum("unfinished_jobs"), "unfinished_jobs")
        .expr_as(sum("stored_bytes"), "stored_bytes")
        .from_subquery(all, "changes")
        .to_owned();
    let Some(row) = on.query_one(&total).await? else { return Ok(Usage::default()) };
    let get = |column| -> Result<u64, Error> {
        let sum: Option<i64> = row.try_get("", column)?;
        Ok(sum.unwrap_or_default().try_into().unwrap_or_default())
    };
    Ok(Usage { unfinished_jobs: get("unfinished_jobs")?, stored_bytes: get("stored_bytes")? })
}

/// The number for a column; the largest one if it is out of range.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
