//! Renewal of the leases that a worker holds.

use std::collections::HashSet;

use jobs::JobId;
use sea_orm::sea_query::{CaseStatement, Expr, LockBehavior, LockType, Query, SimpleExpr};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::change::is_held;
use crate::claim::Claim;
use crate::connection::Database;
use crate::error::Error;
use crate::rows::{job, restrict_to};

/// Lease to renew, and the progress of the attempt.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// Claim of the attempt.
    pub claim: Claim,
    /// Number of frames done.
    pub done: u64,
    /// Expected number of frames.
    pub expected: Option<u64>,
}

/// Result of renewing a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// The lease is renewed, and the progress is recorded.
    Yes,
    /// Another transaction has locked the job. The claim may hold or not.
    Locked,
    /// The claim does not hold anymore: the worker has to stop the attempt.
    Lost,
}

impl Database {
    /// Renew leases and record the progress of their attempts, in one statement. Return the result
    /// of each, in their order.
    ///
    /// Jobs that another transaction has locked are skipped, so that one of them does not delay the
    /// others.
    pub async fn renew(&self, renewals: &[Renewal]) -> Result<Vec<Renewed>, Error> {
        if renewals.is_empty() {
            return Ok(Vec::new());
        }
        let held = |renewals: &[&Renewal]| {
            let conditions = renewals.iter().map(|renewal| is_held(&renewal.claim.job));
            conditions.fold(Condition::any(), Condition::add)
        };
        let all: Vec<&Renewal> = renewals.iter().collect();
        let chosen = Query::select()
            .column(job::Column::Id)
            .from(job::Entity)
            .cond_where(held(&all))
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .to_owned();
        let update = job::Entity::update_many()
            .col_expr(job::Column::LeaseUntil, Expr::value(self.now() + self.rules.lease))
            .col_expr(
                job::Column::ProgressDone,
                by_job(renewals, |renewal| Expr::value(renewal.done as i64)),
            )
            .col_expr(
                job::Column::ProgressExpected,
                by_job(renewals, |renewal| Expr::value(renewal.expected.map(|count| count as i64))),
            );
        let renewed = restrict_to(update, job::Column::Id, chosen);
        let renewed: HashSet<JobId> = renewed
            .exec_with_returning(&self.write)
            .await?
            .into_iter()
            .map(|row| JobId(row.id))
            .collect();
        let others: Vec<&Renewal> =
            renewals.iter().filter(|renewal| !renewed.contains(&renewal.claim.job.id)).collect();
        let locked = if others.is_empty() {
            HashSet::new()
        } else {
            let rows: Vec<Uuid> = job::Entity::find()
                .select_only()
                .column(job::Column::Id)
                .filter(held(&others))
                .into_tuple()
                .all(&self.write)
                .await?;
            rows.into_iter().map(JobId).collect()
        };
        let result = |renewal: &Renewal| match renewal.claim.job.id {
            id if renewed.contains(&id) => Renewed::Yes,
            id if locked.contains(&id) => Renewed::Locked,
            _ => Renewed::Lost,
        };
        Ok(renewals.iter().map(result).collect())
    }
}

/// Expression that selects the value of each job by its id.
fn by_job(renewals: &[Renewal], value: impl Fn(&Renewal) -> SimpleExpr) -> SimpleExpr {
    let cases = renewals.iter().fold(CaseStatement::new(), |cases, renewal| {
        cases.case(job::Column::Id.eq(renewal.claim.job.id.0), value(renewal))
    });
    cases.into()
}
