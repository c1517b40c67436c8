//! Users.

use jobs::{Language, State, Time, UserId};
use sea_orm::sea_query::{Expr, ExprTrait, Func};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter,
    QuerySelect,
};

use crate::rows::{job, user};
use crate::sessions::revoke_all;
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
    /// How often the password was changed. Tokens of an earlier generation are worth nothing.
    pub generation: u32,
    /// When the user registered.
    pub created_at: Time,
}

/// What a user's jobs take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Jobs that wait or run.
    pub unfinished_jobs: u64,
    /// Bytes of the videos and archives that are stored.
    pub stored_bytes: u64,
}

impl TryFrom<user::Model> for User {
    type Error = Error;

    fn try_from(row: user::Model) -> Result<Self, Error> {
        let language = Language::of_tag(&row.language)
            .ok_or_else(|| Error::Corrupt(format!("the language of user {}", row.id)))?;
        let (id, email, name, password_hash) =
            (UserId(row.id), row.email, row.name, row.password_hash);
        let generation = u32::try_from(row.generation)
            .map_err(|_| Error::Corrupt(format!("the generation of user {}", row.id)))?;
        Ok(Self {
            id,
            email,
            name,
            password_hash,
            language,
            generation,
            created_at: row.created_at,
        })
    }
}

impl Database {
    /// Register a user.
    ///
    /// # Errors
    /// [`Error::Taken`] if somebody has this address.
    pub async fn register(
        &self,
        email: &str,
        name: &str,
        password_hash: String,
        language: Language,
    ) -> Result<User, Error> {
        let row = user::ActiveModel {
            id: ActiveValue::Set(UserId::generate().0),
            email: ActiveValue::Set(email.to_lowercase()),
            name: ActiveValue::Set(name.to_owned()),
            password_hash: ActiveValue::Set(password_hash),
            language: ActiveValue::Set(language.tag().to_owned()),
            generation: ActiveValue::Set(0),
            created_at: ActiveValue::Set(self.now()),
        };
        row.insert(&self.write).await?.try_into()
    }

    /// The user with this address, in any case of letters.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<User>, Error> {
        let found = user::Entity::find()
            .filter(user::Column::Email.eq(email.to_lowercase()))
            .one(&self.read)
            .await?;
        found.map(User::try_from).transpose()
    }

    /// Change a user's password, and end all sessions.
    pub async fn change_password(&self, user: UserId, password_hash: String) -> Result<(), Error> {
        let transaction = self.begin().await?;
        user::Entity::update_many()
            .col_expr(user::Column::PasswordHash, Expr::value(password_hash))
            .col_expr(user::Column::Generation, Expr::col(user::Column::Generation).add(1))
            .filter(user::Column::Id.eq(user.0))
            .exec(&transaction)
            .await?;
        revoke_all(&transaction, self, user).await?;
        Ok(transaction.commit().await?)
    }

    /// What a user's jobs take.
    pub async fn usage(&self, user: UserId) -> Result<Usage, Error> {
        let unfinished = [State::Uploaded, State::Queued, State::Processing].map(State::name);
        let unfinished_jobs = job::Entity::find()
            .filter(job::Column::UserId.eq(user.0))
            .filter(job::Column::Status.is_in(unfinished))
            .count(&self.read)
            .await?;
        let bytes = |column: job::Column| {
            Expr::expr(Func::coalesce([Expr::col(column).sum(), Expr::value(0_i64)]))
                .cast_as("bigint")
        };
        let (videos, archives): (i64, i64) = job::Entity::find()
            .select_only()
            .expr_as(bytes(job::Column::VideoSizeBytes), "videos")
            .expr_as(bytes(job::Column::ZipSizeBytes), "archives")
            .filter(job::Column::UserId.eq(user.0))
            .filter(job::Column::FilesRemoved.eq(false))
            .into_tuple()
            .one(&self.read)
            .await?
            .unwrap_or_default();
        Ok(Usage { unfinished_jobs, stored_bytes: (videos + archives).unsigned_abs() })
    }

    /// The user with this id.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, Error> {
        user::Entity::find_by_id(id.0).one(&self.read).await?.map(User::try_from).transpose()
    }
}
