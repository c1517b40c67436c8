//! Recipe of each job, as JSON. NULL means the default recipe, so programs of the previous release
//! can still insert jobs.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::text_null;

/// Adds the column `jobs.recipe`.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // SQLite runs a migration outside of a transaction by default.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .alter_table(Table::alter().table("jobs").add_column(text_null("recipe")).to_owned())
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("jobs").drop_column("recipe").to_owned()).await
    }
}
