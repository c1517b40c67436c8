//! The tables, column by column, as the migrations made them.

pub(crate) mod user;
pub(crate) mod refresh_token;
pub(crate) mod job;
pub(crate) mod job_event;
pub(crate) mod outbox;
pub(crate) mod notification;
pub(crate) mod idempotency_key;

use sea_orm::sea_query::{CommonTableExpression, Query, SelectStatement, WithClause};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryTrait, UpdateMany};

/// Let an update touch only the rows whose ids a query gives.
///
/// PostgreSQL may run a subquery once for each row. If it locks rows and passes over those that are
/// locked, it gives others each time, and its limit limits nothing. A materialized expression runs
/// once (PostgreSQL, "CTE Materialization").
pub(crate) fn only<E: EntityTrait>(
    update: UpdateMany<E>,
    id: impl ColumnTrait,
    chosen: SelectStatement,
) -> UpdateMany<E> {
    let once = CommonTableExpression::new()
        .table_name("chosen")
        .column("id")
        .query(chosen)
        .materialized(true)
        .to_owned();
    let mut update =
        update.filter(id.in_subquery(Query::select().column("id").from("chosen").to_owned()));
    QueryTrait::query(&mut update).with_cte(WithClause::new().cte(once).to_owned());
    update
}
