//! Queries for jobs and their histories.

use jobs::{JobId, State, Time, UserId};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;
use tracing::error;

use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::rows::{job, job_event};

/// Entry of a job's history.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    /// State before the change; `None` in the first entry.
    pub old_state: Option<State>,
    /// State after the change.
    pub new_state: State,
    /// Further properties of the change.
    pub metadata: Value,
    /// Time of the change.
    pub at: Time,
}

/// Part of the list of a user's jobs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Page {
    /// State of the jobs; all states if `None`.
    pub state: Option<State>,
    /// Job before which the listed ones were created.
    pub older_than: Option<JobId>,
    /// Maximum number of jobs.
    pub limit: u64,
}

/// Maximum number of ids in a query. PostgreSQL allows 65,535 parameters, and SQLite 32,766.
const IDS_PER_QUERY: usize = 10_000;

/// Convert the rows that can be read. One that cannot must not hide the others.
fn readable(rows: Vec<job::Model>) -> Vec<Job> {
    let convert = |row: job::Model| {
        let id = row.id;
        let unreadable = |error| error!(job_id = %id, %error, "a job is left out of a list");
        Job::try_from(row).map_err(unreadable).ok()
    };
    rows.into_iter().filter_map(convert).collect()
}

impl Database {
    /// Job with this id.
    pub async fn job(&self, id: JobId) -> Result<Option<Job>, Error> {
        job::Entity::find_by_id(id.0).one(&self.read).await?.map(Job::try_from).transpose()
    }

    /// Jobs with these ids, in no particular order. Unknown ids are ignored, and jobs whose rows
    /// cannot be read.
    pub async fn jobs_by_id(&self, ids: &[JobId]) -> Result<Vec<Job>, Error> {
        let mut jobs = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS_PER_QUERY) {
            let rows = job::Entity::find()
                .filter(job::Column::Id.is_in(ids.iter().map(|id| id.0)))
                .all(&self.read)
                .await?;
            jobs.extend(readable(rows));
        }
        Ok(jobs)
    }

    /// Jobs of a user, newest first, without those whose rows cannot be read.
    pub async fn list_jobs(&self, user: UserId, page: &Page) -> Result<Vec<Job>, Error> {
        let mut query = job::Entity::find().filter(job::Column::UserId.eq(user.0));
        if let Some(state) = page.state {
            query = query.filter(job::Column::Status.eq(state.name()));
        }
        if let Some(newer) = page.older_than {
            query = query.filter(job::Column::Id.lt(newer.0));
        }
        let rows = query.order_by_desc(job::Column::Id).limit(page.limit).all(&self.read).await?;
        Ok(readable(rows))
    }

    /// History of a job, oldest entry first.
    pub async fn history(&self, id: JobId) -> Result<Vec<HistoryEntry>, Error> {
        let rows = job_event::Entity::find()
            .filter(job_event::Column::JobId.eq(id.0))
            .order_by_asc(job_event::Column::Id)
            .all(&self.read)
            .await?;
        let corrupt = || Error::Corrupt(format!("history of job {id}"));
        rows.into_iter()
            .map(|row| {
                let old_state = row.old_state.as_deref().map(str::parse).transpose();
                Ok(HistoryEntry {
                    old_state: old_state.map_err(|_| corrupt())?,
                    new_state: row.new_state.parse().map_err(|_| corrupt())?,
                    metadata: serde_json::from_str(&row.metadata).map_err(|_| corrupt())?,
                    at: row.created_at,
                })
            })
            .collect()
    }

    /// Time since which the job that has been due for longest waits for an attempt; `None` if no
    /// job is due.
    pub async fn oldest_waiting(&self) -> Result<Option<Time>, Error> {
        let oldest = job::Entity::find()
            .filter(job::Column::WaitingSince.lte(self.now()))
            .order_by_asc(job::Column::WaitingSince)
            .one(&self.read)
            .await?;
        Ok(oldest.and_then(|job| job.waiting_since))
    }
}
