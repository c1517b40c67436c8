//! Counters: the number of jobs in each state and the usage of each user.
//!
//! Triggers append every change of a job to a table, in the transaction that changes the job, so
//! the counters are exact and no query counts jobs. A chore adds the changes up.

use std::collections::BTreeMap;

use jobs::State;
use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType, OnConflict, SimpleExpr};
use sea_orm::{
    ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, Statement,
};
use uuid::Uuid;

use crate::connection::Database;
use crate::error::Error;
use crate::rows::{counter_change, job_count, user_usage};

/// Number of jobs in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateCount {
    /// State of the jobs.
    pub state: State,
    /// Number of jobs.
    pub count: u64,
}

/// Maximum number of changes that one transaction adds up. SQLite allows 32,766 parameters.
const BATCH: u64 = 5000;

impl Database {
    /// Number of jobs in each state.
    pub async fn counts(&self) -> Result<Vec<StateCount>, Error> {
        // One statement, hence one snapshot: adding up moves changes from one table to the other.
        const TOTALS: &str = "SELECT state, CAST(SUM(jobs) AS bigint) AS jobs FROM \
             (SELECT state, jobs FROM job_counts UNION ALL \
             SELECT old_state, -1 FROM counter_changes UNION ALL \
             SELECT new_state, 1 FROM counter_changes) AS changes \
             WHERE state IS NOT NULL GROUP BY state";
        let backend = self.read.get_database_backend();
        let statement = Statement::from_string(backend, TOTALS);
        let mut counts = State::ALL.map(|state| StateCount { state, count: 0 }).to_vec();
        for row in self.read.query_all_raw(statement).await? {
            let (state, jobs): (String, i64) =
                (row.try_get("", "state")?, row.try_get("", "jobs")?);
            if let Some(count) = counts.iter_mut().find(|count| count.state.name() == state) {
                count.count = jobs.try_into().unwrap_or_default();
            }
        }
        Ok(counts)
    }

    /// Add the changes of jobs to the counters. Several processes may do so at once.
    pub async fn add_up_changes(&self) -> Result<(), Error> {
        while self.add_up_batch().await? == BATCH {}
        Ok(())
    }

    /// Add a batch of changes to the counters, and return its size.
    async fn add_up_batch(&self) -> Result<u64, Error> {
        let transaction = self.begin().await?;
        // In no order: changes with smaller ids may be committed later.
        let changes = counter_change::Entity::find()
            .limit(BATCH)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .all(&transaction)
            .await?;
        if changes.is_empty() {
            return Ok(0);
        }
        counter_change::Entity::delete_many()
            .filter(counter_change::Column::Id.is_in(changes.iter().map(|change| change.id)))
            .exec(&transaction)
            .await?;
        // In the order of the keys, so that processes that do this at once cannot deadlock.
        let (mut counts, mut usage) = (BTreeMap::<&str, i64>::new(), BTreeMap::new());
        for change in &changes {
            for (state, jobs) in [(&change.old_state, -1), (&change.new_state, 1)] {
                if let Some(state) = state {
                    *counts.entry(state).or_default() += jobs;
                }
            }
            let sums: &mut (i64, i64) = usage.entry(change.user_id).or_default();
            sums.0 += change.unfinished_jobs;
            sums.1 += change.stored_bytes;
        }
        add_to_counts(&transaction, counts).await?;
        add_to_usage(&transaction, usage).await?;
        transaction.commit().await?;
        Ok(changes.len() as u64)
    }
}

/// Add to the numbers of jobs by state.
async fn add_to_counts(
    on: &impl ConnectionTrait,
    counts: BTreeMap<&str, i64>,
) -> Result<(), Error> {
    let row = |(state, jobs): (&str, i64)| job_count::ActiveModel {
        state: ActiveValue::Set(state.to_owned()),
        jobs: ActiveValue::Set(jobs),
    };
    let changed: Vec<_> = counts.into_iter().filter(|(_, jobs)| *jobs != 0).map(row).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let add = OnConflict::column(job_count::Column::State)
        .value(job_count::Column::Jobs, sum_of::<job_count::Entity>(job_count::Column::Jobs))
        .to_owned();
    let insert = job_count::Entity::insert_many(changed).on_conflict(add);
    insert.exec_without_returning(on).await?;
    Ok(())
}

/// Add to the unfinished jobs and the stored bytes of users.
async fn add_to_usage(
    on: &impl ConnectionTrait,
    usage: BTreeMap<Uuid, (i64, i64)>,
) -> Result<(), Error> {
    let row =
        |(user, (unfinished_jobs, stored_bytes)): (Uuid, (i64, i64))| user_usage::ActiveModel {
            user_id: ActiveValue::Set(user),
            unfinished_jobs: ActiveValue::Set(unfinished_jobs),
            stored_bytes: ActiveValue::Set(stored_bytes),
        };
    let changed: Vec<_> = usage
        .iter()
        .map(|(user, sums)| (*user, *sums))
        .filter(|(_, sums)| *sums != (0, 0))
        .map(row)
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let mut add = OnConflict::column(user_usage::Column::UserId);
    for column in [user_usage::Column::UnfinishedJobs, user_usage::Column::StoredBytes] {
        add.value(column, sum_of::<user_usage::Entity>(column));
    }
    let users: Vec<Uuid> = usage.into_keys().collect();
    let insert = user_usage::Entity::insert_many(changed).on_conflict(add);
    insert.exec_without_returning(on).await?;
    // A missing row means the same. The user may be deleted.
    user_usage::Entity::delete_many()
        .filter(user_usage::Column::UserId.is_in(users))
        .filter(user_usage::Column::UnfinishedJobs.eq(0))
        .filter(user_usage::Column::StoredBytes.eq(0))
        .exec(on)
        .await?;
    Ok(())
}

/// Sum of a column of the existing row and of the one that was to be inserted.
fn sum_of<E: EntityTrait>(column: E::Column) -> SimpleExpr {
    Expr::col((E::default(), column)).add(Expr::col(("excluded", column)))
}
