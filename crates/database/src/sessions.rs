//! Sessions: families of refresh tokens, of which only the newest can be used, and only once.

use std::time::Duration;

use jobs::UserId;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

use crate::rows::refresh_token;
use crate::{Database, Error};

/// What became of a refresh token that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It is spent, and the new one is in its place.
    Renewed(UserId),
    /// It had been spent before: somebody else may have it, so the whole family is revoked.
    Reused(UserId),
    /// It is unknown, revoked or expired.
    Refused,
}

impl Database {
    /// Begin a session with a first token, of which only the hash is kept.
    pub async fn open_session(&self, user: UserId, token_hash: &str, valid_for: Duration) -> Result<(), Error> {
        insert(&self.write, self, user, Uuid::now_v7(), token_hash, valid_for).await
    }

    /// Spend a token and put a new one in its place.
    pub async fn rotate_session(&self, spent_hash: &str, new_hash: &str, valid_for: Duration) -> Result<Rotation, Error> {
        let (now, transaction) = (self.now(), self.begin().await?);
        let spent = refresh_token::Entity::update_many()
            .col_expr(refresh_token::Column::SpentAt, Expr::value(now))
            .filter(refresh_token::Column::TokenHash.eq(spent_hash))
            .filter(refresh_token::Column::SpentAt.is_null())
            .filter(refresh_token::Column::RevokedAt.is_null())
            .filter(refresh_token::Column::ExpiresAt.gt(now))
            .exec_with_returning(&transaction)
            .await?
            .pop();
        let rotation = if let Some(spent) = spent {
            let user = UserId(spent.user_id);
            insert(&transaction, self, user, spent.family_id, new_hash, valid_for).await?;
            Rotation::Renewed(user)
        } else {
            let known =
                refresh_token::Entity::find().filter(refresh_token::Column::TokenHash.eq(spent_hash)).one(&transaction).await?;
            match known {
                Some(token) if token.spent_at.is_some() => {
                    revoke(&transaction, self, token.family_id).await?;
                    Rotation::Reused(UserId(token.user_id))
                }
                _ => Rotation::Refused,
            }
        };
        transaction.commit().await?;
        Ok(rotation)
    }

    /// End the session that a token belongs to. An unknown token ends none.
    pub async fn close_session(&self, token_hash: &str) -> Result<(), Error> {
        let token = refresh_token::Entity::find().filter(refresh_token::Column::TokenHash.eq(token_hash)).one(&self.write).await?;
        if let Some(token) = token {
            revoke(&self.write, self, token.family_id).await?;
        }
        Ok(())
    }
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

async fn revoke(on: &impl ConnectionTrait, database: &Database, family: Uuid) -> Result<(), Error> {
    refresh_token::Entity::update_many()
        .col_expr(refresh_token::Column::RevokedAt, Expr::value(database.now()))
        .filter(refresh_token::Column::FamilyId.eq(family))
        .filter(refresh_token::Column::RevokedAt.is_null())
        .exec(on)
        .await?;
    Ok(())
}
