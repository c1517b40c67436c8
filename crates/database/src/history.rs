//! History: jobs that ended long ago, and whose files are removed, leave the table `jobs`, so that
//! it stays small. Whole months of the history are deleted by age.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use chrono::{Datelike, Months, NaiveDate, NaiveTime};
use jobs::{State, Time};
use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{
    ActiveValue, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Statement,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bounded::Transaction;
use crate::connection::Database;
use crate::error::Error;
use crate::rows::{job, job_event, notification, past_job};

/// Maximum number of jobs that one transaction moves.
pub const BATCH: u64 = 200;

/// Prefix of the names of partitions, before year and month.
const PARTITION: &str = "job_history_";

/// Month of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Month(NaiveDate);

impl Month {
    /// Month of a time.
    fn of(time: Time) -> Self {
        let date = time.date_naive();
        Self(date.with_day(1).unwrap_or(date))
    }

    fn next(self) -> Self {
        Self(self.0.checked_add_months(Months::new(1)).unwrap_or(self.0))
    }

    fn start(self) -> Time {
        self.0.and_time(NaiveTime::MIN).and_utc()
    }

    /// Name of its partition in PostgreSQL, such as `job_history_202611`.
    fn partition(self) -> String {
        format!("{PARTITION}{}", self.0.format("%Y%m"))
    }

    /// Month of a partition; `None` if this program did not create it.
    fn of_partition(name: &str) -> Option<Self> {
        let month = name.strip_prefix(PARTITION)?;
        let date = NaiveDate::parse_from_str(&format!("{month}01"), "%Y%m%d").ok()?;
        Some(Self(date)).filter(|month| month.partition() == name)
    }
}

impl Database {
    /// Move at most [`BATCH`] jobs to the history whose files were removed, and whose retention
    /// ended at least `after` ago. Return their number. Several processes may do so at once; if
    /// they create a partition at the same time, one of them fails.
    pub async fn move_to_history(&self, after: Duration) -> Result<u64, Error> {
        let transaction = self.begin().await?;
        let is_final = State::ALL.into_iter().filter(|state| state.is_final()).map(State::name);
        let rows = job::Entity::find()
            .filter(job::Column::FilesRemoved.into_expr())
            .filter(job::Column::ExpiresAt.lte(self.now() - after))
            .filter(job::Column::Status.is_in(is_final))
            .order_by_asc(job::Column::ExpiresAt)
            .order_by_asc(job::Column::Id)
            .limit(BATCH)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .all(&transaction)
            .await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let mut events = events_of(&transaction, &ids).await?;
        let mut notifications = notifications_of(&transaction, &ids).await?;
        let months: BTreeSet<Month> = rows.iter().map(|row| Month::of(ended_at(row))).collect();
        for month in months {
            create_partition(&transaction, month).await?;
        }
        let count = rows.len() as u64;
        let past = rows.into_iter().map(|row| {
            let record = json!({
                "job": job_record(&row),
                "events": events.remove(&row.id).unwrap_or_default(),
                "notifications": notifications.remove(&row.id).unwrap_or_default(),
            });
            past_job::ActiveModel {
                id: ActiveValue::Set(row.id),
                user_id: ActiveValue::Set(row.user_id),
                ended_at: ActiveValue::Set(ended_at(&row)),
                record: ActiveValue::Set(record.to_string()),
            }
        });
        past_job::Entity::insert_many(past).exec_without_returning(&transaction).await?;
        // Events and notifications are deleted with their jobs.
        job::Entity::delete_many().filter(job::Column::Id.is_in(ids)).exec(&transaction).await?;
        transaction.commit().await?;
        Ok(count)
    }

    /// Delete the months of the history that ended at least `kept` ago.
    pub async fn drop_history(&self, kept: Duration) -> Result<(), Error> {
        const PARTITIONS: &str = "SELECT relname::text AS name FROM pg_inherits \
             JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'job_history'::regclass";
        let first_kept = Month::of(self.now() - kept);
        if self.write.get_database_backend() != DbBackend::Postgres {
            past_job::Entity::delete_many()
                .filter(past_job::Column::EndedAt.lt(first_kept.start()))
                .exec(&self.write)
                .await?;
            return Ok(());
        }
        let statement = Statement::from_string(DbBackend::Postgres, PARTITIONS);
        for row in self.write.query_all_raw(statement).await? {
            let name: String = row.try_get("", "name")?;
            if Month::of_partition(&name).is_some_and(|month| month < first_kept) {
                self.write.execute_unprepared(&format!("DROP TABLE IF EXISTS {name}")).await?;
            }
        }
        Ok(())
    }
}

/// Time at which a job ended.
fn ended_at(row: &job::Model) -> Time {
    row.completed_at.unwrap_or(row.expires_at)
}

/// Create the partition of a month, if it does not exist.
async fn create_partition(on: &Transaction, month: Month) -> Result<(), Error> {
    if on.get_database_backend() == DbBackend::Postgres {
        let [from, to] = [month, month.next()].map(|month| month.start().to_rfc3339());
        let statement = format!(
            "CREATE TABLE IF NOT EXISTS {} PARTITION OF job_history \
             FOR VALUES FROM ('{from}') TO ('{to}')",
            month.partition()
        );
        on.execute_unprepared(&statement).await?;
    }
    Ok(())
}

/// Events of jobs, oldest first.
async fn events_of(on: &Transaction, ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<Value>>, Error> {
    let rows = job_event::Entity::find()
        .filter(job_event::Column::JobId.is_in(ids.iter().copied()))
        .order_by_asc(job_event::Column::Id)
        .all(on)
        .await?;
    let mut events = HashMap::<_, Vec<_>>::new();
    for row in rows {
        events.entry(row.job_id).or_default().push(json!({
            "old_state": row.old_state,
            "new_state": row.new_state,
            "metadata": parsed(&row.metadata),
            "at": row.created_at,
        }));
    }
    Ok(events)
}

/// Notifications of jobs.
async fn notifications_of(
    on: &Transaction,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Value>>, Error> {
    let rows = notification::Entity::find()
        .filter(notification::Column::JobId.is_in(ids.iter().copied()))
        .order_by_asc(notification::Column::Id)
        .all(on)
        .await?;
    let mut notifications = HashMap::<_, Vec<_>>::new();
    for row in rows {
        notifications.entry(row.job_id).or_default().push(json!({
            "event_type": row.event_type,
            "status": row.status,
            "attempts": row.attempts,
            "created_at": row.created_at,
            "sent_at": row.sent_at,
            "last_error": row.last_error,
        }));
    }
    Ok(notifications)
}

/// Columns of a job that mean something without its files.
fn job_record(row: &job::Model) -> Value {
    json!({
        "status": row.status,
        "filename": row.filename,
        "video_format": row.video_format,
        "video_size_bytes": row.video_size_bytes,
        "source_url": row.source_url,
        "recipe": row.recipe.as_deref().map(parsed),
        "zip_size_bytes": row.zip_size_bytes,
        "frame_count": row.frame_count,
        "complete": row.complete,
        "warnings": parsed(&row.warnings),
        "warning_details": row.warning_details.as_deref().map(parsed),
        "processing_time_seconds": row.processing_time_seconds,
        "error_code": row.error_code,
        "error_message": row.error_message,
        "attempt": row.attempt,
        "worker": row.worker,
        "traceparent": row.traceparent,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "completed_at": row.completed_at,
        "expires_at": row.expires_at,
    })
}

/// JSON of a column; its text if a later version or an operator wrote something else.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}
