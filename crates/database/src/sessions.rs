//! Sessions: families of refresh tokens, of which only the newest is valid, and only once. Its use
//! may be repeated once, because a response may be lost. The id of the family is the id of the
//! session.

use std::net::IpAddr;
use std::time::Duration;

use jobs::{Time, UserId};
use sea_orm::sea_query::{Expr, ExprTrait, LockType, Query, SelectStatement, SimpleExpr};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::bounded::Transaction;
use crate::connection::Database;
use crate::error::Error;
use crate::rows::{refresh_token, user};
use crate::users::{User, lock_user};

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

/// Lifetimes of a session.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// Time after which a session that is not refreshed ends.
    pub unused: Duration,
    /// Time from the login to the end of the session, however often it is refreshed.
    pub total: Duration,
}

/// Client that logs in or refreshes a session.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origin<'a> {
    /// Network address, if it is known.
    pub address: Option<IpAddr>,
    /// Browser and system in words, if they are known.
    pub browser: Option<&'a str>,
}

/// Open session of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Id of the session, which is not secret.
    pub id: Uuid,
    /// Time of the login.
    pub started_at: Time,
    /// Time of the last refresh, or of the login.
    pub refreshed_at: Time,
    /// Time at which the session ends if it is not refreshed.
    pub expires_at: Time,
    /// Network address of the last refresh, or of the login.
    pub address: Option<String>,
    /// Browser and system of the same request, in words.
    pub browser: Option<String>,
}

impl From<refresh_token::Model> for Session {
    fn from(newest: refresh_token::Model) -> Self {
        Self {
            id: newest.family_id,
            started_at: started_at(&newest),
            refreshed_at: newest.created_at,
            expires_at: newest.expires_at,
            address: newest.address,
            browser: newest.browser,
        }
    }
}

