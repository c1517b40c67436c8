//! A spent refresh token knows its successor, so that it can be repeated once.
//!
//! Programs of the previous release spend tokens without a successor: such tokens cannot be
//! repeated.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{timestamp_with_time_zone_null, uuid_null};

/// Adds the columns `refresh_tokens.successor_id` and `refresh_tokens.repeated_at`.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // SQLite runs a migration outside of a transaction by default.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column per statement.
        let successor_id = uuid_null("successor_id");
        let repeated_at = timestamp_with_time_zone_null("repeated_at");
        for column in [successor_id, repeated_at] {
            manager
                .alter_table(Table::alter().table("refresh_tokens").add_column(column).to_owned())
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["repeated_at", "successor_id"] {
            manager
                .alter_table(Table::alter().table("refresh_tokens").drop_column(column).to_owned())
                .await?;
        }
        Ok(())
    }
}
