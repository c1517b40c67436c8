//! Uploads that clients resume: how much of each is stored and where, which request is writing it,
//! and the job that it becomes.
//!
//! Programs of the previous release create no such uploads. Their sweep aborts those in an S3 store
//! that are older than a day, so an upload of that age may have to be started again if it meets an
//! upgrade.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, pk_uuid, text, text_null, timestamp_with_time_zone, timestamp_with_time_zone_null,
    uuid,
};

/// Adds columns to `uploads`, and creates the table `resumable_uploads`.
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
            text_null("parts"),
            big_integer("received_bytes").default(0).to_owned(),
            big_integer("fence").default(0).to_owned(),
            timestamp_with_time_zone_null("held_until"),
        ] {
            let table = Table::alter().table("uploads").add_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        manager
            .create_table(
                Table::create()
                    .table("resumable_uploads")
                    .col(pk_uuid("id"))
                    .col(uuid("user_id"))
                    .col(text("filename"))
                    .col(text("recipe"))
                    .col(text("metadata"))
                    .col(big_integer("size_bytes"))
                    .col(timestamp_with_time_zone("expires_at"))
                    .foreign_key(
                        ForeignKey::create()
                            .from_col("user_id")
                            .to("users", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        for statement in [
            "CREATE INDEX resumable_uploads_user_id ON resumable_uploads (user_id)",
            "CREATE INDEX resumable_uploads_expires_at ON resumable_uploads (expires_at)",
            // Those that the sweep has to know.
            "CREATE INDEX uploads_with_parts ON uploads (id) WHERE parts IS NOT NULL",
        ] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