/// Time at which the session of a token began. Programs without the column `started_at` do not
/// record it.
fn started_at(token: &refresh_token::Model) -> Time {
    token.started_at.unwrap_or(token.created_at)
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
    /// Open a session with a first token, of which only the hash is stored. `user` is the user
    /// whose password and second factor were verified. Return `None` if one of these has changed
    /// since, or the user was disabled.
    pub async fn open_session(
        &self,
        user: &User,
        token_hash: &str,
        origin: Origin<'_>,
        lifetimes: Lifetimes,
    ) -> Result<Option<Session>, Error> {
        let transaction = self.begin().await?;
        let current = lock_user(&transaction, user.id).await?;
        if !current.is_some_and(|current| user.has_access_of(&current)) {
            return Ok(None);
        }
        let (id, first) = (Uuid::now_v7(), Successor { id: Uuid::now_v7(), token_hash });
        let started_at = None;
        let new = NewToken { user: user.id, family: id, started_at, origin, lifetimes };
        let token = insert(&transaction, self, first, new).await?;
        transaction.commit().await?;
        Ok(Some(token.into()))
    }

    /// Spend a token and replace it by a new one. The use of a token may be repeated once within
    /// ten seconds, as long as its successor is not spent.
    pub async fn rotate_session(
        &self,
        spent_hash: &str,
        successor: Successor<'_>,
        origin: Origin<'_>,
        lifetimes: Lifetimes,
    ) -> Result<Rotation, Error> {
        // Guesses do not wait for, or delay, the transactions that write.
        if self.owner(spent_hash).await?.is_none() {
            return Ok(Rotation::Rejected);
        }
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
        } else if !is_active
            || token.revoked_at.is_some()
            || token.expires_at <= now
            || started_at(&token) + lifetimes.total <= now
        {
            Rotation::Rejected
        } else {
            let (family, started_at) = (token.family_id, Some(started_at(&token)));
            let new = NewToken { user, family, started_at, origin, lifetimes };
            insert(&transaction, self, successor, new).await?;
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

    /// Close the session of a token, and return its user. An unknown token has no effect.
    pub async fn close_session(&self, token_hash: &str) -> Result<Option<UserId>, Error> {
        // Guesses do not wait for, or delay, the transactions that write.
        if self.owner(token_hash).await?.is_none() {
            return Ok(None);
        }
        let transaction = self.begin().await?;
        let Some(Locked { token, .. }) = lock(&transaction, token_hash).await? else {
            return Ok(None);
        };
        revoke(&transaction, self, token.family_id).await?;
        transaction.commit().await?;
        Ok(Some(UserId(token.user_id)))
    }

    /// Close a session of a user. Return whether it was open.
    pub async fn end_session(&self, user: UserId, session: Uuid) -> Result<bool, Error> {
        let own = refresh_token::Column::UserId.eq(user.0);
        self.end_sessions(user, own.and(refresh_token::Column::FamilyId.eq(session))).await
    }

    /// Close all sessions of a user except one, if one is given. Return whether any was open.
    pub async fn end_other_sessions(
        &self,
        user: UserId,
        kept: Option<Uuid>,
    ) -> Result<bool, Error> {
        let own = refresh_token::Column::UserId.eq(user.0);
        let others = match kept {
            Some(kept) => own.and(refresh_token::Column::FamilyId.ne(kept)),
            None => own,
        };
        self.end_sessions(user, others).await
    }

    async fn end_sessions(&self, user: UserId, which: SimpleExpr) -> Result<bool, Error> {
        let transaction = self.begin().await?;
        // A family does not grow while it is revoked.
        lock_user(&transaction, user).await?;
        let revoked = revoke_where(&transaction, self, which).await?;
        transaction.commit().await?;
        Ok(revoked > 0)
    }

    /// Open sessions of a user, most recently refreshed first, at most `limit`.
    pub async fn sessions(&self, user: UserId, limit: u64) -> Result<Vec<Session>, Error> {
        // Only the newest token of a family is not spent.
        let newest = refresh_token::Entity::find()
            .filter(refresh_token::Column::UserId.eq(user.0))
            .filter(refresh_token::Column::SpentAt.is_null())
            .filter(refresh_token::Column::RevokedAt.is_null())
            .filter(refresh_token::Column::ExpiresAt.gt(self.now()))
            .order_by_desc(refresh_token::Column::CreatedAt)
            .order_by_desc(refresh_token::Column::Id)
            .limit(limit)
            .all(&self.read)
            .await?;
        Ok(newest.into_iter().map(Session::from).collect())
    }

    /// User with this id, if the session is open. Without a session, the user with this id. The
    /// user may be inactive.
    pub async fn user_of_session(
        &self,
        user: UserId,
        session: Option<Uuid>,
    ) -> Result<Option<User>, Error> {
        let mut query = user::Entity::find_by_id(user.0);
        if let Some(session) = session {
            query = query.filter(Expr::exists(self.open_family(user, session)));
        }
        query.one(&self.read).await?.map(User::try_from).transpose()
    }

    /// Query for the tokens of a session that show that it is open.
    fn open_family(&self, user: UserId, session: Uuid) -> SelectStatement {
        Query::select()
            .column(refresh_token::Column::Id)
            .from(refresh_token::Entity)
            .and_where(refresh_token::Column::FamilyId.eq(session))
            .and_where(refresh_token::Column::UserId.eq(user.0))
            .and_where(refresh_token::Column::RevokedAt.is_null())
            .and_where(refresh_token::Column::ExpiresAt.gt(self.now()))
            .to_owned()
    }

    /// Session of a token, which may have ended meanwhile, and its user, who may be inactive.
    pub async fn session_of_token(
        &self,
        token_hash: &str,
    ) -> Result<Option<(User, Session)>, Error> {
        let token = refresh_token::Entity::find()
            .filter(refresh_token::Column::TokenHash.eq(token_hash))
            .one(&self.read)
            .await?;
        let Some(token) = token else { return Ok(None) };
        let user = self.user(UserId(token.user_id)).await?;
        Ok(user.map(|user| (user, token.into())))
    }

    /// Network addresses from which a user has logged in or refreshed a session, as far as their
    /// tokens are still stored.
    pub async fn addresses(&self, user: UserId) -> Result<Vec<IpAddr>, Error> {
        let stored: Vec<String> = refresh_token::Entity::find()
            .select_only()
            .column(refresh_token::Column::Address)
            .distinct()
            .filter(refresh_token::Column::UserId.eq(user.0))
            .filter(refresh_token::Column::Address.is_not_null())
            .into_tuple()
            .all(&self.read)
            .await?;
        Ok(stored.iter().filter_map(|address| address.parse().ok()).collect())
    }

    /// Id of the user of a token.
    async fn owner(&self, token_hash: &str) -> Result<Option<Uuid>, Error> {
        let owner = refresh_token::Entity::find()
            .select_only()
            .column(refresh_token::Column::UserId)
            .filter(refresh_token::Column::TokenHash.eq(token_hash))
            .into_tuple()
            .one(&self.read)
            .await?;
        Ok(owner)
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

/// Origin and session of a token.
#[derive(Clone, Copy)]
struct NewToken<'a> {
    user: UserId,
    family: Uuid,
    /// Time of the login. `None` is now.
    started_at: Option<Time>,
    origin: Origin<'a>,
    lifetimes: Lifetimes,
}

async fn insert(
    on: &impl ConnectionTrait,
    database: &Database,
    token: Successor<'_>,
    new: NewToken<'_>,
) -> Result<refresh_token::Model, Error> {
    let NewToken { user, family, started_at, origin, lifetimes } = new;
    let now = database.now();
    let started_at = started_at.unwrap_or(now);
    let expires_at = std::cmp::min(now + lifetimes.unused, started_at + lifetimes.total);
    let row = refresh_token::ActiveModel {
        id: ActiveValue::Set(token.id),
        user_id: ActiveValue::Set(user.0),
        family_id: ActiveValue::Set(family),
        token_hash: ActiveValue::Set(token.token_hash.to_owned()),
        created_at: ActiveValue::Set(now),
        expires_at: ActiveValue::Set(expires_at),
        spent_at: ActiveValue::Set(None),
        revoked_at: ActiveValue::Set(None),
        successor_id: ActiveValue::Set(None),
        repeated_at: ActiveValue::Set(None),
        started_at: ActiveValue::Set(Some(started_at)),
        address: ActiveValue::Set(origin.address.map(|address| address.to_string())),
        browser: ActiveValue::Set(origin.browser.map(str::to_owned)),
    };
    Ok(row.insert(on).await?)
}

async fn revoke(
    on: &impl ConnectionTrait,
    database: &Database,
    family: Uuid,
) -> Result<u64, Error> {
    revoke_where(on, database, refresh_token::Column::FamilyId.eq(family)).await
}

/// Revoke tokens, and return how many of them were not revoked yet.
async fn revoke_where(
    on: &impl ConnectionTrait,
    database: &Database,
    which: SimpleExpr,
) -> Result<u64, Error> {
    let revoked = refresh_token::Entity::update_many()
        .col_expr(refresh_token::Column::RevokedAt, Expr::value(database.now()))
        .filter(which)
        .filter(refresh_token::Column::RevokedAt.is_null())
        .exec(on)
        .await?;
    Ok(revoked.rows_affected)
}
