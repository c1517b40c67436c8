//! Notifications of users about the outcomes of their jobs: one for each outcome, even if the
//! broker delivers its message several times.
//!
//! Outcomes of a user who wants a digest are due two minutes later. The first one that is due
//! becomes the head of a mail that also reports the others. `mail_id` is the id of that mail, which
//! is the one of its head, so that each attempt reports the same outcomes under the same id.

use std::time::Duration;

use jobs::message::Failed;
use jobs::{JobId, State, Time, UserId};
use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType, OnConflict, Query};
use sea_orm::{
    ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, Order, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::mail_choice::MailChoice;
use crate::rows::{job, notification, restrict_to, user};
use crate::users::User;

/// Status of a notification that is not sent yet.
pub(crate) const PENDING: &str = "PENDING";
const SENT: &str = "SENT";
const FAILED: &str = "FAILED";

/// Time within which the outcomes of a digest happen.
pub const DIGEST_WINDOW: Duration = Duration::from_mins(2);

/// Condition of the notifications that lead to a mail of their own: those of a digest do not,
/// unless its head was deleted with its job.
const LEADS_TO_MAIL: &str = "(mail_id IS NULL OR mail_id = id OR NOT EXISTS \
    (SELECT 1 FROM notifications AS head WHERE head.id = notifications.mail_id))";

/// Notification that is due.
#[derive(Debug, Clone)]
pub struct DueNotification {
    /// Id of the mail, equal in all attempts.
    pub id: Uuid,
    /// Ids of the rows that the mail reports.
    pub rows: Vec<Uuid>,
    /// Current row of the job.
    pub job: Job,
    /// Current rows of the other jobs of a digest.
    pub others: Vec<Job>,
    /// Recipient.
    pub user: User,
    /// Number of attempts to send it, including this one.
    pub attempts: u32,
    /// Time at which the notification was created.
    pub created_at: Time,
}

/// Insert the notification of an outcome, unless the user wants none. Has no effect if it exists.
async fn insert_notification(
    on: &impl ConnectionTrait,
    job: JobId,
    user: UserId,
    event_type: &str,
    now: Time,
) -> Result<(), Error> {
    let choice = mail_choice(on, user).await?;
    if !choice.includes(event_type) {
        return Ok(());
    }
    let delay = if choice == MailChoice::Digest { DIGEST_WINDOW } else { Duration::ZERO };
    let row = notification::ActiveModel {
        id: ActiveValue::Set(Uuid::now_v7()),
        job_id: ActiveValue::Set(job.0),
        event_type: ActiveValue::Set(event_type.to_owned()),
        status: ActiveValue::Set(PENDING.to_owned()),
        attempts: ActiveValue::Set(0),
        created_at: ActiveValue::Set(now),
        next_attempt_at: ActiveValue::Set(now + delay),
        sent_at: ActiveValue::Set(None),
        last_error: ActiveValue::Set(None),
        mail_id: ActiveValue::Set(None),
    };
    let once = OnConflict::columns([notification::Column::JobId, notification::Column::EventType])
        .do_nothing()
        .to_owned();
    notification::Entity::insert(row).on_conflict(once).exec_without_returning(on).await?;
    Ok(())
}

/// Mails about jobs that a user wants.
async fn mail_choice(on: &impl ConnectionTrait, user: UserId) -> Result<MailChoice, Error> {
    let query = user::Entity::find_by_id(user.0).select_only().column(user::Column::Mails);
    let name = query.into_tuple::<String>().one(on).await?;
    Ok(name.map(|name| MailChoice::of(&name)).unwrap_or_default())
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
        insert_notification(on, job.id, job.user_id, event.name(), now).await?;
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
        let user = UserId(known.user_id);
        insert_notification(&transaction, job, user, event_type, now).await?;
        Ok(transaction.commit().await?)
    }

    /// Reserve at most `limit` notifications that are due and return them. The caller has to send
    /// them within `hold`; after that they are due again. Those that their user wants no longer are
    /// deleted.
    pub async fn take_notifications(
        &self,
        limit: u64,
        hold: Duration,
    ) -> Result<Vec<DueNotification>, Error> {
        let reserved = self.reserve_notifications(limit, hold).await?;
        let ids: Vec<Uuid> = reserved.iter().map(|row| row.id).collect();
        let mut taken: Vec<DueNotification> = Vec::with_capacity(reserved.len());
        for row in reserved {
            if taken.iter().any(|due| due.rows.contains(&row.id)) {
                // A digest that was taken before reports it.
                continue;
            }
            let Some(job) = self.readable_job(JobId(row.job_id)).await? else { continue };
            let Some(user) = self.user(job.user_id).await? else { continue };
            if !user.mails.includes(&row.event_type) {
                notification::Entity::delete_by_id(row.id).exec(&self.write).await?;
                continue;
            }
            let mut mail = row.mail_id;
            if mail.is_none() && user.mails == MailChoice::Digest {
                self.assemble_digest(row.id, user.id, &ids).await?;
                mail = Some(row.id);
            }
            let (mut rows, mut others) = (vec![row.id], Vec::new());
            if let Some(mail) = mail {
                for other in self.others_of_digest(mail, row.id).await? {
                    let Some(job) = self.readable_job(JobId(other.job_id)).await? else { continue };
                    rows.push(other.id);
                    others.push(job);
                }
            }
            let id = mail.unwrap_or(row.id);
            let (attempts, created_at) = (row.attempts as u32, row.created_at);
            taken.push(DueNotification { id, rows, job, others, user, attempts, created_at });
        }
        Ok(taken)
    }

    /// Reserve at most `limit` notifications that are due.
    async fn reserve_notifications(
        &self,
        limit: u64,
        hold: Duration,
    ) -> Result<Vec<notification::Model>, Error> {
        let now = self.now();
        let due = Query::select()
            .column(notification::Column::Id)
            .from(notification::Entity)
            .cond_where(
                notification::Column::Status
                    .eq(PENDING)
                    .and(notification::Column::NextAttemptAt.lte(now))
                    .and(Expr::cust(LEADS_TO_MAIL)),
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
        Ok(rows)
    }

    /// Let the mail of `head` report the other outcomes of its user that no mail has reported, and
    /// that no other process has `reserved`.
    async fn assemble_digest(
        &self,
        head: Uuid,
        user: UserId,
        reserved: &[Uuid],
    ) -> Result<(), Error> {
        let jobs = Query::select()
            .column(job::Column::Id)
            .from(job::Entity)
            .and_where(job::Column::UserId.eq(user.0))
            .to_owned();
        let is_free = notification::Column::Attempts
            .eq(0)
            .or(notification::Column::Id.is_in(reserved.iter().copied()));
        notification::Entity::update_many()
            .col_expr(notification::Column::MailId, Expr::value(head))
            .filter(notification::Column::Status.eq(PENDING))
            .filter(notification::Column::MailId.is_null())
            .filter(notification::Column::JobId.in_subquery(jobs))
            .filter(is_free)
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Rows that the mail `id` reports besides `head`.
    async fn others_of_digest(
        &self,
        id: Uuid,
        head: Uuid,
    ) -> Result<Vec<notification::Model>, Error> {
        let others = notification::Entity::find()
            .filter(notification::Column::MailId.eq(id))
            .filter(notification::Column::Id.ne(head))
            .filter(notification::Column::Status.eq(PENDING))
            .order_by_asc(notification::Column::Id)
            .all(&self.write)
            .await?;
        Ok(others)
    }

    /// Record that the notifications in these rows were sent.
    pub async fn mark_notifications_sent(&self, rows: &[Uuid]) -> Result<(), Error> {
        let now = self.now();
        notification::Entity::update_many()
            .col_expr(notification::Column::Status, Expr::value(SENT))
            .col_expr(notification::Column::SentAt, Expr::value(now))
            .filter(notification::Column::Id.is_in(rows.iter().copied()))
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Record that the notifications in these rows could not be sent. They are due again after
    /// `pause`; without a pause they have failed and are kept.
    pub async fn record_notifications_failure(
        &self,
        rows: &[Uuid],
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
            .filter(notification::Column::Id.is_in(rows.iter().copied()))
            .exec(&self.write)
            .await?;
        Ok(())
    }
}
