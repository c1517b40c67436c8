//! The outbox: messages that were decided on in a transaction and wait for the broker.

use std::time::Duration;

use jobs::{Message, State, Time};
use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType, Query};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, Condition, ConnectionTrait, EntityTrait,
    QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::rows::{job, only, outbox};
use crate::{Database, Error, Job};

/// A message on its way to the broker.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Names the row.
    pub id: Uuid,
    /// The message.
    pub message: Message,
    /// The W3C trace context that it belongs to.
    pub traceparent: Option<String>,
}

/// Put a message into the outbox, to be published at `run_after` or later.
pub(crate) async fn put(
    on: &impl ConnectionTrait,
    message: Message,
    traceparent: Option<&str>,
    run_after: Time,
) -> Result<(), Error> {
    let document =
        serde_json::to_string(&message).map_err(|error| Error::Corrupt(error.to_string()))?;
    let row = outbox::ActiveModel {
        id: ActiveValue::Set(message.event_id),
        job_id: ActiveValue::Set(message.event.job_id().0),
        event_type: ActiveValue::Set(message.event.name().to_owned()),
        message: ActiveValue::Set(document),
        traceparent: ActiveValue::Set(traceparent.map(str::to_owned)),
        created_at: ActiveValue::Set(message.timestamp),
        run_after: ActiveValue::Set(run_after),
    };
    row.insert(on).await?;
    Ok(())
}

impl Database {
    /// Take messages that are due, the oldest first. Whoever has taken them has `hold` to publish
    /// them; then they are due again.
    pub async fn take_outgoing(&self, most: u64, hold: Duration) -> Result<Vec<Outgoing>, Error> {
        let now = self.now();
        // PostgreSQL passes over rows that another relay is taking; SQLite has no row locks and one
        // writer.
        let due = Query::select()
            .column(outbox::Column::Id)
            .from(outbox::Entity)
            .cond_where(outbox::Column::RunAfter.lte(now))
            .order_by(outbox::Column::RunAfter, sea_orm::Order::Asc)
            .limit(most)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .to_owned();
        let update = outbox::Entity::update_many()
            .col_expr(outbox::Column::RunAfter, Expr::value(now + hold));
        let mut rows =
            only(update, outbox::Column::Id, due).exec_with_returning(&self.write).await?;
        rows.sort_by_key(|row| (row.created_at, row.id));
        rows.into_iter()
            .map(|row| {
                let message = serde_json::from_str(&row.message)
                    .map_err(|_| Error::Corrupt(format!("message {}", row.id)))?;
                Ok(Outgoing { id: row.id, message, traceparent: row.traceparent })
            })
            .collect()
    }

    /// The broker has taken responsibility for these.
    pub async fn published(&self, ids: impl IntoIterator<Item = Uuid> + Send) -> Result<(), Error> {
        outbox::Entity::delete_many()
            .filter(outbox::Column::Id.is_in(ids))
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// The broker would not have these now.
    pub async fn publish_later(
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

    /// When the next message is due; none if the outbox is empty.
    pub async fn next_outgoing(&self) -> Result<Option<Time>, Error> {
        let first =
            outbox::Entity::find().order_by_asc(outbox::Column::RunAfter).one(&self.read).await?;
        Ok(first.map(|row| row.run_after))
    }

    /// Since when the message that has been due for longest is not published; none if no message is
    /// due. However often it was taken and put off meanwhile: that is what an operator wants to
    /// know of.
    pub async fn unpublished_since(&self) -> Result<Option<Time>, Error> {
        let (next, created) = (
            (job::Entity, job::Column::NextAttemptAt),
            (outbox::Entity, outbox::Column::CreatedAt),
        );
        let due_since = Expr::col(next).if_null(Expr::col(created));
        let oldest = outbox::Entity::find()
            .find_also_related(job::Entity)
            .filter(due_since.clone().lte(self.now()))
            .order_by_asc(due_since)
            .one(&self.read)
            .await?;
        Ok(oldest.map(|(message, job)| {
            job.and_then(|job| job.next_attempt_at).unwrap_or(message.created_at)
        }))
    }

    /// Invite workers again to jobs that have waited for at least `waited` although no message
    /// about them is in the outbox. To be called when the broker has none either: it may have lost
    /// them. An invitation too many does no harm.
    pub async fn invite_again(&self, waited: Duration) -> Result<u64, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let before = now - waited;
        let pending = Query::select().column(outbox::Column::JobId).from(outbox::Entity).to_owned();
        let rows = job::Entity::find()
            .filter(job::Column::LeaseUntil.is_null())
            .filter(job::Column::Status.is_in([State::Queued.name(), State::Processing.name()]))
            .filter(
                Condition::any().add(job::Column::NextAttemptAt.lte(before)).add(
                    Condition::all()
                        .add(job::Column::NextAttemptAt.is_null())
                        .add(job::Column::CreatedAt.lte(before)),
                ),
            )
            .filter(job::Column::Id.not_in_subquery(pending))
            .order_by_asc(job::Column::Id)
            .limit(1000)
            .all(&transaction)
            .await?;
        let count = rows.len() as u64;
        for row in rows {
            let job = Job::try_from(row)?;
            put(&transaction, self.created(&job), job.traceparent.as_deref(), now).await?;
        }
        transaction.commit().await?;
        if count > 0 {
            self.wake_relay();
        }
        Ok(count)
    }
}
