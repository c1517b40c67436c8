//! Delivery to webhooks: what is due, and the results of tries.
//!
//! A process takes a delivery for a while, like a [notification](crate::notifications). The number
//! of its tries identifies who holds it: a process that was frozen meanwhile changes nothing.

use std::time::Duration;

use fail::fail_point;
use jobs::{JobId, Time, UserId};
use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, Order, QueryFilter, QuerySelect, UpdateMany,
};
use tracing::warn;
use uuid::Uuid;

use crate::account_mails::AccountMailKind;
use crate::bounded::Transaction;
use crate::connection::Database;
use crate::error::Error;
use crate::rows::{equals_constant, restrict_to, user, webhook, webhook_delivery};
use crate::users::{User, lock_user};
use crate::webhooks::{
    DELIVERED, DisabledBecause, FAILED, PENDING, Webhook, delete_deliveries, end_deliveries, ids_of,
};

/// Time for which all deliveries of a webhook have to fail until it is disabled.
const MAX_FAILING: Duration = Duration::from_hours(5 * 24);

/// Time between two failures after which the first one does not count. Longer than the longest
/// pause between two tries.
const FORGIVEN_AFTER: Duration = Duration::from_hours(36);

/// Time for which finished deliveries are kept.
const KEPT_FOR: Duration = Duration::from_hours(30 * 24);

/// Number of finished deliveries of a webhook that are kept at most.
const MAX_KEPT: i64 = 1000;

/// Number of due deliveries among which users and hosts are looked for, the oldest ones: a backlog
/// does not slow every query down.
const LOOKED_AT: u64 = 1000;

/// User and host to which something is due.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DueHost {
    /// User of the webhooks.
    pub user: UserId,
    /// Host of their URLs.
    pub host: String,
}

/// Delivery that was taken.
#[derive(Debug, Clone)]
pub struct DueDelivery {
    /// Id of the delivery, equal in all tries.
    pub id: Uuid,
    /// Webhook.
    pub webhook: Webhook,
    /// Job, unless it is a test.
    pub job: Option<JobId>,
    /// Trace context of the job.
    pub traceparent: Option<String>,
    /// Name of the event.
    pub event: String,
    /// Body, equal in all tries.
    pub body: String,
    /// Number of tries, including this one.
    pub tries: u32,
    /// Number of failed tries since the delivery was asked for.
    pub failures: u32,
}

impl DueDelivery {
    fn new(row: webhook_delivery::Model, webhook: Webhook) -> Self {
        Self {
            id: row.id,
            webhook,
            job: row.job_id.map(JobId),
            traceparent: row.traceparent,
            event: row.event_type,
            body: row.body,
            tries: row.tries as u32,
            failures: row.failures as u32,
        }
    }
}

/// Answer to a try, and the code of its error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TryResult {
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// First bytes of the answer's body.
    pub body: Option<String>,
    /// Code of the error; `None` if the receiver accepted the delivery.
    pub error_code: Option<&'static str>,
}

/// What follows a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// Another try after this pause.
    Retry(Duration),
    /// Nothing.
    GiveUp,
    /// Nothing, to the webhook, until its user enables it again: its receiver is gone.
    Disable,
}

impl Database {
    /// At most `limit` pairs of a user and a host to which something is due, those first that wait
    /// for the longest time. Leaves out users and hosts that are busy.
    pub async fn due_webhook_hosts(
        &self,
        busy_users: &[UserId],
        busy_hosts: &[String],
        limit: u64,
    ) -> Result<Vec<DueHost>, Error> {
        let (user, host) = (webhook_delivery::Column::UserId, webhook_delivery::Column::Host);
        let mut oldest = Query::select()
            .columns([user, host, webhook_delivery::Column::NextAttemptAt])
            .from(webhook_delivery::Entity)
            .and_where(equals_constant(webhook_delivery::Column::Status, PENDING))
            .and_where(webhook_delivery::Column::NextAttemptAt.lte(self.now()))
            .order_by(webhook_delivery::Column::NextAttemptAt, Order::Asc)
            .limit(LOOKED_AT)
            .to_owned();
        if !busy_users.is_empty() {
            oldest.and_where(user.is_not_in(busy_users.iter().map(|user| user.0)));
        }
        if !busy_hosts.is_empty() {
            oldest.and_where(host.is_not_in(busy_hosts.iter().map(String::as_str)));
        }
        let query = Query::select()
            .columns(["user_id", "host"])
            .from_subquery(oldest, "oldest")
            .group_by_columns(["user_id", "host"])
            .order_by_expr(Expr::col("next_attempt_at").min(), Order::Asc)
            .limit(limit)
            .to_owned();
        let rows = self.read.query_all(&query).await?;
        let due = rows.into_iter().map(|row| -> Result<DueHost, Error> {
            let user: Uuid = row.try_get("", "user_id")?;
            Ok(DueHost { user: UserId(user), host: row.try_get("", "host")? })
        });
        due.collect()
    }

