//! Registration of users who have to confirm their address.

use jobs::UserId;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use crate::account_mails::{AccountMailKind, NewMail};
use crate::account_tokens::{NewToken, TokenPurpose};
use crate::bounded::Transaction;
use crate::connection::Database;
use crate::error::Error;
use crate::rows::user;
use crate::users::{NewUser, User, lock_user};

/// Result of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// The user is new, and gets a link that confirms the address.
    New(UserId),
    /// The address is registered. Its owner gets a mail about the attempt.
    Known(UserId),
}

/// Result of sending the link again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resent {
    /// Another link is sent.
    Sent,
    /// The address is confirmed.
    AlreadyConfirmed,
    /// The budget of mails to the address is used up.
    TooManyMails,
}

impl Database {
    /// Register a user who has to confirm the address, or notify the owner of a registered address.
    /// Either writes a mail, within the budget of the address.
    pub async fn register_unconfirmed(
        &self,
        new: NewUser<'_>,
        token: NewToken<'_>,
    ) -> Result<Registered, Error> {
        match self.try_to_register(new, token).await {
            // Another request has registered the address since it was looked up.
            Err(Error::AlreadyExists) => self.try_to_register(new, token).await,
            registered => registered,
        }
    }

    async fn try_to_register(
        &self,
        new: NewUser<'_>,
        token: NewToken<'_>,
    ) -> Result<Registered, Error> {
        let transaction = self.begin().await?;
        let known = user::Entity::find()
            .filter(user::Column::Email.eq(new.email.to_lowercase()))
            .one(&transaction)
            .await?;
        let registered = if let Some(known) = known {
            let owner = User::try_from(known)?;
            self.announce_registration(&transaction, &owner).await?;
            Registered::Known(owner.id)
        } else {
            let user = self.insert_user(&transaction, new, false).await?;
            let purpose = TokenPurpose::ConfirmAddress;
            self.issue_token(&transaction, purpose, user.id, &user.email, token).await?;
            Registered::New(user.id)
        };
        transaction.commit().await?;
        self.wake_mailer();
        Ok(registered)
    }

    /// Notify the owner of an address that somebody tried to use it for another account. Return
    /// whether the budget of the address allows it.
    pub(crate) async fn announce_registration(
        &self,
        transaction: &Transaction,
        owner: &User,
    ) -> Result<bool, Error> {
        let mail = NewMail {
            user: owner.id,
            kind: AccountMailKind::AlreadyRegistered,
            address: &owner.email,
            token: None,
            expires_at: self.now() + TokenPurpose::ConfirmAddress.lifetime(),
        };
        self.write_account_mail(transaction, mail).await
    }

    /// Send another link that confirms the address of a user.
    pub async fn resend_confirmation(
        &self,
        user: UserId,
        token: NewToken<'_>,
    ) -> Result<Resent, Error> {
        let transaction = self.begin().await?;
        let Some(user) = lock_user(&transaction, user).await?.filter(|user| !user.confirmed) else {
            return Ok(Resent::AlreadyConfirmed);
        };
        let purpose = TokenPurpose::ConfirmAddress;
        if !self.issue_token(&transaction, purpose, user.id, &user.email, token).await? {
            return Ok(Resent::TooManyMails);
        }
        transaction.commit().await?;
        self.wake_mailer();
        Ok(Resent::Sent)
    }

    /// Confirm the address to which the link with this token was sent. Return its user; `None` if
    /// the token is unknown, used or expired, or the user has another address now.
    pub async fn confirm_address(&self, token_hash: &str) -> Result<Option<UserId>, Error> {
        let transaction = self.begin().await?;
        let purpose = TokenPurpose::ConfirmAddress;
        let Some(token) = self.use_token(&transaction, purpose, token_hash).await? else {
            return Ok(None);
        };
        let confirmed = user::Entity::update_many()
            .col_expr(user::Column::Confirmed, Expr::value(true))
            .col_expr(user::Column::UpdatedAt, Expr::value(self.now()))
            .filter(user::Column::Id.eq(token.user.0))
            .filter(user::Column::Email.eq(token.address))
            .exec(&transaction)
            .await?;
        self.delete_tokens(&transaction, token.user, &[purpose]).await?;
        transaction.commit().await?;
        Ok((confirmed.rows_affected > 0).then_some(token.user))
    }
}
