//! API keys: secrets with which programs act as a user, within the scopes of the key. They end when
//! they are deleted or expire, not with the password or the sessions of the user.

use std::net::IpAddr;
use std::time::Duration;

use jobs::{Time, UserId};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder,
};
use uuid::Uuid;

use crate::account_mails::AccountMailKind;
use crate::connection::Database;
use crate::error::Error;
use crate::rows::{api_key, user};
use crate::users::{User, lock_user};

/// Time after a recorded use in which further uses are not recorded, so that few requests write.
const USE_PERIOD: Duration = Duration::from_mins(1);

/// Kind of operations that a key permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Read videos, jobs, frames and archives.
    VideosRead,
    /// Upload, process, cancel and delete videos.
    VideosWrite,
    /// Manage webhooks.
    Webhooks,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 3] = [Self::VideosRead, Self::VideosWrite, Self::Webhooks];

    /// Name in the HTTP interface and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::VideosRead => "videos:read",
            Self::VideosWrite => "videos:write",
            Self::Webhooks => "webhooks",
        }
    }
}

/// Data of a new key.
#[derive(Debug, Clone, Copy)]
pub struct NewKey<'a> {
    /// Name that the user chose.
    pub name: &'a str,
    /// First characters of the key.
    pub start: &'a str,
    /// Hash of the key.
    pub hash: &'a str,
    /// Scopes.
    pub scopes: &'a [Scope],
    /// Time at which the key becomes invalid, if it does.
    pub expires_at: Option<Time>,
}

/// Use of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Time of the use, to the minute.
    pub at: Time,
    /// Network address, if it is known.
    pub address: Option<String>,
}

/// Key of a user, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Id of the key, which is not secret.
    pub id: Uuid,
    /// Name that the user chose.
    pub name: String,
    /// First characters of the key.
    pub start: String,
    /// Scopes. Those of a later version, which this one does not know, are left out.
    pub scopes: Vec<Scope>,
    /// Time of creation.
    pub created_at: Time,
    /// Time at which the key becomes invalid, if it does.
    pub expires_at: Option<Time>,
    /// Last use that was recorded.
    pub last_use: Option<KeyUse>,
}

impl From<api_key::Model> for Key {
    fn from(row: api_key::Model) -> Self {
        let has = |scope: &Scope| row.scopes.split(' ').any(|name| name == scope.name());
        let address = row.last_used_address;
        Self {
            id: row.id,
            scopes: Scope::ALL.into_iter().filter(has).collect(),
            name: row.name,
            start: row.start,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_use: row.last_used_at.map(|at| KeyUse { at, address }),
        }
    }
}

/// Result of the creation of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyCreation {
    /// The key is valid.
    Created(Key),
    /// The user has as many keys as allowed.
    TooMany,
    /// The user has changed since the password and the second factor were verified.
    Rejected,
}

impl Database {
    /// Create a key of a user whose password and second factor were verified, unless the user has
    /// `max` keys, and notify the user.
    pub async fn create_key(
        &self,
        user: &User,
        new: NewKey<'_>,
        max: u64,
    ) -> Result<KeyCreation, Error> {
        let transaction = self.begin().await?;
        let current = lock_user(&transaction, user.id).await?;
        if !current.is_some_and(|current| user.has_access_of(&current)) {
            return Ok(KeyCreation::Rejected);
        }
        if of_user(user.id).count(&transaction).await? >= max {
            return Ok(KeyCreation::TooMany);
        }
        let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.name()).collect();
        let row = api_key::ActiveModel {
            id: ActiveValue::Set(Uuid::now_v7()),
            user_id: ActiveValue::Set(user.id.0),
            name: ActiveValue::Set(new.name.to_owned()),
            start: ActiveValue::Set(new.start.to_owned()),
            key_hash: ActiveValue::Set(new.hash.to_owned()),
            scopes: ActiveValue::Set(scopes.join(" ")),
            created_at: ActiveValue::Set(self.now()),
            expires_at: ActiveValue::Set(new.expires_at),
            last_used_at: ActiveValue::Set(None),
            last_used_address: ActiveValue::Set(None),
        };
        let row = row.insert(&transaction).await?;
        self.write_notice(&transaction, user, AccountMailKind::KeyCreated).await?;
        transaction.commit().await?;
        self.wake_mailer();
        Ok(KeyCreation::Created(row.into()))
    }

    /// Keys of a user, newest first, also those that have expired.
    pub async fn keys(&self, user: UserId) -> Result<Vec<Key>, Error> {
        let newest_first = of_user(user)
            .order_by_desc(api_key::Column::CreatedAt)
            .order_by_desc(api_key::Column::Id);
        Ok(newest_first.all(&self.read).await?.into_iter().map(Key::from).collect())
    }

    /// Key with this hash, which may have expired, and its user, who may be inactive.
    pub async fn find_key(&self, hash: &str) -> Result<Option<(Key, User)>, Error> {
        let found = api_key::Entity::find()
            .find_also_related(user::Entity)
            .filter(api_key::Column::KeyHash.eq(hash))
            .one(&self.read)
            .await?;
        let Some((key, Some(user))) = found else { return Ok(None) };
        Ok(Some((key.into(), user.try_into()?)))
    }

    /// Record a use of a key at a time, unless one was recorded within a minute before it.
    pub async fn record_key_use(
        &self,
        key: &Key,
        at: Time,
        address: Option<IpAddr>,
    ) -> Result<(), Error> {
        let before = at - USE_PERIOD;
        if key.last_use.as_ref().is_some_and(|last| last.at > before) {
            return Ok(());
        }
        let address = address.map(|address| address.to_string());
        // Of several uses at the same time, one is recorded.
        let is_due =
            api_key::Column::LastUsedAt.is_null().or(api_key::Column::LastUsedAt.lte(before));
        api_key::Entity::update_many()
            .col_expr(api_key::Column::LastUsedAt, Expr::value(at))
            .col_expr(api_key::Column::LastUsedAddress, Expr::value(address))
            .filter(api_key::Column::Id.eq(key.id))
            .filter(is_due)
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Delete a key of a user. Return whether the user had it.
    pub async fn delete_key(&self, user: UserId, id: Uuid) -> Result<bool, Error> {
        let deleted = api_key::Entity::delete_many()
            .filter(api_key::Column::Id.eq(id))
            .filter(api_key::Column::UserId.eq(user.0))
            .exec(&self.write)
            .await?;
        Ok(deleted.rows_affected > 0)
    }

    /// Delete all keys of the user with an e-mail address, in any case. Return the user; `None` if
    /// the address is not registered.
    pub async fn delete_keys(&self, email: &str) -> Result<Option<User>, Error> {
        let user = self.user_by_email(email).await?;
        if let Some(user) = &user {
            remove_keys(&self.write, user.id).await?;
        }
        Ok(user)
    }
}

/// Delete all keys of a user.
pub(crate) async fn remove_keys(on: &impl ConnectionTrait, user: UserId) -> Result<(), Error> {
    api_key::Entity::delete_many().filter(api_key::Column::UserId.eq(user.0)).exec(on).await?;
    Ok(())
}

/// Query for the keys of a user.
fn of_user(user: UserId) -> sea_orm::Select<api_key::Entity> {
    api_key::Entity::find().filter(api_key::Column::UserId.eq(user.0))
}