    /// Reserve at most `limit` deliveries to a host of a user that are due, and return them. The
    /// caller has to send them within `hold`; after that they are due again.
    pub async fn take_webhook_deliveries(
        &self,
        due: &DueHost,
        limit: u64,
        hold: Duration,
    ) -> Result<Vec<DueDelivery>, Error> {
        let now = self.now();
        let user = user::Entity::find_by_id(due.user.0).filter(user::Column::IsActive.eq(true));
        let is_active = user.one(&self.read).await?.is_some();
        let is_due = equals_constant(webhook_delivery::Column::Status, PENDING)
            .and(webhook_delivery::Column::UserId.eq(due.user.0))
            .and(webhook_delivery::Column::Host.eq(due.host.as_str()))
            .and(webhook_delivery::Column::NextAttemptAt.lte(now));
        let chosen = Query::select()
            .column(webhook_delivery::Column::Id)
            .from(webhook_delivery::Entity)
            .cond_where(is_due)
            .order_by(webhook_delivery::Column::NextAttemptAt, Order::Asc)
            .limit(limit)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .to_owned();
        let tries = webhook_delivery::Column::Tries;
        let update = webhook_delivery::Entity::update_many()
            .col_expr(webhook_delivery::Column::NextAttemptAt, Expr::value(now + hold))
            .col_expr(tries, Expr::col(tries).add(1));
        let rows = restrict_to(update, webhook_delivery::Column::Id, chosen)
            .exec_with_returning(&self.write)
            .await?;
        let mut taken = Vec::with_capacity(rows.len());
        for row in rows {
            match self.open_webhook(row.webhook_id, is_active).await {
                Ok(Some(webhook)) => taken.push(DueDelivery::new(row, webhook)),
                Ok(None) => {}
                Err(error) if taken.is_empty() => return Err(error),
                Err(error) => {
                    warn!(%error, "cannot read the webhooks of all deliveries; others come later");
                    break;
                }
            }
        }
        Ok(taken)
    }

    /// Webhook of a delivery that was taken; `None` if nothing is sent to it, because it or its
    /// user is disabled.
    async fn open_webhook(&self, id: Uuid, user_is_active: bool) -> Result<Option<Webhook>, Error> {
        let row = webhook::Entity::find_by_id(id).one(&self.read).await?;
        // It may be deleted meanwhile, and the delivery with it.
        let Some(row) = row else { return Ok(None) };
        let Ok(webhook) = Webhook::try_from(row) else {
            warn!(webhook_id = %id, "cannot read a webhook; nothing is sent to it");
            return Ok(None);
        };
        if user_is_active && webhook.disabled.is_none() {
            return Ok(Some(webhook));
        }
        // Written while the webhook was being disabled, or before its user was.
        end_deliveries(&self.write, id).await?;
        Ok(None)
    }

    /// Record that the receiver of a webhook accepted a delivery.
    pub async fn mark_webhook_delivered(
        &self,
        due: &DueDelivery,
        result: &TryResult,
    ) -> Result<(), Error> {
        let transaction = self.begin().await?;
        // The webhook first, like the transactions of its user.
        webhook::Entity::update_many()
            .col_expr(webhook::Column::FailingSince, Expr::value(None::<Time>))
            .col_expr(webhook::Column::FailedAt, Expr::value(None::<Time>))
            .filter(webhook::Column::Id.eq(due.webhook.id))
            .filter(webhook::Column::FailedAt.is_not_null())
            .exec(&transaction)
            .await?;
        update_try(due, result)
            .col_expr(webhook_delivery::Column::Status, Expr::value(DELIVERED))
            .col_expr(webhook_delivery::Column::DeliveredAt, Expr::value(Some(self.now())))
            .exec(&transaction)
            .await?;
        fail_point!("webhook.before-commit");
        transaction.commit().await?;
        fail_point!("webhook.after-commit");
        Ok(())
    }

