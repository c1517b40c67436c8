//! Forgotten passwords.

use jobs::UserId;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait};

use crate::account_tokens::{NewToken, TokenPurpose};
use crate::connection::Database;
use crate::error::Error;
use crate::keys::remove_keys;
use crate::rows::user;
use crate::second_factor::remove_second_factor;
use crate::users::{User, lock_user};
use crate::webhooks::remove_webhooks;

impl Database {
    /// Send a link to set a new password, if the budget of the address allows it. Has no effect if
    /// the user is disabled.
    pub async fn request_password_reset(
        &self,
        user: UserId,
        token: NewToken<'_>,
    ) -> Result<(), Error> {
        let transaction = self.begin().await?;
        let user = lock_user(&transaction, user).await?;
        let Some(user) = user.filter(|user| user.is_active) else { return Ok(()) };
        let purpose = TokenPurpose::ResetPassword;
        if self.issue_token(&transaction, purpose, user.id, &user.email, token).await? {
            transaction.commit().await?;
            self.wake_mailer();
        }
        Ok(())
    }

    /// User who may set a new password with this token, which stays valid.
    pub async fn user_of_password_reset(&self, token_hash: &str) -> Result<Option<User>, Error> {
        let token = self.find_token(&self.read, TokenPurpose::ResetPassword, token_hash).await?;
        let Some(token) = token else { return Ok(None) };
        Ok(self.user(token.user).await?.filter(|user| user.is_active))
    }

    /// Set a new password with a token, invalidate all sessions, access tokens and links, and
    /// notify the user. The link proves the address. Return the user; `None` if the token is
    /// unknown, used or expired, or the user is disabled.
    pub async fn reset_password(
        &self,
        token_hash: &str,
        password_hash: String,
    ) -> Result<Option<User>, Error> {
        let transaction = self.begin().await?;
        let purpose = TokenPurpose::ResetPassword;
        let Some(token) = self.use_token(&transaction, purpose, token_hash).await? else {
            return Ok(None);
        };
        let mut update = user::Entity::update_many()
            .col_expr(user::Column::PasswordHash, Expr::value(password_hash))
            .col_expr(user::Column::Confirmed, Expr::value(true));
        let former = lock_user(&transaction, token.user).await?;
        if former.is_some_and(|former| !former.confirmed) {
            // Somebody who registered the address of another person must not keep that person out,
            // nor a way in, nor learn what becomes of that person's jobs.
            remove_second_factor(&transaction, token.user).await?;
            remove_keys(&transaction, token.user).await?;
            remove_webhooks(&transaction, token.user).await?;
            update = update.col_expr(user::Column::SecondFactor, Expr::value(false));
        }
        let which = user::Column::Id
            .eq(token.user.0)
            .and(user::Column::Email.eq(token.address))
            .and(user::Column::IsActive.eq(true));
        let Some(user) = self.update_access(&transaction, update, which).await? else {
            return Ok(None);
        };
        self.delete_tokens(&transaction, user.id, &[TokenPurpose::ConfirmAddress]).await?;
        self.announce_new_password(&transaction, &user).await?;
        transaction.commit().await?;
        self.wake_mailer();
        Ok(Some(user))
    }
}
