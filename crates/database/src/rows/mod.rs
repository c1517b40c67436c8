//! Tables as the migrations define them, one module each.

pub(crate) mod user;
pub(crate) mod refresh_token;
pub(crate) mod second_factor;
pub(crate) mod recovery_code;
pub(crate) mod api_key;
pub(crate) mod account_token;
pub(crate) mod account_mail;
pub(crate) mod job;
pub(crate) mod job_share;
pub(crate) mod job_event;
pub(crate) mod outbox;
pub(crate) mod notification;
pub(crate) mod webhook;
pub(crate) mod webhook_delivery;
pub(crate) mod idempotency_key;
pub(crate) mod upload;
pub(crate) mod resumable_upload;
pub(crate) mod installation;
pub(crate) mod quarantine;
pub(crate) mod counter_change;
pub(crate) mod job_count;
pub(crate) mod user_usage;
pub(crate) mod accepted_job;
pub(crate) mod chore;
pub(crate) mod past_job;

use sea_orm::sea_query::{
    CommonTableExpression, Expr, ExprTrait, Query, SelectStatement, WithClause,
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryTrait, UpdateMany};

/// Condition that a column has a value, which is written into the text of the statement.
///
/// SQLite uses a partial index only if the statement itself states the index's condition. A value
/// that is bound to the statement is not known yet when SQLite chooses an index (SQLite, "Partial
/// Indexes" and "SQLITE_DBCONFIG_ENABLE_QPSG").
pub(crate) fn equals_constant(column: impl ColumnTrait, value: &'static str) -> Expr {
    Expr::col(column.as_column_ref()).eq(Expr::Constant(value.into()))
}

/// Restrict an update to the rows whose ids a query returns.
///
/// PostgreSQL may run a subquery once for each row. If the subquery skips locked rows, it returns
/// other rows each time and its limit has no effect. A materialized common table expression runs
/// once (PostgreSQL, "CTE Materialization").
pub(crate) fn restrict_to<E: EntityTrait>(
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
