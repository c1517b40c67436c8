//! Fair sharing among users: the rounds in which jobs are claimed, the bytes that uploads and
//! attempts reserve, and the times at which jobs were accepted.
//!
//! Programs of the previous release know no rounds. Jobs that wait already and those that their
//! APIs accept precede all rounds, in the order of their ids: to update a million rows would lock
//! them for minutes. Their workers claim the jobs that messages name. They reserve nothing, so what
//! they receive counts when it is complete, as before.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, pk_uuid, timestamp_with_time_zone, uuid};
use sea_orm_migration::sea_orm::DbBackend;

/// Adds the columns `jobs.round`, `jobs.reserved_bytes` and `uploads.reserved_bytes`, and creates
/// the table `accepted_jobs`.
#[derive(DeriveMigrationName)]
pub struct Migration;

/// Statement of the trigger that records the time at which a job is accepted.
const RECORD: &str = "INSERT INTO accepted_jobs (id, user_id, accepted_at) \
     VALUES (NEW.id, NEW.user_id, NEW.created_at) ON CONFLICT (id) DO NOTHING;";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // SQLite runs a migration outside of a transaction by default.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column) in
            [("jobs", "round"), ("jobs", "reserved_bytes"), ("uploads", "reserved_bytes")]
        {
            let column = big_integer(column).default(0).to_owned();
            manager.alter_table(Table::alter().table(table).add_column(column).to_owned()).await?;
        }
        create_accepted_jobs(manager).await?;
        for statement in [
            // The job that is claimed next, the last one of a user, and the current round.
            "CREATE INDEX jobs_rounds ON jobs (round, id, waiting_since) \
             WHERE waiting_since IS NOT NULL",
            "CREATE INDEX jobs_user_rounds ON jobs (user_id, round) \
             WHERE waiting_since IS NOT NULL",
            "CREATE INDEX jobs_queued_rounds ON jobs (round) WHERE status = 'QUEUED'",
            "CREATE INDEX uploads_user_id ON uploads (user_id)",
        ] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

/// Times at which jobs were accepted, also of those that are deleted since. A trigger records them,
/// for programs of every version.
async fn create_accepted_jobs(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("accepted_jobs")
                .col(pk_uuid("id"))
                .col(uuid("user_id"))
                .col(timestamp_with_time_zone("accepted_at"))
                .foreign_key(
                    ForeignKey::create()
                        .from_col("user_id")
                        .to("users", "id")
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .to_owned(),
        )
        .await?;
    let mut statements = vec![
        "CREATE INDEX accepted_jobs_user_id ON accepted_jobs (user_id, accepted_at)".to_owned(),
        "CREATE INDEX accepted_jobs_accepted_at ON accepted_jobs (accepted_at)".to_owned(),
    ];
    if manager.get_database_backend() == DbBackend::Sqlite {
        statements.push(format!(
            "CREATE TRIGGER jobs_accepted AFTER INSERT ON jobs FOR EACH ROW BEGIN {RECORD} END"
        ));
    } else {
        statements.push(format!(
            "CREATE FUNCTION record_accepted_job() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             {RECORD} RETURN NULL; END $$"
        ));
        statements.push(
            "CREATE TRIGGER jobs_accepted AFTER INSERT ON jobs FOR EACH ROW \
             EXECUTE FUNCTION record_accepted_job()"
                .to_owned(),
        );
    }
    for statement in statements {
        manager.get_connection().execute_unprepared(&statement).await?;
    }
    Ok(())
}
