//! What only the embedded database needs.

use jobs::{Clock, State};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryTrait, Statement,
};

use super::files_in;
use crate::connection::Rules;
use crate::rows::{equals_constant, job, webhook_delivery};
use crate::webhooks::PENDING;

/// The program contains an SQLite with the options of `.cargo/config.toml`. Without ENABLE_QPSG, it
/// would compile most statements anew for each use, and everything would still work.
#[tokio::test(flavor = "multi_thread")]
async fn statements_are_compiled_once() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let open = files_in(directory.path());
    let database = open("options", Clock::default(), Rules::default()).await;
    for (option, expected) in
        [("ENABLE_QPSG", 1), ("DEFAULT_MEMSTATUS=0", 1), ("ENABLE_MEMORY_MANAGEMENT", 0)]
    {
        let query = format!("SELECT sqlite_compileoption_used('{option}') AS used");
        let query = Statement::from_string(DbBackend::Sqlite, query);
        let row = database.read.query_one_raw(query).await.expect("the file can be read");
        let used = row.and_then(|row| row.try_get::<i32>("", "used").ok());
        assert_eq!(used, Some(expected), "{option}");
    }
}

/// Each partial index about a state or a flag is used by conditions like those of the statements
/// that need it.
#[tokio::test(flavor = "multi_thread")]
async fn partial_indexes_are_used() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = files_in(directory.path())("plans", Clock::default(), Rules::default()).await;
    database.migrate().await.expect("the schema is made");
    let now = database.now();
    let is = |state: State| equals_constant(job::Column::Status, state.name());
    let jobs = |condition: Expr| job::Entity::find().filter(condition).build(DbBackend::Sqlite);
    let deliveries = |condition: Expr| {
        webhook_delivery::Entity::find().filter(condition).build(DbBackend::Sqlite)
    };
    let is_due = equals_constant(webhook_delivery::Column::Status, PENDING)
        .and(webhook_delivery::Column::NextAttemptAt.lte(now));
    let is_of_user = webhook_delivery::Column::UserId
        .eq(uuid::Uuid::nil())
        .and(webhook_delivery::Column::Host.eq("example.com"));
    let files_removed = || job::Column::FilesRemoved.into_expr();
    let expired = || job::Column::ExpiresAt.lte(now);
    for (index, query) in [
        ("jobs_running", jobs(is(State::Processing).and(job::Column::WaitingSince.is_null()))),
        ("jobs_queued_rounds", jobs(is(State::Queued).and(job::Column::Round.gt(0)))),
        ("jobs_failed", jobs(is(State::Failed).and(job::Column::CompletedAt.gt(now)))),
        ("jobs_expiring", jobs(files_removed().not().and(expired()))),
        ("jobs_ended", jobs(files_removed().and(expired()))),
        ("webhook_deliveries_next_attempt_at", deliveries(is_due.clone())),
        ("webhook_deliveries_due", deliveries(is_due.and(is_of_user))),
    ] {
        let Statement { sql, values, db_backend } = query;
        let explained = Statement { sql: format!("EXPLAIN QUERY PLAN {sql}"), values, db_backend };
        let steps = database.read.query_all_raw(explained).await.expect("it can be explained");
        let plan: Vec<String> =
            steps.iter().map(|step| step.try_get("", "detail").expect("a step")).collect();
        assert!(plan.iter().any(|step| step.contains(index)), "{index}: {plan:?}");
    }
}
