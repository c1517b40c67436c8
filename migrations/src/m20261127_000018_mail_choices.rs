//! Warnings of jobs by their codes, and the mails that users choose.
//!
//! Programs of the previous release write the English texts of warnings only, and ignore the
//! codes. Their workers announce each outcome, and their notifiers send one mail about each,
//! whatever the user has chosen.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{text_null, uuid_null};

/// Adds the columns `jobs.warning_details`, `users.mails`, `users.time_zone`,
/// `users.unsubscribe_secret` and `notifications.mail_id`.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // SQLite runs a migration outside of a transaction by default.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column) in [
            ("jobs", text_null("warning_details")),
            ("users", text_null("time_zone")),
            ("users", text_null("unsubscribe_secret")),
            ("notifications", uuid_null("mail_id")),
        ] {
            manager.alter_table(Table::alter().table(table).add_column(column).to_owned()).await?;
        }
        for statement in [
            "ALTER TABLE users ADD COLUMN mails TEXT NOT NULL DEFAULT 'EACH' \
             CHECK (mails IN ('EACH', 'DIGEST', 'FAILURES', 'NONE'))",
            "CREATE UNIQUE INDEX users_unsubscribe_secret ON users (unsubscribe_secret)",
            "CREATE INDEX notifications_mail_id ON notifications (mail_id) \
             WHERE mail_id IS NOT NULL",
        ] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
