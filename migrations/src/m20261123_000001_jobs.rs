//! Tables of users, sessions, jobs, job events, the outbox, notifications and idempotency keys.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, boolean, boolean_null, double_null, integer, pk_auto, pk_uuid,
    string, string_null, text, text_null, timestamp_with_time_zone, timestamp_with_time_zone_null,
    uuid,
};
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // SQLite runs a migration outside of a transaction by default.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        users(manager).await?;
        refresh_tokens(manager).await?;
        jobs(manager).await?;
        job_events(manager).await?;
        outbox(manager).await?;
        notifications(manager).await?;
        idempotency_keys(manager).await
    }
}

/// Registered users.
async fn users(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("users")
                .col(pk_uuid("id"))
                .col(string("email").unique_key())
                .col(string("name"))
                .col(text("password_hash"))
                .col(string("language"))
                .col(timestamp_with_time_zone("created_at"))
                .check(Expr::cust("email = lower(email)"))
                .check(Expr::cust("language IN ('pt', 'en')"))
                .to_owned(),
        )
        .await
}

/// Refresh tokens of sessions.
async fn refresh_tokens(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("refresh_tokens")
                .col(pk_uuid("id"))
                .col(uuid("user_id"))
                .col(uuid("family_id"))
                .col(string("token_hash").unique_key())
                .col(timestamp_with_time_zone("created_at"))
                .col(timestamp_with_time_zone("expires_at"))
                .col(timestamp_with_time_zone_null("spent_at"))
                .col(timestamp_with_time_zone_null("revoked_at"))
                .foreign_key(
                    ForeignKey::create()
                        .from_col("user_id")
                        .to("users", "id")
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .to_owned(),
        )
        .await?;
    index(manager, "refresh_tokens", &["family_id"]).await?;
    index(manager, "refresh_tokens", &["expires_at"]).await
}

/// Jobs and the constraints on their states.
async fn jobs(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("jobs")
                .col(pk_uuid("id"))
                .col(uuid("user_id"))
                .col(string("status"))
                .col(text("filename"))
                .col(string("video_format"))
                .col(text("video_path"))
                .col(big_integer("video_size_bytes"))
                .col(text_null("zip_path"))
                .col(big_integer_null("zip_size_bytes"))
                .col(big_integer_null("frame_count"))
                .col(boolean_null("complete"))
                .col(text("warnings").default("[]"))
                .col(double_null("processing_time_seconds"))
                .col(big_integer("progress_done").default(0))
                .col(big_integer_null("progress_expected"))
                .col(string_null("error_code"))
                .col(text_null("error_message"))
                .col(integer("attempt").default(0))
                .col(big_integer("fence").default(0))
                .col(string_null("worker"))
                .col(timestamp_with_time_zone_null("lease_until"))
                .col(timestamp_with_time_zone_null("next_attempt_at"))
                .col(string_null("traceparent"))
                .col(timestamp_with_time_zone("created_at"))
                .col(timestamp_with_time_zone_null("started_at"))
                .col(timestamp_with_time_zone_null("completed_at"))
                .col(timestamp_with_time_zone("expires_at"))
                .col(boolean("files_removed").default(false))
                .foreign_key(
                    ForeignKey::create()
                        .from_col("user_id")
                        .to("users", "id")
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .check(Expr::cust(
                    "status IN ('UPLOADED', 'QUEUED', 'PROCESSING', 'DONE', 'FAILED', \
                     'CANCELLED', 'EXPIRED')",
                ))
                .check(Expr::cust("status <> 'DONE' OR zip_path IS NOT NULL"))
                .check(Expr::cust("status <> 'FAILED' OR error_code IS NOT NULL"))
                .check(Expr::cust("lease_until IS NULL OR status = 'PROCESSING'"))
                .check(Expr::cust("video_size_bytes >= 0 AND attempt >= 0 AND fence >= 0"))
                .to_owned(),
        )
        .await?;
    // Lists of a user's jobs, newest first: ids sort by their time of creation.
    index(manager, "jobs", &["user_id", "id"]).await?;
    index(manager, "jobs", &["user_id", "status", "id"]).await?;
    // Queries of the reaper and of retention.
    index(manager, "jobs", &["status", "lease_until"]).await?;
    index(manager, "jobs", &["files_removed", "expires_at"]).await?;
    guard_status(manager).await
}

