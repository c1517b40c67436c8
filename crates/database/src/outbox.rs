//! Outbox: messages that a transaction wrote and that wait for their publication by the relay.

use std::time::Duration;

use jobs::message::{EncodedMessage, Event};
use jobs::{JobId, Message, Time};
use sea_orm::sea_query::{Expr, LockBehavior, LockType, Query};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    QueryOrder,
};
use uuid::Uuid;

use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::rows::{outbox, restrict_to};

/// Message on its way to the broker.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Id of the row.
    pub id: Uuid,
    /// Message to publish, as it was written.
    pub message: EncodedMessage,
    /// W3C trace context of the message.
    pub traceparent: Option<String>,
}

impl From<outbox::Model> for Outgoing {
    /// The JSON is not parsed: a program of a later version may have written it.
    fn from(row: outbox::Model) -> Self {
        let message = EncodedMessage {
            event_id: row.id,
            job_id: JobId(row.job_id),
            event_type: row.event_type,
            timestamp: row.created_at,
            json: row.message,
        };
        Self { id: row.id, message, traceparent: row.traceparent }
    }
}

/// Insert a message that is due at `run_after`.
pub(crate) async fn insert(
    on: &impl ConnectionTrait,
    message: &Message,
    traceparent: Option<&str>,
    run_after: Time,
) -> Result<(), Error> {
    let EncodedMessage { event_id, job_id, event_type, timestamp, json } = message.encode();
    let row = outbox::ActiveModel {
        id: ActiveValue::Set(event_id),
        job_id: ActiveValue::Set(job_id.0),
        event_type: ActiveValue::Set(event_type),
        message: ActiveValue::Set(json),
        traceparent: ActiveValue::Set(traceparent.map(str::to_owned)),
        created_at: ActiveValue::Set(timestamp),
        run_after: ActiveValue::Set(run_after),
        due_at: ActiveValue::Set(Some(run_after)),
    };
    row.insert(on).await?;
    Ok(())
}

impl Database {
    /// Message that announces a job to workers, as it would be written now.
    #[must_use]
    pub fn created_message(&self, job: &Job) -> Message {
        let max_retries = self.rules.retries.max_retries();
        Message::new(job.created_event(), self.now(), job.retry_count(), max_retries)
    }

    /// Write a message about a job into the outbox, due at `due`.
    pub(crate) async fn write_to_outbox(
        &self,
        on: &impl ConnectionTrait,
        job: &Job,
        event: Event,
        due: Time,
    ) -> Result<(), Error> {
        let max_retries = self.rules.retries.max_retries();
        let message = Message::new(event, self.now(), job.retry_count(), max_retries);
        insert(on, &message, job.traceparent.as_deref(), due).await
    }

    /// Reserve at most `limit` messages that are due and return them, oldest first. The caller has
    /// to publish them within `hold`; after that they are due again.
    pub async fn take_outgoing(&self, limit: u64, hold: Duration) -> Result<Vec<Outgoing>, Error> {
        let now = self.now();
        // PostgreSQL skips rows that another relay is taking; SQLite has a single writer and needs
        // no row locks.
        let due = Query::select()
            .column(outbox::Column::Id)
            .from(outbox::Entity)
            .cond_where(outbox::Column::RunAfter.lte(now))
            .order_by(outbox::Column::RunAfter, sea_orm::Order::Asc)
            .limit(limit)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .to_owned();
        let update = outbox::Entity::update_many()
            .col_expr(outbox::Column::RunAfter, Expr::value(now + hold));
        let mut rows =
            restrict_to(update, outbox::Column::Id, due).exec_with_returning(&self.write).await?;
        rows.sort_by_key(|row| (row.created_at, row.id));
        Ok(rows.into_iter().map(Outgoing::from).collect())
    }

    /// Delete messages that the broker has confirmed.
    pub async fn mark_published(
        &self,
        ids: impl IntoIterator<Item = Uuid> + Send,
    ) -> Result<(), Error> {
        outbox::Entity::delete_many()
            .filter(outbox::Column::Id.is_in(ids))
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Make messages that the broker did not accept due again after a pause.
    pub async fn postpone(
        &self,
        ids: impl IntoIterator<Item = Uuid> + Send,
        pause: Duration,
    ) -> Result<(), Error> {
        outbox::Entity::update_many()
            .col_expr(outbox::Column::RunAfter, Expr::value(self.now() + pause))
            .filter(outbox::Column::Id.is_in(ids))
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Time at which the next message is due; `None` if the outbox is empty.
    pub async fn next_outgoing(&self) -> Result<Option<Time>, Error> {
        let first =
            outbox::Entity::find().order_by_asc(outbox::Column::RunAfter).one(&self.read).await?;
        Ok(first.map(|row| row.run_after))
    }

    /// Time at which the message that has been due for longest became due; `None` if no message is
    /// due. Postponing a message does not change it, so operators see how long a broker has been
    /// unavailable.
    pub async fn unpublished_since(&self) -> Result<Option<Time>, Error> {
        let oldest = outbox::Entity::find()
            .filter(outbox::Column::DueAt.lte(self.now()))
            .order_by_asc(outbox::Column::DueAt)
            .one(&self.read)
            .await?;
        Ok(oldest.and_then(|message| message.due_at))
    }
}
