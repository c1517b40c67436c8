//! Chores of the whole system: work that one process at a time does for all others.
//!
//! Each chore has a row with the holder of the current turn, its end, and the time from which the
//! next turn is due. A row works through a connection pooler, unlike an advisory lock of a session,
//! and a process that is frozen loses its turn at the end of it. So a chore has to stay correct if
//! two processes do it at once.

use std::time::Duration;

use jobs::Time;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveValue, ColumnTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

use crate::connection::Database;
use crate::error::Error;
use crate::rows::chore;

/// Duration of a turn. The holder extends it while its work continues.
pub const TURN: Duration = Duration::from_secs(30);

/// Part of the interval after which the next turn is due. Each process asks once per interval; if a
/// single one is left, a turn must not become due right after it has asked.
const DUE_AFTER: f64 = 0.8;

impl Database {
    /// Take the turn at a chore that is done about once per `interval`. Return whether `holder` has
    /// the turn; if not, it is not due, or another process has it.
    pub async fn take_turn(
        &self,
        name: &str,
        holder: Uuid,
        interval: Duration,
    ) -> Result<bool, Error> {
        let now = self.now();
        let (until, due) = (now + TURN, now + interval.mul_f64(DUE_AFTER));
        let (held_until, due_at) = (chore::Column::HeldUntil, chore::Column::DueAt);
        // Times that are too far in the future were written by a wrong clock, or with another
        // interval.
        let is_due = due_at.lte(now).or(due_at.gt(now + interval));
        let is_free = held_until.lte(now).or(held_until.gt(until));
        let taken = chore::Entity::update_many()
            .col_expr(chore::Column::Holder, Expr::value(holder))
            .col_expr(held_until, Expr::value(until))
            .col_expr(due_at, Expr::value(due))
            .filter(chore::Column::Name.eq(name))
            .filter(is_due)
            .filter(is_free.or(chore::Column::Holder.eq(holder)))
            .exec(&self.write)
            .await?;
        Ok(taken.rows_affected > 0 || self.take_first_turn(name, holder, until, due).await?)
    }

    /// Take the first turn at a chore. Return whether there was none before.
    async fn take_first_turn(
        &self,
        name: &str,
        holder: Uuid,
        until: Time,
        due: Time,
    ) -> Result<bool, Error> {
        let row = chore::ActiveModel {
            name: ActiveValue::Set(name.to_owned()),
            holder: ActiveValue::Set(holder),
            held_until: ActiveValue::Set(until),
            due_at: ActiveValue::Set(due),
        };
        let first = OnConflict::column(chore::Column::Name).do_nothing().to_owned();
        let insert = chore::Entity::insert(row).on_conflict(first);
        Ok(insert.exec_without_returning(&self.write).await? > 0)
    }

    /// Extend the turn of a process whose work continues. Has no effect if another process has
    /// taken it.
    pub async fn extend_turn(&self, name: &str, holder: Uuid) -> Result<(), Error> {
        self.set_end_of_turn(name, holder, self.now() + TURN).await
    }

    /// End the turn of a process whose work is done. Has no effect if another process has taken it.
    pub async fn end_turn(&self, name: &str, holder: Uuid) -> Result<(), Error> {
        self.set_end_of_turn(name, holder, self.now()).await
    }

    async fn set_end_of_turn(&self, name: &str, holder: Uuid, end: Time) -> Result<(), Error> {
        chore::Entity::update_many()
            .col_expr(chore::Column::HeldUntil, Expr::value(end))
            .filter(chore::Column::Name.eq(name))
            .filter(chore::Column::Holder.eq(holder))
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Forget all turns. Only for a process that has the database for itself and has just started.
    pub(crate) async fn forget_turns(&self) -> Result<(), Error> {
        chore::Entity::delete_many().exec(&self.write).await?;
        Ok(())
    }
}
