//! Sessions: families of refresh tokens, of which only the newest can be used, and only once.

use std::time::Duration;

use jobs::UserId;
use sea_orm::sea_query::{Expr, LockType, Query, SimpleExpr};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait,
    QueryFilter, QuerySelect,
};
use uuid::Uuid;

use crate::rows::{refresh_token, user};
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
    pub async fn open_session(
        &self,
        user: UserId,
        token_hash: &str,
        valid_for: Duration,
    ) -> Result<(), Error> {
        insert(&self.write, self, user, Uuid::now_v7(), token_hash, valid_for).await
    }

    /// Spend a token and put a new one in its place.
    pub async fn rotate_session(
        &self,
        spent_hash: &str,
        new_hash: &str,
        valid_for: Duration,
    ) -> Result<Rotation, Error> {
        let (now, transaction) = (self.now(), self.begin().await?);
        let Some(token) = alone(&transaction, spent_hash).await? else {
            return Ok(Rotation::Refused);
        };
        let user = UserId(token.user_id);
        let rotation = if token.spent_at.is_some() {
            revoke(&transaction, self, token.family_id).await?;
            Rotation::Reused(user)
        } else if token.revoked_at.is_some() || token.expires_at <= now {
            Rotation::Refused
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

    /// End the session that a token belongs to. An unknown token ends none.
    pub async fn close_session(&self, token_hash: &str) -> Result<(), Error> {
        let transaction = self.begin().await?;
        if let Some(token) = alone(&transaction, token_hash).await? {
            revoke(&transaction, self, token.family_id).await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// A token, if it is known. From then on nobody else touches the sessions of its user until the
/// transaction ends: of two who hand it in one is the first, and a family does not grow while it is
/// revoked.
async fn alone(
    transaction: &DatabaseTransaction,
    hash: &str,
) -> Result<Option<refresh_token::Model>, Error> {
    let this = refresh_token::Column::TokenHash.eq(hash);
    let owner = Query::select()
        .column(refresh_token::Column::UserId)
        .from(refresh_token::Entity)
        .cond_where(this.clone())
        .to_owned();
    // SQLite has no row locks and one writer. The weakest lock that keeps its like out lets jobs of
    // this user be written meanwhile.
    user::Entity::find()
        .filter(user::Column::Id.in_subquery(owner))
        .lock(LockType::NoKeyUpdate)
        .one(transaction)
        .await?;
    Ok(refresh_token::Entity::find().filter(this).one(transaction).await?)
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

/// End all sessions of a user.
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
