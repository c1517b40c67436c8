//! An idempotency key knows its request, so that another request with the same key is noticed.
//!
//! Programs of the previous release write keys without a fingerprint: these stand for any request.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::string_null;

/// Adds the column `idempotency_keys.fingerprint`.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // SQLite runs a migration outside of a transaction by default.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let fingerprint = string_null("fingerprint");
        let table = Table::alter().table("idempotency_keys").add_column(fingerprint).to_owned();
        manager.alter_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::alter().table("idempotency_keys").drop_column("fingerprint").to_owned();
        manager.alter_table(table).await
    }
}
