//! Delivery that does not depend on the clocks of machines or on an empty queue: since when a job
//! waits, when it was last announced, how many attempts count against it, whether its files are
//! being removed, when a message became due, and which rows maintenance cannot read.
//!
//! Programs of the previous release do not write these columns. A trigger keeps
//! `jobs.waiting_since` correct for them; the others have defaults.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    boolean, integer, pk_uuid, text, timestamp_with_time_zone, timestamp_with_time_zone_null,
};
use sea_orm_migration::sea_orm::DbBackend;

/// Changes the tables `jobs`, `outbox`, `notifications` and `refresh_tokens`, and creates
/// `quarantine`.
#[derive(DeriveMigrationName)]
pub struct Migration;

/// Condition of a job that waits for a worker, and the time since which it does.
const WAITING: &str = "status IN ('QUEUED', 'PROCESSING') AND lease_until IS NULL";
const SINCE: &str = "COALESCE(next_attempt_at, created_at)";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // SQLite runs a migration outside of a transaction by default.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let charged = integer("charged").default(0).to_owned();
        let removing = boolean("removing").default(false).to_owned();
        for column in [charged, removing, timestamp_with_time_zone_null("invited_at")] {
            let table = Table::alter().table("jobs").add_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        let due_at = timestamp_with_time_zone_null("due_at");
        manager.alter_table(Table::alter().table("outbox").add_column(due_at).to_owned()).await?;
        if manager.get_database_backend() == DbBackend::Sqlite {
            add_waiting_since_on_sqlite(manager).await?;
        } else {
            add_waiting_since_on_postgres(manager).await?;
        }
        create_indexes(manager).await?;
        record_outcomes(manager).await?;
        manager
            .create_table(
                Table::create()
                    .table("quarantine")
                    .col(pk_uuid("job_id"))
                    .col(text("reason"))
                    .col(timestamp_with_time_zone("retry_at"))
                    .to_owned(),
            )
            .await
    }
}

/// SQLite computes the column when it is read; its programs never run beside other versions.
async fn add_waiting_since_on_sqlite(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let column = format!(
        "ALTER TABLE jobs ADD COLUMN waiting_since timestamp_with_timezone_text \
         GENERATED ALWAYS AS (CASE WHEN {WAITING} THEN {SINCE} END) VIRTUAL"
    );
    manager.get_connection().execute_unprepared(&column).await?;
    Ok(())
}

/// A generated column would rewrite the table. The trigger does not touch existing rows, of which
/// only a few wait.
async fn add_waiting_since_on_postgres(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let new = |text: &str| {
        ["status", "lease_until", "next_attempt_at", "created_at"]
            .iter()
            .fold(text.to_owned(), |text, column| text.replace(column, &format!("NEW.{column}")))
    };
    let (waiting, since) = (new(WAITING), new(SINCE));
    for statement in [
        "ALTER TABLE jobs ADD COLUMN waiting_since timestamptz".to_owned(),
        format!("UPDATE jobs SET waiting_since = {SINCE} WHERE {WAITING}"),
        format!(
            "CREATE FUNCTION set_waiting_since() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             NEW.waiting_since := CASE WHEN {waiting} THEN {since} END; RETURN NEW; END $$"
        ),
        "CREATE TRIGGER jobs_waiting_since BEFORE INSERT OR UPDATE OF status, lease_until, \
         next_attempt_at ON jobs FOR EACH ROW EXECUTE FUNCTION set_waiting_since()"
            .to_owned(),
        // Leases are renewed twice a second. Such an update writes no index if its page has room
        // for another version of the row and no index contains `lease_until` (PostgreSQL,
        // "Heap-Only Tuples").
        "ALTER TABLE jobs SET (fillfactor = 80)".to_owned(),
    ] {
        manager.get_connection().execute_unprepared(&statement).await?;
    }
    Ok(())
}

async fn create_indexes(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    for statement in [
        "DROP INDEX jobs_status_lease_until",
        // Running jobs, and waiting ones in the order in which they wait.
        "CREATE INDEX jobs_running ON jobs (id) \
         WHERE status = 'PROCESSING' AND waiting_since IS NULL",
        "CREATE INDEX jobs_waiting ON jobs (waiting_since, id) WHERE waiting_since IS NOT NULL",
        "CREATE INDEX jobs_expiring ON jobs (expires_at, id) WHERE NOT files_removed",
        "DROP INDEX jobs_files_removed_expires_at",
        "CREATE INDEX outbox_due_at ON outbox (due_at)",
        "CREATE INDEX refresh_tokens_user_id ON refresh_tokens (user_id)",
    ] {
        manager.get_connection().execute_unprepared(statement).await?;
    }
    Ok(())
}

/// Record the outcomes whose messages are still on their way: from now on, an outcome and its
/// notification are written together.
async fn record_outcomes(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let id = if manager.get_database_backend() == DbBackend::Sqlite {
        "randomblob(16)"
    } else {
        "gen_random_uuid()"
    };
    for (state, event) in [("DONE", "job.completed"), ("FAILED", "job.failed")] {
        let statement = format!(
            "INSERT INTO notifications (id, job_id, event_type, status, attempts, created_at, \
             next_attempt_at) SELECT {id}, id, '{event}', 'PENDING', 0, completed_at, completed_at \
             FROM jobs WHERE status = '{state}' AND NOT files_removed AND NOT EXISTS (SELECT 1 \
             FROM notifications WHERE notifications.job_id = jobs.id)"
        );
        manager.get_connection().execute_unprepared(&statement).await?;
    }
    Ok(())
}