    /// Record that a try failed, and disable the webhook if its receiver is gone or has failed for
    /// five days; then return the reason. Its user gets a mail about the latter.
    pub async fn record_webhook_failure(
        &self,
        due: &DueDelivery,
        result: &TryResult,
        after: AfterFailure,
    ) -> Result<Option<DisabledBecause>, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        // In the order of the transactions of the user.
        let user = lock_user(&transaction, due.webhook.user_id).await?;
        let row = webhook::Entity::find_by_id(due.webhook.id)
            .lock(LockType::NoKeyUpdate)
            .one(&transaction)
            .await?;
        let Some((row, user)) = row.zip(user) else { return Ok(None) };
        let failures = webhook_delivery::Column::Failures;
        let update = update_try(due, result)
            .col_expr(failures, Expr::col(failures).add(1))
            .filter(webhook_delivery::Column::Status.eq(PENDING));
        let update = match after {
            AfterFailure::Retry(pause) => {
                update.col_expr(webhook_delivery::Column::NextAttemptAt, Expr::value(now + pause))
            }
            AfterFailure::GiveUp | AfterFailure::Disable => {
                update.col_expr(webhook_delivery::Column::Status, Expr::value(FAILED))
            }
        };
        if update.exec(&transaction).await?.rows_affected == 0 {
            // Another process holds it, or it was ended.
            return Ok(None);
        }
        let reason = self.record_failing(&transaction, row, &user, after).await?;
        transaction.commit().await?;
        self.wake_mailer();
        Ok(reason)
    }

    /// Record a failure in the row of its webhook, and disable it if that is due.
    async fn record_failing(
        &self,
        transaction: &Transaction,
        row: webhook::Model,
        user: &User,
        after: AfterFailure,
    ) -> Result<Option<DisabledBecause>, Error> {
        let now = self.now();
        let is_continued = row.failed_at.is_some_and(|last| last + FORGIVEN_AFTER >= now);
        let since = row.failing_since.filter(|_| is_continued).unwrap_or(now);
        let reason = match after {
            AfterFailure::Disable => Some(DisabledBecause::Gone),
            _ => (since + MAX_FAILING <= now).then_some(DisabledBecause::Failing),
        };
        let reason = reason.filter(|_| row.disabled_because.is_none());
        let mut update = webhook::Entity::update_many()
            .col_expr(webhook::Column::FailingSince, Expr::value(Some(since)))
            .col_expr(webhook::Column::FailedAt, Expr::value(Some(now)))
            .filter(webhook::Column::Id.eq(row.id));
        if let Some(reason) = reason {
            update = update
                .col_expr(webhook::Column::DisabledBecause, Expr::value(Some(reason.name())))
                .col_expr(webhook::Column::UpdatedAt, Expr::value(now));
        }
        update.exec(transaction).await?;
        if reason.is_some() {
            end_deliveries(transaction, row.id).await?;
        }
        if reason == Some(DisabledBecause::Failing) {
            self.write_notice(transaction, user, AccountMailKind::WebhookDisabled).await?;
        }
        Ok(reason)
    }

    /// Delete finished deliveries that were written a month ago, and those that have many newer
    /// ones of the same webhook.
    pub(crate) async fn purge_webhook_deliveries(&self) -> Result<(), Error> {
        let is_finished = webhook_delivery::Column::Status.ne(PENDING);
        let before = self.now() - KEPT_FOR;
        let is_old = webhook_delivery::Column::CreatedAt.lt(before).and(is_finished.clone());
        delete_deliveries(&self.write, ids_of(is_old.clone()), is_old).await?;
        let place = "row_number() OVER (PARTITION BY webhook_id ORDER BY id DESC)";
        let placed = ids_of(is_finished.clone()).expr_as(Expr::cust(place), "place").to_owned();
        let excess = Query::select()
            .column("id")
            .from_subquery(placed, "placed")
            .and_where(Expr::col("place").gt(MAX_KEPT))
            .to_owned();
        delete_deliveries(&self.write, excess, is_finished).await
    }
}

/// Update of a delivery with the result of a try, if the try still holds it.
fn update_try(due: &DueDelivery, result: &TryResult) -> UpdateMany<webhook_delivery::Entity> {
    let status = result.status.map(i32::from);
    webhook_delivery::Entity::update_many()
        .col_expr(webhook_delivery::Column::AnswerStatus, Expr::value(status))
        .col_expr(webhook_delivery::Column::AnswerBody, Expr::value(result.body.clone()))
        .col_expr(webhook_delivery::Column::ErrorCode, Expr::value(result.error_code))
        .col_expr(webhook_delivery::Column::RecordedTries, Expr::value(due.tries as i32))
        .filter(webhook_delivery::Column::Id.eq(due.id))
        .filter(webhook_delivery::Column::Tries.eq(due.tries as i32))
}
