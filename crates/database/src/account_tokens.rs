//! Tokens in the links of mails: of one use, for a limited time, stored as hashes.

use std::time::Duration;

use jobs::{Time, UserId};
use sea_orm::sea_query::LockType;
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    QuerySelect,
};
use uuid::Uuid;

use crate::account_mails::{AccountMailKind, NewMail};
use crate::bounded::Transaction;
use crate::connection::Database;
use crate::error::Error;
use crate::rows::{account_token, user};

/// Token for a link. Only its hash is kept; the row of the mail holds the secret until it is sent.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    /// Part of the link.
    pub secret: &'a str,
    /// Hash of the secret.
    pub hash: &'a str,
}

/// Purpose of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenPurpose {
    /// Confirms the address of an account.
    ConfirmAddress,
    /// Permits a new password.
    ResetPassword,
    /// Confirms the new address of an account.
    ChangeAddress,
}

impl TokenPurpose {
    /// Name in the database.
    const fn name(self) -> &'static str {
        match self {
            Self::ConfirmAddress => "CONFIRM_ADDRESS",
            Self::ResetPassword => "RESET_PASSWORD",
            Self::ChangeAddress => "CHANGE_ADDRESS",
        }
    }

    /// Mail with the link.
    const fn mail(self) -> AccountMailKind {
        match self {
            Self::ConfirmAddress => AccountMailKind::ConfirmAddress,
            Self::ResetPassword => AccountMailKind::ResetPassword,
            Self::ChangeAddress => AccountMailKind::ConfirmNewAddress,
        }
    }

    /// Time for which a token is valid.
    #[must_use]
    pub const fn lifetime(self) -> Duration {
        match self {
            Self::ConfirmAddress | Self::ChangeAddress => Duration::from_hours(24),
            Self::ResetPassword => Duration::from_mins(30),
        }
    }
}

/// Valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ValidToken {
    pub(crate) user: UserId,
    /// Address to which it was sent.
    pub(crate) address: String,
}

impl ValidToken {
    fn of(row: account_token::Model) -> Self {
        Self { user: UserId(row.user_id), address: row.address }
    }
}

impl Database {
    /// Write a token and the mail with its link. Return whether the budget of the address allows
    /// the mail; without the mail there is no token. Earlier tokens stay valid, so that nobody can
    /// make the link useless that another one waits for.
    pub(crate) async fn issue_token(
        &self,
        on: &Transaction,
        purpose: TokenPurpose,
        user: UserId,
        address: &str,
        token: NewToken<'_>,
    ) -> Result<bool, Error> {
        let now = self.now();
        let expires_at = now + purpose.lifetime();
        let (kind, secret) = (purpose.mail(), Some(token.secret));
        let mail = NewMail { user, kind, address, token: secret, expires_at };
        if !self.write_account_mail(on, mail).await? {
            return Ok(false);
        }
        let row = account_token::ActiveModel {
            id: ActiveValue::Set(Uuid::now_v7()),
            user_id: ActiveValue::Set(user.0),
            purpose: ActiveValue::Set(purpose.name().to_owned()),
            token_hash: ActiveValue::Set(token.hash.to_owned()),
            address: ActiveValue::Set(address.to_owned()),
            created_at: ActiveValue::Set(now),
            expires_at: ActiveValue::Set(expires_at),
        };
        row.insert(on).await?;
        Ok(true)
    }

    /// Valid token with this hash, which stays valid.
    pub(crate) async fn find_token(
        &self,
        on: &impl ConnectionTrait,
        purpose: TokenPurpose,
        hash: &str,
    ) -> Result<Option<ValidToken>, Error> {
        Ok(find(on, purpose, hash, self.now()).await?.map(ValidToken::of))
    }

    /// Use up the valid token with this hash, and lock its user until the end of the transaction.
    /// Of two transactions, one gets the token.
    pub(crate) async fn use_token(
        &self,
        on: &Transaction,
        purpose: TokenPurpose,
        hash: &str,
    ) -> Result<Option<ValidToken>, Error> {
        let Some(row) = find(on, purpose, hash, self.now()).await? else { return Ok(None) };
        // In the order of a transaction that deletes the user.
        user::Entity::find_by_id(row.user_id).lock(LockType::NoKeyUpdate).one(on).await?;
        let used = account_token::Entity::delete_by_id(row.id).exec(on).await?;
        Ok((used.rows_affected > 0).then(|| ValidToken::of(row)))
    }

    /// Delete the tokens that are expired.
    pub(crate) async fn purge_tokens(&self) -> Result<(), Error> {
        account_token::Entity::delete_many()
            .filter(account_token::Column::ExpiresAt.lte(self.now()))
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Delete the tokens of a user for these purposes.
    pub(crate) async fn delete_tokens(
        &self,
        on: &impl ConnectionTrait,
        user: UserId,
        purposes: &[TokenPurpose],
    ) -> Result<(), Error> {
        account_token::Entity::delete_many()
            .filter(account_token::Column::UserId.eq(user.0))
            .filter(account_token::Column::Purpose.is_in(purposes.iter().map(|p| p.name())))
            .exec(on)
            .await?;
        Ok(())
    }
}

async fn find(
    on: &impl ConnectionTrait,
    purpose: TokenPurpose,
    hash: &str,
    now: Time,
) -> Result<Option<account_token::Model>, Error> {
    Ok(account_token::Entity::find()
        .filter(account_token::Column::TokenHash.eq(hash))
        .filter(account_token::Column::Purpose.eq(purpose.name()))
        .filter(account_token::Column::ExpiresAt.gt(now))
        .one(on)
        .await?)
}
