//! Links by which people without an account see a finished job.
//!
//! Programs of the previous release do not know the table: they refuse the links. The foreign keys
//! delete the links with the job and the user, whatever program deletes those.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{pk_uuid, string, timestamp_with_time_zone, uuid};

/// Creates the table `job_shares`.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // SQLite runs a migration outside of a transaction by default.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let reference = |column: &'static str, table: &'static str| {
            ForeignKey::create()
                .from_col(column)
                .to(table, "id")
                .on_delete(ForeignKeyAction::Cascade)
                .to_owned()
        };
        manager
            .create_table(
                Table::create()
                    .table("job_shares")
                    .col(pk_uuid("id"))
                    .col(uuid("job_id"))
                    .col(uuid("user_id"))
                    .col(string("token_hash").unique_key())
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("expires_at"))
                    .foreign_key(&mut reference("job_id", "jobs"))
                    .foreign_key(&mut reference("user_id", "users"))
                    .to_owned(),
            )
            .await?;
        for statement in [
            "CREATE INDEX job_shares_job_id ON job_shares (job_id)",
            "CREATE INDEX job_shares_user_id ON job_shares (user_id)",
            "CREATE INDEX job_shares_expires_at ON job_shares (expires_at)",
        ] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("job_shares").to_owned()).await
    }
}
