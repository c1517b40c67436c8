//! Sessions have a start and an origin, and users may have a second factor.
//!
//! Programs of the previous release write refresh tokens without start and origin: the session then
//! counts as started with that token. They also log users in without their second factor.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, boolean, integer, pk_uuid, string, string_null, timestamp_with_time_zone,
    timestamp_with_time_zone_null, uuid,
};

/// Adds columns to `refresh_tokens` and `users` and an index to `job_history`, and creates the
/// tables `second_factors` and `recovery_codes`.
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
        for (table, column) in [
            ("refresh_tokens", timestamp_with_time_zone_null("started_at")),
            ("refresh_tokens", string_null("address")),
            ("refresh_tokens", string_null("browser")),
            ("users", boolean("second_factor").default(false).take()),
        ] {
            manager.alter_table(Table::alter().table(table).add_column(column).to_owned()).await?;
        }
        // For the deletion of a user.
        manager
            .get_connection()
            .execute_unprepared("CREATE INDEX job_history_user_id ON job_history (user_id)")
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("second_factors")
                    .col(pk_uuid("user_id"))
                    .col(string("secret"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(big_integer("last_step").default(0))
                    .col(integer("wrong_codes").default(0))
                    .col(timestamp_with_time_zone("wrong_since"))
                    .foreign_key(&mut of_user())
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("recovery_codes")
                    .col(uuid("user_id"))
                    .col(string("code_hash"))
                    .primary_key(Index::create().col("user_id").col("code_hash"))
                    .foreign_key(&mut of_user())
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP INDEX job_history_user_id").await?;
        for table in ["recovery_codes", "second_factors"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        for (table, column) in [
            ("users", "second_factor"),
            ("refresh_tokens", "browser"),
            ("refresh_tokens", "address"),
            ("refresh_tokens", "started_at"),
        ] {
            manager.alter_table(Table::alter().table(table).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

/// Foreign key of rows that are deleted with their user.
fn of_user() -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from_col("user_id")
        .to("users", "id")
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned()
}
