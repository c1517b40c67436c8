//! What users see of their jobs.

use jobs::{JobId, State, Time, UserId};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;

use crate::rows::{job, job_event};
use crate::{Database, Error, Job};

/// A line of a job's history.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The state before; none for the first line.
    pub old_state: Option<State>,
    /// The state after.
    pub new_state: State,
    /// What else is to be known of the change.
    pub metadata: Value,
    /// When it happened.
    pub at: Time,
}

/// Which of a user's jobs are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Page {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those older than this one.
    pub older_than: Option<JobId>,
    /// At most so many.
    pub limit: u64,
}

impl Database {
    /// One job.
    pub async fn job(&self, id: JobId) -> Result<Option<Job>, Error> {
        job::Entity::find_by_id(id.0).one(&self.read).await?.map(Job::try_from).transpose()
    }

    /// Several jobs, in no order; those that are not there are left out.
    pub async fn some_jobs(&self, ids: &[JobId]) -> Result<Vec<Job>, Error> {
        let rows = job::Entity::find()
            .filter(job::Column::Id.is_in(ids.iter().map(|id| id.0)))
            .all(&self.read)
            .await?;
        rows.into_iter().map(Job::try_from).collect()
    }

    /// A user's jobs, newest first.
    pub async fn jobs_of(&self, user: UserId, page: &Page) -> Result<Vec<Job>, Error> {
        let mut query = job::Entity::find().filter(job::Column::UserId.eq(user.0));
        if let Some(state) = page.state {
            query = query.filter(job::Column::Status.eq(state.name()));
        }
        if let Some(newer) = page.older_than {
            query = query.filter(job::Column::Id.lt(newer.0));
        }
        let rows = query.order_by_desc(job::Column::Id).limit(page.limit).all(&self.read).await?;
        rows.into_iter().map(Job::try_from).collect()
    }

    /// A job's history, oldest line first.
    pub async fn history(&self, id: JobId) -> Result<Vec<Change>, Error> {
        let rows = job_event::Entity::find()
            .filter(job_event::Column::JobId.eq(id.0))
            .order_by_asc(job_event::Column::Id)
            .all(&self.read)
            .await?;
        rows.into_iter()
            .map(|row| {
                let corrupt = |_| Error::Corrupt(format!("the history of job {id}"));
                Ok(Change {
                    old_state: row
                        .old_state
                        .as_deref()
                        .map(str::parse)
                        .transpose()
                        .map_err(corrupt)?,
                    new_state: row.new_state.parse().map_err(corrupt)?,
                    metadata: serde_json::from_str(&row.metadata)
                        .map_err(|_| Error::Corrupt(format!("the history of job {id}")))?,
                    at: row.created_at,
                })
            })
            .collect()
    }

    /// Since when the job that has been due for longest waits for an attempt; none if no job is
    /// due.
    pub async fn oldest_waiting(&self) -> Result<Option<Time>, Error> {
        let (next, created) = (job::Column::NextAttemptAt, job::Column::CreatedAt);
        let due_since = Expr::col(next).if_null(Expr::col(created));
        let oldest = job::Entity::find()
            .filter(job::Column::Status.is_in([State::Queued.name(), State::Processing.name()]))
            .filter(job::Column::LeaseUntil.is_null())
            .filter(next.is_null().or(next.lte(self.now())))
            .order_by_asc(due_since)
            .one(&self.read)
            .await?;
        Ok(oldest.map(|job| job.next_attempt_at.unwrap_or(job.created_at)))
    }

    /// How many jobs are in each state.
    pub async fn counts(&self) -> Result<Vec<(State, u64)>, Error> {
        let mut counts = Vec::with_capacity(State::ALL.len());
        for state in State::ALL {
            let count = job::Entity::find()
                .filter(job::Column::Status.eq(state.name()))
                .count(&self.read)
                .await?;
            counts.push((state, count));
        }
        Ok(counts)
    }
}
