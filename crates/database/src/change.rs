//! Changes of a job's state, each with an entry in the job's history.

use std::time::Duration;

use jobs::{JobId, State, Time, Transition};
use sea_orm::sea_query::{Expr, ExprTrait, SimpleExpr};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    UpdateMany,
};
use serde_json::Value;

use crate::error::Error;
use crate::job::Job;
use crate::rows::{job, job_event};

/// Conditional update of one job that applies a [`Transition`]. It has no effect unless the job is
/// in the state before the transition and satisfies all further conditions.
pub(crate) struct Change {
    id: JobId,
    transition: Transition,
    update: UpdateMany<job::Entity>,
}

impl Change {
    pub(crate) fn new(id: JobId, transition: Transition) -> Self {
        Self::with(id, transition, job::Entity::update_many())
    }

    /// Apply a transition together with an update of other columns.
    pub(crate) fn with(id: JobId, transition: Transition, update: UpdateMany<job::Entity>) -> Self {
        let update = update
            .col_expr(job::Column::Status, Expr::value(transition.to().name()))
            .filter(job::Column::Id.eq(id.0))
            .filter(job::Column::Status.eq(transition.from().name()));
        Self { id, transition, update }
    }

    /// Set a column.
    pub(crate) fn set(mut self, column: job::Column, value: impl Into<SimpleExpr>) -> Self {
        self.update = self.update.col_expr(column, value.into());
        self
    }

    /// Set a column to NULL.
    pub(crate) fn clear(self, column: job::Column) -> Self {
        // NULL has the same form in SQL for columns of every type.
        self.set(column, Expr::cust("NULL"))
    }

    /// Add 1 to a column.
    pub(crate) fn increment(self, column: job::Column) -> Self {
        self.set(column, Expr::col(column).add(1))
    }

    /// Set the columns that are common to all final states: no lease, and files for the retention
    /// period from now on.
    pub(crate) fn end(self, now: Time, retention: Duration) -> Self {
        self.clear(job::Column::LeaseUntil)
            .clear(job::Column::NextAttemptAt)
            .set(job::Column::CompletedAt, now)
            .set(job::Column::ExpiresAt, now + retention)
    }

    /// Add a condition.
    pub(crate) fn only_if(mut self, condition: SimpleExpr) -> Self {
        self.update = self.update.filter(condition);
        self
    }

    /// Add the condition that the claim of `held` still holds the job.
    pub(crate) fn only_if_held(mut self, held: &Job) -> Self {
        self.update = self.update.filter(is_held(held));
        self
    }

    /// Run the update and record it in the history, with metadata made of the changed job. Return
    /// the changed job; `None` if the update had no effect.
    pub(crate) async fn apply(
        self,
        on: &impl ConnectionTrait,
        metadata: impl FnOnce(&Job) -> Value + Send,
        now: Time,
    ) -> Result<Option<Job>, Error> {
        let changed = self.update.exec_with_returning(on).await?.pop();
        let Some(job) = changed.map(Job::try_from).transpose()? else { return Ok(None) };
        let (old, new) = (self.transition.from(), self.transition.to());
        record(on, self.id, Some(old), new, &metadata(&job), now).await?;
        Ok(Some(job))
    }
}

/// Condition that the claim of `held` still holds the job.
pub(crate) fn is_held(held: &Job) -> SimpleExpr {
    job::Column::Id
        .eq(held.id.0)
        .and(job::Column::Fence.eq(held.fence))
        .and(job::Column::LeaseUntil.is_not_null())
}

/// Append an entry to a job's history.
pub(crate) async fn record(
    on: &impl ConnectionTrait,
    id: JobId,
    old: Option<State>,
    new: State,
    metadata: &Value,
    at: Time,
) -> Result<(), Error> {
    let row = job_event::ActiveModel {
        id: ActiveValue::NotSet,
        job_id: ActiveValue::Set(id.0),
        old_state: ActiveValue::Set(old.map(|state| state.name().to_owned())),
        new_state: ActiveValue::Set(new.name().to_owned()),
        metadata: ActiveValue::Set(metadata.to_string()),
        created_at: ActiveValue::Set(at),
    };
    row.insert(on).await?;
    Ok(())
}
