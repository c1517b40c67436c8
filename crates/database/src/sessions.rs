//! Sessions: families of refresh tokens, of which only the newest is valid, and only once.

use std::time::Duration;

use jobs::UserId;
use sea_orm::sea_query::{Expr, LockType, Query, SimpleExpr};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait,
    QueryFilter, QuerySelect,
};
use uuid::Uuid;

use crate::connection::Database;
use crate::error::Error;
use crate::rows::{refresh_token, user};

/// Result of using a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The token is spent and replaced by the new one.
    Renewed(UserId),
    /// The token had been spent before. It may have been stolen, so the whole session is revoked.
    Reused(UserId),
    /// The token is unknown, revoked or expired, or its user is disabled.
    Rejected,
}

impl Database {
    /// Open a session with a first token, of which only the hash is stored.
    pub async fn open_session(
        &self,
        user: UserId,
        token_hash: &str,
        valid_for: Duration,
    ) -> Result<(), Error> {
        insert(&self.write, self, user, Uuid::now_v7(), token_hash, valid_for).await
    }

    /// Spend a token and replace it by a new one.
    pub async fn rotate_session(
        &self,
        spent_hash: &str,
        new_hash: &str,
        valid_for: Duration,
    ) -> Result<Rotation, Error> {
        let (now, transaction) = (self.now(), self.begin().await?);
        let Some(Locked { token, is_active }) = lock(&transaction, spent_hash).await? else {
            return Ok(Rotation::Rejected);
        };
        let user = UserId(token.user_id);
        let rotation = if token.spent_at.is_some() {
            revoke(&transaction, self, token.family_id).await?;
            Rotation::Reused(user)
        } else if !is_active || token.revoked_at.is_some() || token.expires_at <= now {
            Rotation::Rejected
        } else {
            insert(&transaction, self, user, token.family_id, new_hash, valid_for).await?;
            let spent = refresh_token::ActiveModel {
                spent_at: ActiveValue::Set(Some(now)),
                ..token.into()
            };
            spent.update(&transaction).await?;
            Rotation::Renewed(user)
        };
        transaction.commit().await?;
        Ok(rotation)
    }

    /// Close the session of a token. An unknown token has no effect.
    pub async fn close_session(&self, token_hash: &str) -> Result<(), Error> {
        let transaction = self.begin().await?;
        if let Some(Locked { token, .. }) = lock(&transaction, token_hash).await? {
            revoke(&transaction, self, token.family_id).await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// Token, while the row of its user is locked.
struct Locked {
    token: refresh_token::Model,
    /// Whether its user is active.
    is_active: bool,
}

/// Find a token and lock its user until the end of the transaction. The lock serializes all changes
/// of the user's sessions: of two uses of a token one is the first, and a family does not grow
/// while it is revoked.
async fn lock(transaction: &DatabaseTransaction, hash: &str) -> Result<Option<Locked>, Error> {
    let has_hash = refresh_token::Column::TokenHash.eq(hash);
    let owner = Query::select()
        .column(refresh_token::Column::UserId)
        .from(refresh_token::Entity)
        .cond_where(has_hash.clone())
        .to_owned();
    // SQLite has a single writer and needs no row locks. `NO KEY UPDATE` is the weakest lock that
    // conflicts with itself; other transactions can still insert jobs of the user.
    let user = user::Entity::find()
        .filter(user::Column::Id.in_subquery(owner))
        .lock(LockType::NoKeyUpdate)
        .one(transaction)
        .await?;
    let token = refresh_token::Entity::find().filter(has_hash).one(transaction).await?;
    let locked = token.zip(user);
    Ok(locked.map(|(token, user)| Locked { token, is_active: user.is_active }))
}

async fn insert(
    on: &impl ConnectionTrait,
    database: &Database,
    user: UserId,
    family: Uuid,
    hash: &str,
    valid_for: Duration,
) -> Result<(), Error> {
    let now = database.now();
    let row = refresh_token::ActiveModel {
        id: ActiveValue::Set(Uuid::now_v7()),
        user_id: ActiveValue::Set(user.0),
        family_id: ActiveValue::Set(family),
        token_hash: ActiveValue::Set(hash.to_owned()),
        created_at: ActiveValue::Set(now),
        expires_at: ActiveValue::Set(now + valid_for),
        spent_at: ActiveValue::Set(None),
        revoked_at: ActiveValue::Set(None),
    };
    row.insert(on).await?;
    Ok(())
}

/// Revoke all sessions of a user.
pub(crate) async fn revoke_all(
    on: &impl ConnectionTrait,
    database: &Database,
    user: UserId,
) -> Result<(), Error> {
    revoke_where(on, database, refresh_token::Column::UserId.eq(user.0)).await
}

async fn revoke(on: &impl ConnectionTrait, database: &Database, family: Uuid) -> Result<(), Error> {
    revoke_where(on, database, refresh_token::Column::FamilyId.eq(family)).await
}

async fn revoke_where(
    on: &impl ConnectionTrait,
    database: &Database,
    which: SimpleExpr,
) -> Result<(), Error> {
    refresh_token::Entity::update_many()
        .col_expr(refresh_token::Column::RevokedAt, Expr::value(database.now()))
        .filter(which)
        .filter(refresh_token::Column::RevokedAt.is_null())
        .exec(on)
        .await?;
    Ok(())
}