/// History of the states of each job.
async fn job_events(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("job_events")
                .col(pk_auto("id").big_integer())
                .col(uuid("job_id"))
                .col(string_null("old_state"))
                .col(string("new_state"))
                .col(text("metadata"))
                .col(timestamp_with_time_zone("created_at"))
                .foreign_key(
                    ForeignKey::create()
                        .from_col("job_id")
                        .to("jobs", "id")
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .to_owned(),
        )
        .await?;
    index(manager, "job_events", &["job_id", "id"]).await
}

/// Messages that wait for their publication.
async fn outbox(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("outbox")
                .col(pk_uuid("id"))
                .col(uuid("job_id"))
                .col(string("event_type"))
                .col(text("message"))
                .col(string_null("traceparent"))
                .col(timestamp_with_time_zone("created_at"))
                .col(timestamp_with_time_zone("run_after"))
                .to_owned(),
        )
        .await?;
    index(manager, "outbox", &["run_after"]).await?;
    index(manager, "outbox", &["job_id"]).await
}

/// Mails about outcomes, at most one for each outcome of a job.
async fn notifications(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("notifications")
                .col(pk_uuid("id"))
                .col(uuid("job_id"))
                .col(string("event_type"))
                .col(string("status"))
                .col(integer("attempts").default(0))
                .col(timestamp_with_time_zone("created_at"))
                .col(timestamp_with_time_zone("next_attempt_at"))
                .col(timestamp_with_time_zone_null("sent_at"))
                .col(text_null("last_error"))
                .foreign_key(
                    ForeignKey::create()
                        .from_col("job_id")
                        .to("jobs", "id")
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .check(Expr::cust("status IN ('PENDING', 'SENT', 'FAILED')"))
                .to_owned(),
        )
        .await?;
    manager
        .create_index(
            Index::create()
                .name("notifications_job_id_event_type")
                .table("notifications")
                .col("job_id")
                .col("event_type")
                .unique()
                .to_owned(),
        )
        .await?;
    index(manager, "notifications", &["status", "next_attempt_at"]).await
}

/// Idempotency keys of accepted requests.
async fn idempotency_keys(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("idempotency_keys")
                .col(uuid("user_id"))
                .col(string("key"))
                .col(text("job_ids"))
                .col(timestamp_with_time_zone("created_at"))
                .primary_key(Index::create().col("user_id").col("key"))
                .foreign_key(
                    ForeignKey::create()
                        .from_col("user_id")
                        .to("users", "id")
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .to_owned(),
        )
        .await?;
    index(manager, "idempotency_keys", &["created_at"]).await
}

async fn index(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: &[&'static str],
) -> Result<(), DbErr> {
    let mut index =
        Index::create().name(format!("{table}_{}", columns.join("_"))).table(table).to_owned();
    for column in columns {
        index.col(*column);
    }
    manager.create_index(index).await
}

/// Create the trigger that rejects illegal changes of a job's status.
async fn guard_status(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    const LEGAL: &str = "(OLD.status || '>' || NEW.status) IN ('UPLOADED>QUEUED', \
         'QUEUED>PROCESSING', 'QUEUED>CANCELLED', \
         'PROCESSING>PROCESSING', 'PROCESSING>DONE', 'PROCESSING>FAILED', 'PROCESSING>CANCELLED', \
         'DONE>EXPIRED')";
    let connection = manager.get_connection();
    if manager.get_database_backend() == DbBackend::Sqlite {
        let trigger = format!(
            "CREATE TRIGGER jobs_status BEFORE UPDATE OF status ON jobs WHEN NOT {LEGAL} \
             BEGIN SELECT RAISE(ABORT, 'illegal change of status'); END"
        );
        connection.execute_unprepared(&trigger).await?;
        return Ok(());
    }
    let function = format!(
        "CREATE FUNCTION refuse_illegal_status() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NOT {LEGAL} THEN RAISE EXCEPTION \
         'illegal change of status from % to %', OLD.status, NEW.status; END IF; \
         RETURN NEW; END $$"
    );
    connection.execute_unprepared(&function).await?;
    connection
        .execute_unprepared(
            "CREATE TRIGGER jobs_status BEFORE UPDATE OF status ON jobs FOR EACH ROW \
             EXECUTE FUNCTION refuse_illegal_status()",
        )
        .await?;
    Ok(())
}
