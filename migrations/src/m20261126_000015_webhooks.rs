//! Webhooks of users, and a delivery for each outcome of a job and each webhook that wants it.
//!
//! Programs of the previous release decide outcomes without deliveries. A notifier of this release
//! writes them when it receives the message about such an outcome.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, integer, integer_null, pk_uuid, string, string_null, text, text_null,
    timestamp_with_time_zone, timestamp_with_time_zone_null, uuid, uuid_null,
};

/// Creates the tables `webhooks` and `webhook_deliveries`.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // SQLite runs a migration outside of a transaction by default.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create_webhooks(manager).await?;
        create_deliveries(manager).await?;
        for statement in [
            "CREATE INDEX webhooks_user_id ON webhooks (user_id)",
            // One delivery of each outcome: a job has another fence at each of its outcomes. Tests
            // have no job, so any number of them is possible.
            "CREATE UNIQUE INDEX webhook_deliveries_outcome \
             ON webhook_deliveries (webhook_id, job_id, event_type, outcome)",
            "CREATE INDEX webhook_deliveries_webhook_id ON webhook_deliveries (webhook_id, id)",
            "CREATE INDEX webhook_deliveries_user_id ON webhook_deliveries (user_id, id)",
            // Users and hosts to which something is due, and what is due to them.
            "CREATE INDEX webhook_deliveries_due \
             ON webhook_deliveries (user_id, host, next_attempt_at) WHERE status = 'PENDING'",
            // The oldest ones that are due, of all users.
            "CREATE INDEX webhook_deliveries_next_attempt_at \
             ON webhook_deliveries (next_attempt_at) WHERE status = 'PENDING'",
            "CREATE INDEX webhook_deliveries_created_at ON webhook_deliveries (created_at)",
        ] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["webhook_deliveries", "webhooks"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

/// Webhooks, with the secrets that sign what is sent to them.
async fn create_webhooks(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("webhooks")
                .col(pk_uuid("id"))
                .col(uuid("user_id"))
                .col(text("url"))
                .col(text("host"))
                .col(text("events"))
                .col(string("secret"))
                .col(string_null("previous_secret"))
                .col(timestamp_with_time_zone_null("previous_until"))
                .col(string_null("disabled_because"))
                .col(timestamp_with_time_zone_null("failing_since"))
                .col(timestamp_with_time_zone_null("failed_at"))
                .col(timestamp_with_time_zone("created_at"))
                .col(timestamp_with_time_zone("updated_at"))
                .foreign_key(
                    ForeignKey::create()
                        .from_col("user_id")
                        .to("users", "id")
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .to_owned(),
        )
        .await
}

/// Deliveries. They do not refer to jobs and users, because the transactions that decide outcomes
/// must not wait for one that deletes these.
async fn create_deliveries(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("webhook_deliveries")
                .col(pk_uuid("id"))
                .col(uuid("webhook_id"))
                .col(uuid("user_id"))
                .col(text("host"))
                .col(uuid_null("job_id"))
                .col(string("event_type"))
                .col(big_integer("outcome"))
                .col(text("body"))
                .col(string_null("traceparent"))
                .col(string("status"))
                .col(integer("tries").default(0))
                .col(integer("recorded_tries").default(0))
                .col(integer("failures").default(0))
                .col(timestamp_with_time_zone("created_at"))
                .col(timestamp_with_time_zone("next_attempt_at"))
                .col(timestamp_with_time_zone_null("delivered_at"))
                .col(integer_null("answer_status"))
                .col(text_null("answer_body"))
                .col(string_null("error_code"))
                .foreign_key(
                    ForeignKey::create()
                        .from_col("webhook_id")
                        .to("webhooks", "id")
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .check(Expr::cust("status IN ('PENDING', 'DELIVERED', 'FAILED')"))
                .to_owned(),
        )
        .await
}
