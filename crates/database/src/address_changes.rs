//! Changes of a user's name, language, mails and address. A new address takes effect when it is
//! confirmed.

use jobs::{Language, TimeZone};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use crate::account_mails::AccountMailKind;
use crate::account_tokens::{NewToken, TokenPurpose};
use crate::connection::Database;
use crate::error::Error;
use crate::mail_choice::MailChoice;
use crate::rows::user;
use crate::users::{User, lock_user};

/// Result of the request to change an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressRequest {
    /// A mail is sent to the new address.
    Accepted,
    /// The budget of mails to the new address, or of the user, is used up.
    TooManyMails,
    /// The user has changed since the verification of the password.
    Rejected,
}

/// Result of opening the link that confirms a new address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressChange {
    /// The user has the new address.
    Changed(User),
    /// The token is unknown, used or expired.
    InvalidLink,
    /// Somebody else has registered the address since.
    Taken,
}

/// Changes of a user. What is `None` stays as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProfileUpdate<'a> {
    /// Name to address the user by.
    pub name: Option<&'a str>,
    /// Language of mails and messages.
    pub language: Option<Language>,
    /// Mails about jobs that the user gets.
    pub mails: Option<MailChoice>,
    /// Time zone of the times in mails.
    pub time_zone: Option<TimeZone>,
}

impl Database {
    /// Change what a user may change without a proof. Return the user; `None` if the user is
    /// deleted.
    pub async fn update_profile(
        &self,
        user: jobs::UserId,
        change: ProfileUpdate<'_>,
    ) -> Result<Option<User>, Error> {
        let ProfileUpdate { name, language, mails, time_zone } = change;
        let mut update = user::Entity::update_many()
            .col_expr(user::Column::UpdatedAt, Expr::value(self.now()))
            .filter(user::Column::Id.eq(user.0));
        if let Some(name) = name {
            update = update.col_expr(user::Column::Name, Expr::value(name));
        }
        if let Some(language) = language {
            update = update.col_expr(user::Column::Language, Expr::value(language.tag()));
        }
        if let Some(mails) = mails {
            update = update.col_expr(user::Column::Mails, Expr::value(mails.name()));
        }
        if let Some(zone) = time_zone {
            update = update.col_expr(user::Column::TimeZone, Expr::value(zone.name()));
        }
        let updated = update.exec_with_returning(&self.write).await?.pop();
        updated.map(User::try_from).transpose()
    }

    /// Send a link to the new address of a user, or a notice if it belongs to another account, and
    /// notify the present address. Replaces an earlier request. `verified` is the user whose
    /// password and second factor were verified.
    pub async fn request_address_change(
        &self,
        verified: &User,
        address: &str,
        token: NewToken<'_>,
    ) -> Result<AddressRequest, Error> {
        let (transaction, address) = (self.begin().await?, address.to_lowercase());
        let current = lock_user(&transaction, verified.id).await?;
        let current = current.filter(|current| verified.has_access_of(current));
        let Some(current) = current else { return Ok(AddressRequest::Rejected) };
        let purpose = TokenPurpose::ChangeAddress;
        self.delete_tokens(&transaction, current.id, &[purpose]).await?;
        let owner = user::Entity::find().filter(user::Column::Email.eq(address.as_str()));
        let is_written = if let Some(owner) = owner.one(&transaction).await? {
            let owner = User::try_from(owner)?;
            self.announce_registration(&transaction, &owner).await?
        } else {
            self.issue_token(&transaction, purpose, current.id, &address, token).await?
        };
        if !is_written {
            return Ok(AddressRequest::TooManyMails);
        }
        let kind = AccountMailKind::AddressChangeRequested;
        self.write_notice(&transaction, &current, kind).await?;
        transaction.commit().await?;
        self.wake_mailer();
        Ok(AddressRequest::Accepted)
    }

    /// Change the address of a user to the one to which the link with this token was sent, and
    /// notify the former one. All links of the user become invalid.
    pub async fn change_address(&self, token_hash: &str) -> Result<AddressChange, Error> {
        let transaction = self.begin().await?;
        let purpose = TokenPurpose::ChangeAddress;
        let Some(token) = self.use_token(&transaction, purpose, token_hash).await? else {
            return Ok(AddressChange::InvalidLink);
        };
        let Some(former) = lock_user(&transaction, token.user).await? else {
            return Ok(AddressChange::InvalidLink);
        };
        let update = user::Entity::update_many()
            .col_expr(user::Column::Email, Expr::value(token.address))
            .col_expr(user::Column::Confirmed, Expr::value(true))
            .col_expr(user::Column::UpdatedAt, Expr::value(self.now()))
            .filter(user::Column::Id.eq(token.user.0))
            .exec_with_returning(&transaction)
            .await;
        let changed = match update.map_err(Error::from) {
            Err(Error::AlreadyExists) => return Ok(AddressChange::Taken),
            updated => updated?.pop().map(User::try_from).transpose()?,
        };
        let Some(changed) = changed else { return Ok(AddressChange::InvalidLink) };
        let purposes = [purpose, TokenPurpose::ConfirmAddress, TokenPurpose::ResetPassword];
        self.delete_tokens(&transaction, changed.id, &purposes).await?;
        self.write_notice(&transaction, &former, AccountMailKind::AddressChanged).await?;
        transaction.commit().await?;
        self.wake_mailer();
        Ok(AddressChange::Changed(changed))
    }
}
