//! Registered users.

use std::time::Duration;

use jobs::{Language, Time, TimeZone, UserId};
use sea_orm::sea_query::{Expr, ExprTrait, LockType, SimpleExpr};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect, UpdateMany,
};

use crate::account_mails::{AccountMailKind, NewMail};
use crate::account_tokens::TokenPurpose;
use crate::bounded::Transaction;
use crate::connection::Database;
use crate::error::Error;
use crate::mail_choice::MailChoice;
use crate::rows::{refresh_token, user};

/// Time after which a notice that could not be sent is of no use.
const NOTICE_LIFETIME: Duration = Duration::from_hours(24);

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
    /// Whether logins require a code of the second factor.
    pub second_factor: bool,
    /// Time of registration.
    pub created_at: Time,
    /// Time of the last update of the user.
    pub updated_at: Time,
    /// Whether the user has proven to read mails to the address, or did not have to.
    pub confirmed: bool,
    /// Mails about jobs that the user gets.
    pub mails: MailChoice,
    /// Time zone of the times in mails; `None` is UTC.
    pub time_zone: Option<TimeZone>,
}

/// Data of a new user.
#[derive(Debug, Clone, Copy)]
pub struct NewUser<'a> {
    /// E-mail address, in any case.
    pub email: &'a str,
    /// Name to address the user by.
    pub name: &'a str,
    /// Argon2id hash as a PHC string.
    pub password_hash: &'a str,
    /// Language of mails and messages.
    pub language: Language,
}

impl User {
    /// Whether a verification of this user's password and second factor holds for `current`, a
    /// later state of the user.
    pub(crate) fn has_access_of(&self, current: &Self) -> bool {
        let access = |user: &Self| (user.generation, user.is_active, user.second_factor);
        current.is_active && access(self) == access(current)
    }
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
            second_factor: row.second_factor,
            created_at: row.created_at,
            updated_at: row.updated_at.unwrap_or(row.created_at),
            confirmed: row.confirmed,
            mails: MailChoice::of(&row.mails),
            time_zone: row.time_zone.as_deref().and_then(TimeZone::from_name),
        })
    }
}

