//! Registered users.

use jobs::{Language, Time, UserId};
use sea_orm::sea_query::{Expr, ExprTrait, SimpleExpr};
use sea_orm::{ActiveModelTrait, ActiveValue, ColumnTrait, EntityTrait, QueryFilter, UpdateMany};

use crate::bounded::Transaction;
use crate::connection::Database;
use crate::error::Error;
use crate::rows::user;
use crate::sessions::revoke_all;

/// Registered user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Id of the user.
    pub id: UserId,
    /// E-mail address in lower case.
    pub email: String,
    /// Name to address the user by.
    pub name: String,
    /// Argon2id hash as a PHC string.
    pub password_hash: String,
    /// Language of mails and messages.
    pub language: Language,
    /// Generation of access tokens, raised by every change of the password and of `is_active`.
    /// Tokens of an earlier generation are invalid.
    pub generation: u32,
    /// Whether the user may use the service. Logins and access tokens of an inactive user must be
    /// rejected; [`Database::rotate_session`] rejects the refresh tokens.
    pub is_active: bool,
    /// Time of registration.
    pub created_at: Time,
    /// Time of the last update of the user.
    pub updated_at: Time,
}

impl TryFrom<user::Model> for User {
    type Error = Error;

    fn try_from(row: user::Model) -> Result<Self, Error> {
        let language = Language::from_tag(&row.language)
            .ok_or_else(|| Error::Corrupt(format!("language of user {}", row.id)))?;
        let generation = u32::try_from(row.generation)
            .map_err(|_| Error::Corrupt(format!("generation of user {}", row.id)))?;
        Ok(Self {
            id: UserId(row.id),
            email: row.email,
            name: row.name,
            password_hash: row.password_hash,
            language,
            generation,
            is_active: row.is_active,
            created_at: row.created_at,
            updated_at: row.updated_at.unwrap_or(row.created_at),
        })
    }
}

impl Database {
    /// Register a user.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] if the address is registered.
    pub async fn register(
        &self,
        email: &str,
        name: &str,
        password_hash: String,
        language: Language,
    ) -> Result<User, Error> {
        let now = self.now();
        let row = user::ActiveModel {
            id: ActiveValue::Set(UserId::generate().0),
            email: ActiveValue::Set(email.to_lowercase()),
            name: ActiveValue::Set(name.to_owned()),
            password_hash: ActiveValue::Set(password_hash),
            language: ActiveValue::Set(language.tag().to_owned()),
            generation: ActiveValue::Set(0),
            is_active: ActiveValue::Set(true),
            created_at: ActiveValue::Set(now),
            updated_at: ActiveValue::Set(Some(now)),
        };
        row.insert(&self.write).await?.try_into()
    }

    /// User with this e-mail address, in any case. The user may be inactive.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<User>, Error> {
        let found = user::Entity::find()
            .filter(user::Column::Email.eq(email.to_lowercase()))
            .one(&self.read)
            .await?;
        found.map(User::try_from).transpose()
    }

    /// Change the password of a user and invalidate all sessions and access tokens.
    pub async fn change_password(&self, user: UserId, password_hash: String) -> Result<(), Error> {
        let transaction = self.begin().await?;
        let update = user::Entity::update_many()
            .col_expr(user::Column::PasswordHash, Expr::value(password_hash));
        self.update_access(&transaction, update, user::Column::Id.eq(user.0)).await?;
        Ok(transaction.commit().await?)
    }

    /// Replace the hash of a user's password by another hash of the same password. Sessions
    /// continue. Has no effect if the password was changed since `user` was read.
    pub async fn replace_password_hash(&self, user: &User, hash: String) -> Result<(), Error> {
        user::Entity::update_many()
            .col_expr(user::Column::PasswordHash, Expr::value(hash))
            .col_expr(user::Column::UpdatedAt, Expr::value(self.now()))
            .filter(user::Column::Id.eq(user.id.0))
            .filter(user::Column::PasswordHash.eq(user.password_hash.as_str()))
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Disable a user and invalidate all sessions and access tokens. Jobs that were accepted are
    /// still processed. Return the disabled user; `None` if the address is not registered.
    pub async fn disable_user(&self, email: &str) -> Result<Option<User>, Error> {
        self.set_active(email, false).await
    }

    /// Enable a user, who has to log in again. Return the enabled user; `None` if the address is
    /// not registered.
    pub async fn enable_user(&self, email: &str) -> Result<Option<User>, Error> {
        self.set_active(email, true).await
    }

    async fn set_active(&self, email: &str, is_active: bool) -> Result<Option<User>, Error> {
        let transaction = self.begin().await?;
        let update =
            user::Entity::update_many().col_expr(user::Column::IsActive, Expr::value(is_active));
        let has_email = user::Column::Email.eq(email.to_lowercase());
        let user = self.update_access(&transaction, update, has_email).await?;
        transaction.commit().await?;
        Ok(user)
    }

    /// Run an update of one user that invalidates all sessions and access tokens.
    async fn update_access(
        &self,
        transaction: &Transaction,
        update: UpdateMany<user::Entity>,
        which: SimpleExpr,
    ) -> Result<Option<User>, Error> {
        let mut updated = update
            .col_expr(user::Column::Generation, Expr::col(user::Column::Generation).add(1))
            .col_expr(user::Column::UpdatedAt, Expr::value(self.now()))
            .filter(which)
            .exec_with_returning(transaction)
            .await?;
        let Some(user) = updated.pop().map(User::try_from).transpose()? else { return Ok(None) };
        revoke_all(transaction, self, user.id).await?;
        Ok(Some(user))
    }

    /// User with this id. The user may be inactive.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, Error> {
        user::Entity::find_by_id(id.0).one(&self.read).await?.map(User::try_from).transpose()
    }
}
