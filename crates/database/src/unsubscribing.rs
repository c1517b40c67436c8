//! Links in mails that end them (RFC 8058), each by a secret of the user.
//!
//! The secret permits nothing else: it is in the headers of mails, which mail programs and the
//! servers on the way see. It is not renewed, so that the link of an old mail works.

use jobs::UserId;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::connection::Database;
use crate::error::Error;
use crate::mail_choice::MailChoice;
use crate::rows::user;

impl Database {
    /// Secret of a user's link that ends mails; `None` if the user is deleted. The first call
    /// creates it.
    pub async fn unsubscribe_secret(&self, user: UserId) -> Result<Option<String>, Error> {
        if let Some(secret) = self.known_secret(user).await? {
            return Ok(Some(secret));
        }
        // 128 random bits in hexadecimal.
        let secret = Uuid::from_bytes(rand::random()).simple().to_string();
        user::Entity::update_many()
            .col_expr(user::Column::UnsubscribeSecret, Expr::value(secret))
            .filter(user::Column::Id.eq(user.0))
            .filter(user::Column::UnsubscribeSecret.is_null())
            .exec(&self.write)
            .await?;
        // Another process may have created one first.
        self.known_secret(user).await
    }

    async fn known_secret(&self, user: UserId) -> Result<Option<String>, Error> {
        let secret = user::Entity::find_by_id(user.0)
            .select_only()
            .column(user::Column::UnsubscribeSecret)
            .into_tuple::<Option<String>>()
            .one(&self.write)
            .await?;
        Ok(secret.flatten())
    }

    /// Send no more mails about jobs to the user with this secret. Return the user; `None` if the
    /// secret is nobody's.
    pub async fn unsubscribe(&self, secret: &str) -> Result<Option<UserId>, Error> {
        let found = user::Entity::find()
            .filter(user::Column::UnsubscribeSecret.eq(secret))
            .one(&self.read)
            .await?;
        let Some(found) = found else { return Ok(None) };
        if MailChoice::of(&found.mails) != MailChoice::None {
            user::Entity::update_many()
                .col_expr(user::Column::Mails, Expr::value(MailChoice::None.name()))
                .col_expr(user::Column::UpdatedAt, Expr::value(self.now()))
                .filter(user::Column::Id.eq(found.id))
                .exec(&self.write)
                .await?;
        }
        Ok(Some(UserId(found.id)))
    }
}