impl Database {
    /// Register a user whose address needs no confirmation.
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
        let new = NewUser { email, name, password_hash: &password_hash, language };
        self.insert_user(&self.write, new, true).await
    }

    /// Insert a user.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] if the address is registered.
    pub(crate) async fn insert_user(
        &self,
        on: &impl ConnectionTrait,
        new: NewUser<'_>,
        confirmed: bool,
    ) -> Result<User, Error> {
        let now = self.now();
        let row = user::ActiveModel {
            id: ActiveValue::Set(UserId::generate().0),
            email: ActiveValue::Set(new.email.to_lowercase()),
            name: ActiveValue::Set(new.name.to_owned()),
            password_hash: ActiveValue::Set(new.password_hash.to_owned()),
            language: ActiveValue::Set(new.language.tag().to_owned()),
            generation: ActiveValue::Set(0),
            is_active: ActiveValue::Set(true),
            second_factor: ActiveValue::Set(false),
            created_at: ActiveValue::Set(now),
            updated_at: ActiveValue::Set(Some(now)),
            confirmed: ActiveValue::Set(confirmed),
            ..Default::default()
        };
        row.insert(on).await?.try_into()
    }

    /// User with this e-mail address, in any case. The user may be inactive.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<User>, Error> {
        let found = user::Entity::find()
            .filter(user::Column::Email.eq(email.to_lowercase()))
            .one(&self.read)
            .await?;
        found.map(User::try_from).transpose()
    }

    /// Change the password of a user, invalidate all sessions, access tokens and links, and notify
    /// the user. `user` is the user whose current password and second factor were verified. Return
    /// whether the password was changed: `false` if one of these has changed since, or the user was
    /// disabled.
    pub async fn change_password(&self, user: &User, hash: String) -> Result<bool, Error> {
        let transaction = self.begin().await?;
        let current = lock_user(&transaction, user.id).await?;
        if !current.is_some_and(|current| user.has_access_of(&current)) {
            return Ok(false);
        }
        let update =
            user::Entity::update_many().col_expr(user::Column::PasswordHash, Expr::value(hash));
        let updated =
            self.update_access(&transaction, update, user::Column::Id.eq(user.id.0)).await?;
        let Some(updated) = updated else { return Ok(false) };
        self.announce_new_password(&transaction, &updated).await?;
        transaction.commit().await?;
        self.wake_mailer();
        Ok(true)
    }

    /// Delete the links that an earlier holder of the account may have, and notify the user of the
    /// new password.
    pub(crate) async fn announce_new_password(
        &self,
        transaction: &Transaction,
        user: &User,
    ) -> Result<(), Error> {
        let purposes = [TokenPurpose::ResetPassword, TokenPurpose::ChangeAddress];
        self.delete_tokens(transaction, user.id, &purposes).await?;
        self.write_notice(transaction, user, AccountMailKind::PasswordChanged).await
    }

    /// Write a notice of a change of their account to a user, if the address is confirmed and its
    /// budget allows it. After the commit, [wake](Self::wake_mailer) the notifier.
    pub(crate) async fn write_notice(
        &self,
        transaction: &Transaction,
        user: &User,
        kind: AccountMailKind,
    ) -> Result<(), Error> {
        debug_assert!(kind.is_notice());
        if user.confirmed {
            let expires_at = self.now() + NOTICE_LIFETIME;
            let (user, address) = (user.id, user.email.as_str());
            let mail = NewMail { user, kind, address, token: None, expires_at };
            self.write_account_mail(transaction, mail).await?;
        }
        Ok(())
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

    /// Invalidate all sessions and access tokens of a user. Return the user; `None` if the address
    /// is not registered.
    pub async fn sign_out_user(&self, email: &str) -> Result<Option<User>, Error> {
        let transaction = self.begin().await?;
        let has_email = user::Column::Email.eq(email.to_lowercase());
        let user = self.update_access(&transaction, user::Entity::update_many(), has_email).await?;
        transaction.commit().await?;
        Ok(user)
    }

    /// Users in the order of their registration, at most `limit`, beginning after the user `after`.
    pub async fn list_users(&self, after: Option<UserId>, limit: u64) -> Result<Vec<User>, Error> {
        let mut query = user::Entity::find();
        if let Some(after) = after {
            query = query.filter(user::Column::Id.gt(after.0));
        }
        let rows = query.order_by_asc(user::Column::Id).limit(limit).all(&self.read).await?;
        rows.into_iter().map(User::try_from).collect()
    }

    /// Run an update of one user that invalidates all sessions and access tokens.
    pub(crate) async fn update_access(
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

/// Read a user and lock the row until the end of the transaction. The lock serializes all changes
/// of the user's access and sessions.
///
/// SQLite has a single writer and needs no row locks. `NO KEY UPDATE` is the weakest lock that
/// conflicts with itself; other transactions can still insert jobs of the user.
pub(crate) async fn lock_user(
    transaction: &Transaction,
    id: UserId,
) -> Result<Option<User>, Error> {
    let row = user::Entity::find_by_id(id.0).lock(LockType::NoKeyUpdate).one(transaction).await?;
    row.map(User::try_from).transpose()
}

/// Revoke all refresh tokens of a user.
async fn revoke_all(
    on: &impl ConnectionTrait,
    database: &Database,
    user: UserId,
) -> Result<(), Error> {
    refresh_token::Entity::update_many()
        .col_expr(refresh_token::Column::RevokedAt, Expr::value(database.now()))
        .filter(refresh_token::Column::UserId.eq(user.0))
        .filter(refresh_token::Column::RevokedAt.is_null())
        .exec(on)
        .await?;
    Ok(())
}
