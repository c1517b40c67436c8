//! Deliveries of outcomes to webhooks, written in the transaction that decides the outcome.
//!
//! The body is written at once, so that each try sends the same, whatever becomes of the job. Its
//! form is that of Standard Webhooks: `type`, `timestamp` and `data`.

use jobs::{JobId, Language, Time, UserId};
use sea_orm::sea_query::{LockType, OnConflict, Query};
use sea_orm::{
    ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::rows::{job, user, webhook, webhook_delivery};
use crate::webhooks::{PENDING, Webhook, WebhookEvent};

/// Name of the event of a test.
pub const TEST_EVENT: &str = "webhook.test";

/// Delivery to write.
pub(crate) struct NewDelivery<'a> {
    pub(crate) webhook: Uuid,
    pub(crate) user: UserId,
    pub(crate) host: &'a str,
    pub(crate) event: &'a str,
    /// Job, with its fence at the outcome.
    pub(crate) job: Option<(JobId, i64)>,
    pub(crate) data: &'a Value,
    pub(crate) traceparent: Option<&'a str>,
}

impl NewDelivery<'_> {
    /// Row that is due at `now`.
    pub(crate) fn row(&self, now: Time) -> webhook_delivery::ActiveModel {
        let body = json!({ "type": self.event, "timestamp": now, "data": self.data });
        webhook_delivery::ActiveModel {
            id: ActiveValue::Set(Uuid::now_v7()),
            webhook_id: ActiveValue::Set(self.webhook),
            user_id: ActiveValue::Set(self.user.0),
            host: ActiveValue::Set(self.host.to_owned()),
            job_id: ActiveValue::Set(self.job.map(|(job, _)| job.0)),
            event_type: ActiveValue::Set(self.event.to_owned()),
            outcome: ActiveValue::Set(self.job.map_or(0, |(_, fence)| fence)),
            body: ActiveValue::Set(body.to_string()),
            traceparent: ActiveValue::Set(self.traceparent.map(str::to_owned)),
            status: ActiveValue::Set(PENDING.to_owned()),
            tries: ActiveValue::Set(0),
            recorded_tries: ActiveValue::Set(0),
            failures: ActiveValue::Set(0),
            created_at: ActiveValue::Set(now),
            next_attempt_at: ActiveValue::Set(now),
            delivered_at: ActiveValue::Set(None),
            answer_status: ActiveValue::Set(None),
            answer_body: ActiveValue::Set(None),
            error_code: ActiveValue::Set(None),
        }
    }
}

impl Database {
    /// Write a delivery of a job's outcome for each webhook that wants it. Has no effect where it
    /// exists: the fence is another one at each outcome of a job, so it identifies the outcome.
    pub(crate) async fn write_webhook_deliveries(
        &self,
        on: &impl ConnectionTrait,
        job: &Job,
        now: Time,
    ) -> Result<(), Error> {
        let webhooks = enabled_webhooks(on, job.user_id, None).await?;
        insert_deliveries(on, job, webhooks, now).await
    }

    /// Write the deliveries of an outcome that a program of an earlier version has recorded, to
    /// the webhooks that existed at that time. Has no effect where they exist, and if the job has
    /// another outcome meanwhile.
    pub async fn create_webhook_deliveries(
        &self,
        id: JobId,
        event_type: &str,
    ) -> Result<(), Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let row = job::Entity::find_by_id(id.0).lock(LockType::Share).one(&transaction).await?;
        // A row that cannot be read is left alone, as by the rest of the maintenance.
        let Some(job) = row.and_then(|row| Job::try_from(row).ok()) else { return Ok(()) };
        if WebhookEvent::of(job.state).map(WebhookEvent::name) == Some(event_type) {
            let webhooks = enabled_webhooks(&transaction, job.user_id, job.completed_at).await?;
            insert_deliveries(&transaction, &job, webhooks, now).await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// Webhooks of a user to which events are sent, of those that existed at a time if there is one:
/// none of a user who is disabled.
async fn enabled_webhooks(
    on: &impl ConnectionTrait,
    owner: UserId,
    existed_at: Option<Time>,
) -> Result<Vec<webhook::Model>, Error> {
    let active = Query::select()
        .column(user::Column::Id)
        .from(user::Entity)
        .and_where(user::Column::Id.eq(owner.0))
        .and_where(user::Column::IsActive.eq(true))
        .to_owned();
    let mut query = webhook::Entity::find()
        .filter(webhook::Column::UserId.eq(owner.0))
        .filter(webhook::Column::UserId.in_subquery(active))
        .filter(webhook::Column::DisabledBecause.is_null());
    if let Some(time) = existed_at {
        query = query.filter(webhook::Column::CreatedAt.lte(time));
    }
    let rows = query
        .order_by_asc(webhook::Column::Id)
        // None of them can be deleted before the end of the transaction, which the deletion would
        // make fail otherwise.
        .lock(LockType::KeyShare)
        .all(on)
        .await?;
    Ok(rows)
}

/// Insert the deliveries of a job's outcome to those of some webhooks that want it.
async fn insert_deliveries(
    on: &impl ConnectionTrait,
    job: &Job,
    webhooks: Vec<webhook::Model>,
    now: Time,
) -> Result<(), Error> {
    let Some(event) = WebhookEvent::of(job.state) else { return Ok(()) };
    let mut deliveries = Vec::new();
    for row in webhooks {
        let host = row.host.clone();
        // An outcome must not fail because of the row of a webhook.
        let Ok(webhook) = Webhook::try_from(row) else { continue };
        if webhook.events.contains(&event) {
            let delivery = NewDelivery {
                webhook: webhook.id,
                user: job.user_id,
                host: &host,
                event: event.name(),
                job: Some((job.id, job.fence)),
                data: &data(job),
                traceparent: job.traceparent.as_deref(),
            };
            deliveries.push(delivery.row(now));
        }
    }
    if deliveries.is_empty() {
        return Ok(());
    }
    let once = OnConflict::columns([
        webhook_delivery::Column::WebhookId,
        webhook_delivery::Column::JobId,
        webhook_delivery::Column::EventType,
        webhook_delivery::Column::Outcome,
    ])
    .do_nothing()
    .to_owned();
    webhook_delivery::Entity::insert_many(deliveries)
        .on_conflict(once)
        .exec_without_returning(on)
        .await?;
    Ok(())
}

/// Data of the outcome of a job. Every member is there at each event, and null where it has no
/// value.
fn data(job: &Job) -> Value {
    json!({
        "job_id": job.id,
        "status": job.state.name(),
        "filename": job.filename,
        "frame_count": job.frame_count,
        "zip_size_bytes": job.zip_size_bytes,
        "complete": job.complete,
        "error_code": job.error_code,
        "error_message": job.error_code.map(|code| code.user_message(Language::En)),
        "created_at": job.created_at,
        "completed_at": job.completed_at,
        "expires_at": job.expires_at,
    })
}
