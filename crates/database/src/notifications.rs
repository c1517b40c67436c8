//! Notifications of users about the outcomes of their jobs: one for each outcome, even if the
//! broker delivers its message several times.

use std::time::Duration;

use jobs::message::Failed;
use jobs::{JobId, State, Time};
use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType, OnConflict, Query};
use sea_orm::{
    ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, Order, QueryFilter, QuerySelect,
};
use uuid::Uuid;

use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::rows::{job, notification, restrict_to};
use crate::users::User;

/// Status of a notification that is not sent yet.
pub(crate) const PENDING: &str = "PENDING";
const SENT: &str = "SENT";
const FAILED: &str = "FAILED";

/// Notification that is due.
#[derive(Debug, Clone)]
pub struct DueNotification {
    /// Id of the notification, equal in all attempts.
    pub id: Uuid,
    /// Current row of the job.
    pub job: Job,
    /// Recipient.
    pub user: User,
    /// Number of attempts to send it, including this one.
    pub attempts: u32,
    /// Time at which the notification was created.
    pub created_at: Time,
}

/// Insert the notification of an outcome. Has no effect if it exists.
async fn insert_notification(
    on: &impl ConnectionTrait,
    job: JobId,
    event_type: &str,
    now: Time,
) -> Result<(), Error> {
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
    let once = OnConflict::columns([notification::Column::JobId, notification::Column::EventType])
        .do_nothing()
        .to_owned();
    notification::Entity::insert(row).on_conflict(once).exec_without_returning(on).await?;
    Ok(())
}

impl Database {
    /// Write the notification of an outcome, its deliveries to webhooks, and a message that wakes
    /// the notifiers. If the message is lost, the others are found when they look for due ones.
    pub(crate) async fn announce_outcome(
        &self,
        on: &impl ConnectionTrait,
        job: &Job,
        now: Time,
    ) -> Result<(), Error> {
        let event = job.outcome_event()?;
        insert_notification(on, job.id, event.name(), now).await?;
        self.write_webhook_deliveries(on, job, now).await?;
        self.write_to_outbox(on, job, event, now).await
    }

    /// Create the notification of an outcome that a program of an earlier version has recorded.
    /// Has no effect if it exists.
    pub async fn create_notification(&self, job: JobId, event_type: &str) -> Result<(), Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        // Locked, so that no operator queues the job again before the notification is created.
        let known = job::Entity::find_by_id(job.0).lock(LockType::Share).one(&transaction).await?;
        let Some(known) = known else {
            // The user has deleted the job.
            return Ok(());
        };
        if event_type == Failed::EVENT_TYPE && known.status != State::Failed.name() {
            // An operator has queued the job again, which revokes its failure.
            return Ok(());
        }
        insert_notification(&transaction, job, event_type, now).await?;
        Ok(transaction.commit().await?)
    }

    /// Reserve at most `limit` notifications that are due and return them. The caller has to send
    /// them within `hold`; after that they are due again.
    pub async fn take_notifications(
        &self,
        limit: u64,
        hold: Duration,
    ) -> Result<Vec<DueNotification>, Error> {
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
            .limit(limit)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .to_owned();
        let update = notification::Entity::update_many()
            .col_expr(notification::Column::NextAttemptAt, Expr::value(now + hold))
            .col_expr(
                notification::Column::Attempts,
                Expr::col(notification::Column::Attempts).add(1),
            );
        let rows = restrict_to(update, notification::Column::Id, due)
            .exec_with_returning(&self.write)
            .await?;
        let mut taken = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(job) = self.readable_job(JobId(row.job_id)).await? else { continue };
            let Some(user) = self.user(job.user_id).await? else { continue };
            taken.push(DueNotification {
                id: row.id,
                job,
                user,
                attempts: row.attempts as u32,
                created_at: row.created_at,
            });
        }
        Ok(taken)
    }

    /// Record that a notification was sent.
    pub async fn mark_notification_sent(&self, id: Uuid) -> Result<(), Error> {
        let now = self.now();
        notification::Entity::update_many()
            .col_expr(notification::Column::Status, Expr::value(SENT))
            .col_expr(notification::Column::SentAt, Expr::value(now))
            .filter(notification::Column::Id.eq(id))
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Record that a notification could not be sent. It is due again after `pause`; without a pause
    /// it has failed and is kept.
    pub async fn record_notification_failure(
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
