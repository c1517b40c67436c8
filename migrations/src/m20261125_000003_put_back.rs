//! Operators may queue failed jobs again: one more legal change of a job's status.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

const LEGAL: &str = "(OLD.status || '>' || NEW.status) IN ('UPLOADED>QUEUED', \
     'QUEUED>PROCESSING', 'QUEUED>CANCELLED', \
     'PROCESSING>PROCESSING', 'PROCESSING>DONE', 'PROCESSING>FAILED', 'PROCESSING>CANCELLED', \
     'DONE>EXPIRED', 'FAILED>QUEUED')";

/// Replaces the trigger `jobs_status`.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // SQLite runs a migration outside of a transaction by default.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        if manager.get_database_backend() == DbBackend::Sqlite {
            connection.execute_unprepared("DROP TRIGGER jobs_status").await?;
            let trigger = format!(
                "CREATE TRIGGER jobs_status BEFORE UPDATE OF status ON jobs WHEN NOT {LEGAL} \
                 BEGIN SELECT RAISE(ABORT, 'illegal change of status'); END"
            );
            connection.execute_unprepared(&trigger).await?;
            return Ok(());
        }
        // The trigger calls the function by name, so replacing the function leaves no gap.
        let function = format!(
            "CREATE OR REPLACE FUNCTION refuse_illegal_status() RETURNS trigger LANGUAGE plpgsql \
             AS $$ BEGIN \
             IF NOT {LEGAL} THEN RAISE EXCEPTION \
             'illegal change of status from % to %', OLD.status, NEW.status; END IF; \
             RETURN NEW; END $$"
        );
        connection.execute_unprepared(&function).await?;
        Ok(())
    }
}
