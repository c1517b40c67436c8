//! What can go wrong with the database.

use sea_orm::{DbErr, SqlErr};

/// Why a transaction did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something that has to be unique is there already.
    #[error("there is one already")]
    Taken,
    /// The database could not be reached, or refused. Its words are those of the causes, too.
    #[error("the database failed: {0}")]
    Database(DbErr),
    /// Nobody took a connection in time.
    #[error("nobody answers at its host and port")]
    Unreachable,
    /// A row holds what no version of this program writes.
    #[error("the database holds what cannot be understood: {0}")]
    Corrupt(String),
    /// The schema is older than this program.
    #[error("the database's schema is older than this program: run `fiapx migrate`")]
    Schema,
    /// The schema is newer than this program.
    #[error(
        "the database's schema is newer than this program: run the program that made it, or a later one"
    )]
    LaterSchema,
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => Self::Taken,
            _ => Self::Database(error),
        }
    }
}
