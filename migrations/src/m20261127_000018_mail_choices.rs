//! Warnings of jobs by their codes.
//!
//! Programs of the previous release write the English texts of warnings only, and ignore the
//! codes.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::text_null;

/// Adds the column `jobs.warning_details`.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // SQLite runs a migration outside of a transaction by default.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let details = text_null("warning_details");
        manager.alter_table(Table::alter().table("jobs").add_column(details).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::alter().table("jobs").drop_column("warning_details").to_owned();
        manager.alter_table(table).await
    }
}
