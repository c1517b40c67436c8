//! Sessions: families of refresh tokens, of which only the newest is valid, and only once. Its use
//! may be repeated once, because a response may be lost.

use std::time::Duration;

use jobs::UserId;
use sea_orm::sea_query::{Expr, LockType, Query, SimpleExpr};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    QuerySelect,
};
use uuid::Uuid;

use crate::bounded::Transaction;
use crate::connection::Database;
use crate::error::Error;
use crate::rows::{refresh_token, user};

/// Time after the use of a token in which the use may be repeated.
const REPETITION_PERIOD: Duration = Duration::from_secs(10);

/// Token that replaces a spent one.
#[derive(Debug, Clone, Copy)]
pub struct Successor<'a> {
    /// Id of the token, which is not secret.
    pub id: Uuid,
    /// Hash of the token.
    pub token_hash: &'a str,
}

/// Result of using a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The token is spent and replaced by the new one.
    Renewed(UserId),
    /// The token was spent moments ago for the successor with this id, which is not spent yet. The
    /// response may have been lost, or two processes of the client use the token at the same time.
    Repeated(UserId, Uuid),
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
        let first = Successor { id: Uuid::now_v7(), token_hash };
        insert(&self.write, self, user, Uuid::now_v7(), first, valid_for).await
    }

    /// Spend a token and replace it by a new one. The use of a token may be repeated once within
    /// ten seconds, as long as its successor is not spent.
    pub async fn rotate_session(
        &self,
        spent_hash: &str,
        successor: Successor<'_>,
        valid_for: Duration,
    ) -> Result<Rotation, Error> {
        let (now, transaction) = (self.now(), self.begin().await?);
        let Some(Locked { token, is_active }) = lock(&transaction, spent_hash).await? else {
            return Ok(Rotation::Rejected);
        };
        let user = UserId(token.user_id);
        let rotation = if let Some(spent_at) = token.spent_at {
            let may_repeat = is_active && token.revoked_at.is_none() && token.repeated_at.is_none();
            let is_recent = now < spent_at + REPETITION_PERIOD;
            match unspent_successor(&transaction, &token).await? {
                Some(successor) if may_repeat && is_recent => {
                    let repeated = refresh_token::ActiveModel {
                        repeated_at: ActiveValue::Set(Some(now)),
                        ..token.into()
                    };
                    repeated.update(&transaction).await?;
                    Rotation::Repeated(user, successor)
                }
                _ => {
                    revoke(&transaction, self, token.family_id).await?;
                    Rotation::Reused(user)
                }
            }
        } else if !is_active || token.revoked_at.is_some() || token.expires_at <= now {
            Rotation::Rejected
        } else {
            insert(&transaction, self, user, token.family_id, successor, valid_for).await?;
            let spent = refresh_token::ActiveModel {
                spent_at: ActiveValue::Set(Some(now)),
                successor_id: ActiveValue::Set(Some(successor.id)),
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
async fn lock(transaction: &Transaction, hash: &str) -> Result<Option<Locked>, Error> {
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

/// Id of the successor of a spent token, if the successor is not spent.
async fn unspent_successor(
    transaction: &Transaction,
    token: &refresh_token::Model,
) -> Result<Option<Uuid>, Error> {
    let Some(id) = token.successor_id else { return Ok(None) };
    let successor = refresh_token::Entity::find_by_id(id).one(transaction).await?;
    Ok(successor.filter(|successor| successor.spent_at.is_none()).map(|_| id))
}

async fn insert(
    on: &impl ConnectionTrait,
    database: &Database,
    user: UserId,
    family: Uuid,
    token: Successor<'_>,
    valid_for: Duration,
) -> Result<(), Error> {
    let now = database.now();
    let row = refresh_token::ActiveModel {
        id: ActiveValue::Set(token.id),
        user_id: ActiveValue::Set(user.0),
        family_id: ActiveValue::Set(family),
        token_hash: ActiveValue::Set(token.token_hash.to_owned()),
        created_at: ActiveValue::Set(now),
        expires_at: ActiveValue::Set(now + valid_for),
        spent_at: ActiveValue::Set(None),
        revoked_at: ActiveValue::Set(None),
        successor_id: ActiveValue::Set(None),
        repeated_at: ActiveValue::Set(None),
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
