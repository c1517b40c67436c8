//! Confirmation of addresses, and mails about accounts with the links of one use that they contain.
//!
//! Programs of the previous release insert users without `confirmed`: such users, and those that
//! exist, count as confirmed. They send no mails about accounts; a notifier of this release does.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    boolean, integer, pk_uuid, string, text, text_null, timestamp_with_time_zone,
    timestamp_with_time_zone_null, uuid,
};

/// Adds the column `users.confirmed`, and creates the tables `account_tokens` and `account_mails`.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // SQLite runs a migration outside of a transaction by default.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let confirmed = boolean("confirmed").default(true).take();
        manager.alter_table(Table::alter().table("users").add_column(confirmed).to_owned()).await?;
        account_tokens(manager).await?;
        account_mails(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["account_mails", "account_tokens"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        manager.alter_table(Table::alter().table("users").drop_column("confirmed").to_owned()).await
    }
}

/// Hashes of the tokens in links, each of which proves that its bearer reads mails to an address.
async fn account_tokens(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("account_tokens")
                .col(pk_uuid("id"))
                .col(uuid("user_id"))
                .col(string("purpose"))
                .col(string("token_hash").unique_key())
                .col(text("address"))
                .col(timestamp_with_time_zone("created_at"))
                .col(timestamp_with_time_zone("expires_at"))
                .foreign_key(&mut owner())
                .to_owned(),
        )
        .await?;
    index(manager, "account_tokens", &["user_id"]).await?;
    index(manager, "account_tokens", &["expires_at"]).await
}

/// Mails about accounts. `token` is the secret of a link until the mail is sent.
async fn account_mails(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("account_mails")
                .col(pk_uuid("id"))
                .col(uuid("user_id"))
                .col(string("kind"))
                .col(boolean("is_notice"))
                .col(text("address"))
                .col(text("mailbox"))
                .col(text_null("token"))
                .col(string("status"))
                .col(integer("attempts").default(0))
                .col(timestamp_with_time_zone("created_at"))
                .col(timestamp_with_time_zone("next_attempt_at"))
                .col(timestamp_with_time_zone("expires_at"))
                .col(timestamp_with_time_zone_null("sent_at"))
                .col(text_null("last_error"))
                .foreign_key(&mut owner())
                .check(Expr::cust("status IN ('PENDING', 'SENT', 'FAILED')"))
                .check(Expr::cust("token IS NULL OR status = 'PENDING'"))
                .to_owned(),
        )
        .await?;
    index(manager, "account_mails", &["status", "next_attempt_at"]).await?;
    index(manager, "account_mails", &["mailbox", "created_at"]).await?;
    index(manager, "account_mails", &["user_id", "created_at"]).await?;
    index(manager, "account_mails", &["created_at"]).await
}

fn owner() -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from_col("user_id")
        .to("users", "id")
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned()
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
