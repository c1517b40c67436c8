//! Users.

use jobs::{Language, Time, UserId};
use sea_orm::{ActiveModelTrait, ActiveValue, ColumnTrait, EntityTrait, QueryFilter};

use crate::rows::user;
use crate::{Database, Error};

/// A registered user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// E-mail address in lower case.
    pub email: String,
    /// What the user wants to be called.
    pub name: String,
    /// Argon2id, as a PHC string.
    pub password_hash: String,
    /// Language of mails and messages.
    pub language: Language,
    /// When the user registered.
    pub created_at: Time,
}

impl TryFrom<user::Model> for User {
    type Error = Error;

    fn try_from(row: user::Model) -> Result<Self, Error> {
        let language = Language::of_tag(&row.language).ok_or_else(|| Error::Corrupt(format!("the language of user {}", row.id)))?;
        let (id, email, name, password_hash) = (UserId(row.id), row.email, row.name, row.password_hash);
        Ok(Self { id, email, name, password_hash, language, created_at: row.created_at })
    }
}

impl Database {
    /// Register a user.
    ///
    /// # Errors
    /// [`Error::Taken`] if somebody has this address.
    pub async fn register(&self, email: &str, name: &str, password_hash: String, language: Language) -> Result<User, Error> {
        let row = user::ActiveModel {
            id: ActiveValue::Set(UserId::generate().0),
            email: ActiveValue::Set(email.to_lowercase()),
            name: ActiveValue::Set(name.to_owned()),
            password_hash: ActiveValue::Set(password_hash),
            language: ActiveValue::Set(language.tag().to_owned()),
            created_at: ActiveValue::Set(self.now()),
        };
        row.insert(&self.write).await?.try_into()
    }

    /// The user with this address, in any case of letters.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<User>, Error> {
        let found = user::Entity::find().filter(user::Column::Email.eq(email.to_lowercase())).one(&self.read).await?;
        found.map(User::try_from).transpose()
    }

    /// The user with this id.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, Error> {
        user::Entity::find_by_id(id.0).one(&self.read).await?.map(User::try_from).transpose()
    }
}
