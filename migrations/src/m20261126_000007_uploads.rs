//! What the sweep of the file store has to know: the installation that the database belongs to, and
//! the uploads that are not jobs yet.
//!
//! Programs of the previous release record no uploads. The sweep still deletes nothing that is
//! younger than a day.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{pk_uuid, string, text, timestamp_with_time_zone, uuid};
use uuid::Uuid;

/// Creates the tables `installation`, with its only row, and `uploads`.
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
            .create_table(Table::create().table("installation").col(pk_uuid("id")).to_owned())
            .await?;
        let installation = Query::insert()
            .into_table("installation")
            .columns(["id"])
            .values_panic([Uuid::now_v7().into()])
            .to_owned();
        manager.execute(installation).await?;
        manager
            .create_table(
                Table::create()
                    .table("uploads")
                    .col(pk_uuid("id"))
                    .col(uuid("user_id"))
                    .col(text("key"))
                    .col(string("state"))
                    .col(timestamp_with_time_zone("expires_at"))
                    .check(Expr::cust("state IN ('RECEIVING', 'ABANDONED')"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("uploads_expires_at")
                    .table("uploads")
                    .col("expires_at")
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["uploads", "installation"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
