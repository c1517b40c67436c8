//! Work that does not grow with the number of jobs: counters that triggers maintain, turns at the
//! chores of the whole system, and a history to which jobs move that ended long ago.
//!
//! Programs of the previous release count their changes through the triggers. They repeat chores
//! beside those that take turns, which is only slower.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, pk_auto, pk_uuid, string, string_null, timestamp_with_time_zone, uuid,
};
use sea_orm_migration::sea_orm::DbBackend;

/// Creates the tables `counter_changes`, `job_counts`, `user_usage`, `chores` and `job_history`,
/// and further indexes of `jobs`.
#[derive(DeriveMigrationName)]
pub struct Migration;

/// Resources that a row of `jobs` uses.
const UNFINISHED: &str =
    "CASE WHEN {row}.status IN ('UPLOADED', 'QUEUED', 'PROCESSING') THEN 1 ELSE 0 END";
const STORED: &str = "CASE WHEN {row}.files_removed THEN 0 \
     ELSE {row}.video_size_bytes + COALESCE({row}.zip_size_bytes, 0) END";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // SQLite runs a migration outside of a transaction by default.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let is_sqlite = manager.get_database_backend() == DbBackend::Sqlite;
        create_tables(manager).await?;
        let connection = manager.get_connection();
        let triggers = if is_sqlite { sqlite_triggers() } else { postgres_triggers() };
        for statement in history(is_sqlite).into_iter().chain(indexes(is_sqlite)).chain(triggers) {
            connection.execute_unprepared(&statement).await?;
        }
        // The counters start with the existing jobs. The triggers see all later changes, because
        // creating them locks the table.
        for statement in [
            "INSERT INTO job_counts SELECT status, count(*) FROM jobs GROUP BY status".to_owned(),
            format!(
                "INSERT INTO user_usage SELECT user_id, SUM({}), SUM({}) FROM jobs \
                 GROUP BY user_id",
                UNFINISHED.replace("{row}", "jobs"),
                STORED.replace("{row}", "jobs")
            ),
        ] {
            connection.execute_unprepared(&statement).await?;
        }
        Ok(())
    }
}

async fn create_tables(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    for table in [
        // Changes are appended and added up later. If every transaction updated the counters
        // themselves, all of them would wait for each other, and for one that is frozen.
        Table::create()
            .table("counter_changes")
            .col(pk_auto("id").big_integer())
            .col(uuid("user_id"))
            .col(string_null("old_state"))
            .col(string_null("new_state"))
            .col(big_integer("unfinished_jobs"))
            .col(big_integer("stored_bytes"))
            .to_owned(),
        Table::create()
            .table("job_counts")
            .col(string("state").primary_key())
            .col(big_integer("jobs"))
            .to_owned(),
        Table::create()
            .table("user_usage")
            .col(pk_uuid("user_id"))
            .col(big_integer("unfinished_jobs"))
            .col(big_integer("stored_bytes"))
            .to_owned(),
        Table::create()
            .table("chores")
            .col(string("name").primary_key())
            .col(uuid("holder"))
            .col(timestamp_with_time_zone("held_until"))
            .col(timestamp_with_time_zone("due_at"))
            .to_owned(),
    ] {
        manager.create_table(table).await?;
    }
    Ok(())
}

/// Jobs that ended long ago, as JSON. PostgreSQL has a partition for each month, so that an old
/// month is dropped at once; the chore that moves jobs creates them.
fn history(is_sqlite: bool) -> Vec<String> {
    let (id, time, partition) = if is_sqlite {
        ("uuid_text", "timestamp_with_timezone_text", "")
    } else {
        ("uuid", "timestamptz", " PARTITION BY RANGE (ended_at)")
    };
    vec![
        format!(
            "CREATE TABLE job_history (id {id} NOT NULL, user_id {id} NOT NULL, ended_at {time} \
             NOT NULL, record text NOT NULL, PRIMARY KEY (id, ended_at)){partition}"
        ),
        "CREATE INDEX job_history_ended_at ON job_history (ended_at)".to_owned(),
    ]
}

fn indexes(is_sqlite: bool) -> Vec<String> {
    // As the queries express it in each dialect.
    let announced_at = if is_sqlite { "IFNULL" } else { "COALESCE" };
    let mut statements = vec![
        "CREATE INDEX counter_changes_user_id ON counter_changes (user_id)".to_owned(),
        format!(
            "CREATE INDEX jobs_announced ON jobs ({announced_at}(invited_at, created_at), id) \
             WHERE waiting_since IS NOT NULL"
        ),
        "CREATE INDEX jobs_failed ON jobs (completed_at, id) WHERE status = 'FAILED'".to_owned(),
        "CREATE INDEX jobs_ended ON jobs (expires_at, id) WHERE files_removed".to_owned(),
    ];
    if !is_sqlite {
        // All rows come and go within seconds, so a share of the table is no measure.
        statements.push(
            "ALTER TABLE counter_changes SET (autovacuum_vacuum_scale_factor = 0, \
             autovacuum_vacuum_threshold = 5000)"
                .to_owned(),
        );
    }
    statements
}

/// Triggers: name, event with its condition, and the values of the change that they append.
fn triggers() -> [(&'static str, String, String); 3] {
    let of = |expression: &str, row: &str| format!("({})", expression.replace("{row}", row));
    let difference = |expression| format!("{} - {}", of(expression, "NEW"), of(expression, "OLD"));
    let (unfinished, stored) = (difference(UNFINISHED), difference(STORED));
    [
        (
            "inserted",
            "INSERT ON jobs FOR EACH ROW".to_owned(),
            format!(
                "NEW.user_id, NULL, NEW.status, {}, {}",
                of(UNFINISHED, "NEW"),
                of(STORED, "NEW")
            ),
        ),
        (
            "deleted",
            "DELETE ON jobs FOR EACH ROW".to_owned(),
            format!(
                "OLD.user_id, OLD.status, NULL, -{}, -{}",
                of(UNFINISHED, "OLD"),
                of(STORED, "OLD")
            ),
        ),
        (
            "changed",
            format!(
                "UPDATE OF status, files_removed, video_size_bytes, zip_size_bytes ON jobs \
                 FOR EACH ROW WHEN (OLD.status <> NEW.status OR {stored} <> 0)"
            ),
            format!("NEW.user_id, OLD.status, NEW.status, {unfinished}, {stored}"),
        ),
    ]
}

/// Statement that appends a change.
fn append(values: &str) -> String {
    format!(
        "INSERT INTO counter_changes (user_id, old_state, new_state, unfinished_jobs, \
         stored_bytes) VALUES ({values});"
    )
}

fn sqlite_triggers() -> Vec<String> {
    let trigger = |(name, event, values): (&str, String, String)| {
        format!("CREATE TRIGGER jobs_count_{name} AFTER {event} BEGIN {} END", append(&values))
    };
    triggers().into_iter().map(trigger).collect()
}

fn postgres_triggers() -> Vec<String> {
    let trigger = |(name, event, values): (&str, String, String)| {
        [
            format!(
                "CREATE FUNCTION count_{name}_job() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 {} RETURN NULL; END $$",
                append(&values)
            ),
            format!(
                "CREATE TRIGGER jobs_count_{name} AFTER {event} \
                 EXECUTE FUNCTION count_{name}_job()"
            ),
        ]
    };
    triggers().into_iter().flat_map(trigger).collect()
}
