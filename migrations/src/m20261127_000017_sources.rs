//! Addresses of videos that workers fetch. NULL means a video that was uploaded, so programs of the
//! previous release can still insert jobs.
//!
//! The query of an address stands in a column of its own, because it may be a secret.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer_null, text_null};

/// Adds the columns `jobs.source_url`, `source_query`, `source_size_bytes` and `source_validator`.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // SQLite runs a migration outside of a transaction by default.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [
            text_null("source_url"),
            text_null("source_query"),
            big_integer_null("source_size_bytes"),
            text_null("source_validator"),
        ] {
            // SQLite adds one column at a time.
            let table = Table::alter().table("jobs").add_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["source_url", "source_query", "source_size_bytes", "source_validator"] {
            let table = Table::alter().table("jobs").drop_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}
