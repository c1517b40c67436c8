//! Notifications: one row for each outcome of a job that a user is told of, whatever the broker
//! repeats.

use std::time::Duration;

use jobs::{JobId, State, Time, UserId};
use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType, OnConflict, Query};
use sea_orm::{ActiveValue, ColumnTrait, EntityTrait, Order, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::rows::{job, notification, only};
use crate::users::User;
use crate::{Database, Error, Job, operator};

pub(crate) const PENDING: &str = "PENDING";
const SENT: &str = "SENT";
const FAILED: &str = "FAILED";

/// A mail that is due.
#[derive(Debug, Clone)]
pub struct Due {
    /// Names the notification; the same in every attempt.
    pub id: Uuid,
    /// The job as it is now.
    pub job: Job,
    /// Who is to be told.
    pub user: User,
    /// Attempts so far, this one included.
    pub attempts: u32,
    /// When the outcome was noted.
    pub created_at: Time,
}

impl Database {
    /// Note that a user has to be told of an outcome. Once is enough: a repetition does nothing.
    pub async fn notify(&self, job: JobId, event_type: &str) -> Result<(), Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        // Locked, so that no operator puts the job back between this look and the note.
        let known = job::Entity::find_by_id(job.0).lock(LockType::Share).one(&transaction).await?;
        let Some(known) = known else {
            // Its user has deleted it in the meantime and knows.
            return Ok(());
        };
        if event_type == operator::OUTCOME && known.status != State::Failed.name() {
            // An operator has put it back in the meantime, so this is no outcome any more.
            return Ok(());
        }
        let row = notification::ActiveModel {
            id: ActiveValue::Set(Uuid::now_v7()),
            job_id: ActiveValue::Set(job.0),
            event_type: ActiveValue::Set(event_type.to_owned()),
            status: ActiveValue::Set(PENDING.to_owned()),
            attempts: ActiveValue::Set(0),
            created_at: ActiveValue::Set(now),
            next_attempt_at: ActiveValue::Set(now),
            sent_at: ActiveValue::Set(None),
            last_error: ActiveValue::Set(None),
        };
        let once =
            OnConflict::columns([notification::Column::JobId, notification::Column::EventType])
                .do_nothing()
                .to_owned();
        notification::Entity::insert(row)
            .on_conflict(once)
            .exec_without_returning(&transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Take mails that are due. Whoever has taken them has `hold` to send them; then they are due
    /// again.
    pub async fn take_notifications(&self, most: u64, hold: Duration) -> Result<Vec<Due>, Error> {
        let now = self.now();
        let due = Query::select()
            .column(notification::Column::Id)
            .from(notification::Entity)
            .cond_where(
                notification::Column::Status
                    .eq(PENDING)
                    .and(notification::Column::NextAttemptAt.lte(now)),
            )
            .order_by(notification::Column::NextAttemptAt, Order::Asc)
            .limit(most)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .to_owned();
        let update = notification::Entity::update_many()
            .col_expr(notification::Column::NextAttemptAt, Expr::value(now + hold))
            .col_expr(
                notification::Column::Attempts,
                Expr::col(notification::Column::Attempts).add(1),
            );
        let rows =
            only(update, notification::Column::Id, due).exec_with_returning(&self.write).await?;
        let mut mails = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(job) = self.job(JobId(row.job_id)).await? else { continue };
            let Some(user) = self.user(UserId(job.user_id.0)).await? else { continue };
            mails.push(Due {
                id: row.id,
                job,
                user,
                attempts: row.attempts as u32,
                created_at: row.created_at,
            });
        }
        Ok(mails)
    }

    /// The mail is out.
    pub async fn notification_sent(&self, id: Uuid) -> Result<(), Error> {
        let now = self.now();
        notification::Entity::update_many()
            .col_expr(notification::Column::Status, Expr::value(SENT))
            .col_expr(notification::Column::SentAt, Expr::value(now))
            .filter(notification::Column::Id.eq(id))
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// The mail could not be sent. It is tried again after `pause`; without one it is kept as
    /// failed.
    pub async fn notification_failed(
        &self,
        id: Uuid,
        error: &str,
        pause: Option<Duration>,
    ) -> Result<(), Error> {
        let status = if pause.is_some() { PENDING } else { FAILED };
        notification::Entity::update_many()
            .col_expr(notification::Column::Status, Expr::value(status))
            .col_expr(
                notification::Column::NextAttemptAt,
                Expr::value(self.now() + pause.unwrap_or_default()),
            )
            .col_expr(notification::Column::LastError, Expr::value(error))
            .filter(notification::Column::Id.eq(id))
            .exec(&self.write)
            .await?;
        Ok(())
    }
}
