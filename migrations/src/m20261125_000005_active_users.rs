//! Users can be disabled, and have the time of their last update.
//!
//! Programs of the previous release insert users without these columns: such users are active, and
//! their `updated_at` is NULL, which means `created_at`.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{boolean, timestamp_with_time_zone_null};

/// Adds the columns `users.is_active` and `users.updated_at`.
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
        let is_active = boolean("is_active").default(true).take();
        let updated_at = timestamp_with_time_zone_null("updated_at");
        for column in [is_active, updated_at] {
            manager
                .alter_table(Table::alter().table("users").add_column(column).to_owned())
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["updated_at", "is_active"] {
            manager
                .alter_table(Table::alter().table("users").drop_column(column).to_owned())
                .await?;
        }
        Ok(())
    }
}
