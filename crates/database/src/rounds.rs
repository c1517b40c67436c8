//! Rounds: the order in which waiting jobs are claimed, fair among users.
//!
//! Each user has one job in each round, and rounds are served in their order. A new job is in the
//! round after the last waiting job of its user, and not before the current round, which is that of
//! the first queued job. So a user who has nothing queued waits for at most one job of each other
//! user, however many these have queued, and the jobs of one user keep their order.
//!
//! Rounds are numbers in the rows of jobs, and indexes find all of them, so nothing is counted when
//! a job is claimed, and no row is shared by all claims.
//!
//! An attempt that fails because of its video moves the job behind the others of its user, so that
//! repeated failures use up the turns of that user only. Other jobs keep their rounds when they
//! return to the queue: they have waited before. The current round does not depend on them.

use jobs::{JobId, State, Time, UserId};
use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType, SimpleExpr};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use crate::connection::Database;
use crate::error::Error;
use crate::rows::{equals_constant, job, user};

/// Place of a waiting job in the order of claims: its round and its id.
pub(crate) type Place = (i64, Uuid);

/// Place of a job among those of its user.
pub(crate) struct PlaceOfUser {
    user: UserId,
    /// Round, if the job waits.
    round: Option<i64>,
}

impl Database {
    /// Lock a user until the end of a transaction, so that no other one finds the same round or
    /// quota. Return whether the user exists. On SQLite, the transaction is the only one that
    /// writes.
    pub(crate) async fn lock_user(
        &self,
        on: &impl ConnectionTrait,
        user: UserId,
    ) -> Result<bool, Error> {
        // Not the key: foreign keys may refer to the row meanwhile.
        let row: Option<Uuid> = user::Entity::find_by_id(user.0)
            .select_only()
            .column(user::Column::Id)
            .lock(LockType::NoKeyUpdate)
            .into_tuple()
            .one(on)
            .await?;
        Ok(row.is_some())
    }

    /// Round of another job of a user.
    pub(crate) async fn next_round(
        &self,
        on: &impl ConnectionTrait,
        user: UserId,
    ) -> Result<i64, Error> {
        let own = job::Column::UserId.eq(user.0).and(job::Column::WaitingSince.is_not_null());
        let last = latest(on, own).await?;
        let current = self.current_round(on).await?;
        Ok(last.map_or(current, |last| Ord::max(current, last + 1)))
    }

    /// Round of the first job that was queued and never claimed. If there is none, that of the job
    /// that was claimed or waits last.
    async fn current_round(&self, on: &impl ConnectionTrait) -> Result<i64, Error> {
        let is_queued = equals_constant(job::Column::Status, State::Queued.name());
        let first: Option<Option<i64>> = job::Entity::find()
            .select_only()
            .expr_as(Expr::col(job::Column::Round).min(), "round")
            .filter(is_queued)
            // Jobs of programs without rounds have round 0.
            .filter(job::Column::Round.gt(0))
            .into_tuple()
            .one(on)
            .await?;
        if let Some(first) = first.flatten() {
            return Ok(first);
        }
        let running = equals_constant(job::Column::Status, State::Processing.name())
            .and(job::Column::WaitingSince.is_null());
        let running = latest(on, running).await?;
        let waiting = latest(on, job::Column::WaitingSince.is_not_null()).await?;
        Ok(Ord::max(Ord::max(running, waiting).unwrap_or(1), 1))
    }

    /// Prepare the cancellation of a job. Return its user, and its round if it waits; `None` if the
    /// job does not exist.
    pub(crate) async fn place_before_cancellation(
        &self,
        on: &impl ConnectionTrait,
        id: JobId,
    ) -> Result<Option<PlaceOfUser>, Error> {
        let owner: Option<Uuid> = job::Entity::find_by_id(id.0)
            .select_only()
            .column(job::Column::UserId)
            .into_tuple()
            .one(on)
            .await?;
        let Some(owner) = owner else { return Ok(None) };
        // Before the job: others lock the user first, too.
        self.lock_user(on, UserId(owner)).await?;
        let round: Option<i64> = job::Entity::find_by_id(id.0)
            .select_only()
            .column(job::Column::Round)
            .filter(job::Column::WaitingSince.is_not_null())
            .into_tuple()
            .one(on)
            .await?;
        Ok(Some(PlaceOfUser { user: UserId(owner), round }))
    }

    /// Move the jobs behind a cancelled one up. They would wait for jobs of other users otherwise,
    /// as if it still were before them.
    pub(crate) async fn move_up_behind(
        &self,
        on: &impl ConnectionTrait,
        place: &PlaceOfUser,
    ) -> Result<(), Error> {
        let Some(round) = place.round else { return Ok(()) };
        job::Entity::update_many()
            .col_expr(job::Column::Round, Expr::col(job::Column::Round).sub(1))
            .filter(job::Column::UserId.eq(place.user.0))
            .filter(job::Column::WaitingSince.is_not_null())
            .filter(job::Column::Round.gt(round))
            .exec(on)
            .await?;
        Ok(())
    }

    /// First jobs in the order of claims that are due and that no other transaction has locked, at
    /// most `limit`. They are locked until the end of the transaction. `after` is the place of the
    /// last job that is left out.
    pub(crate) async fn lock_next_waiting(
        &self,
        on: &impl ConnectionTrait,
        now: Time,
        after: Option<Place>,
        limit: u64,
    ) -> Result<Vec<job::Model>, Error> {
        let rows = self
            .waiting(now, after)
            .limit(limit)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .all(on)
            .await?;
        Ok(rows)
    }

    /// Whether a job is due, also if another transaction has locked it.
    pub(crate) async fn is_any_waiting(
        &self,
        on: &impl ConnectionTrait,
        now: Time,
        after: Option<Place>,
    ) -> Result<bool, Error> {
        Ok(self.waiting(now, after).one(on).await?.is_some())
    }

    /// Jobs that are due, in the order of claims.
    pub(crate) fn waiting(&self, now: Time, after: Option<Place>) -> sea_orm::Select<job::Entity> {
        let mut query = job::Entity::find()
            .filter(job::Column::WaitingSince.lte(now))
            .filter(job::Column::Id.not_in_subquery(self.quarantined_ids()))
            .order_by_asc(job::Column::Round)
            .order_by_asc(job::Column::Id);
        if let Some((round, id)) = after {
            let same = job::Column::Round.eq(round).and(job::Column::Id.gt(id));
            query = query.filter(job::Column::Round.gt(round).or(same));
        }
        query
    }
}

/// Latest round of the jobs that satisfy a condition.
async fn latest(on: &impl ConnectionTrait, jobs: SimpleExpr) -> Result<Option<i64>, Error> {
    let latest: Option<Option<i64>> = job::Entity::find()
        .select_only()
        .expr_as(Expr::col(job::Column::Round).max(), "round")
        .filter(jobs)
        .into_tuple()
        .one(on)
        .await?;
    Ok(latest.flatten())
}
