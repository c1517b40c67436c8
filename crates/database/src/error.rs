//! Errors of the database.

use sea_orm::{DbErr, SqlErr};

/// Reason why a transaction was not committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A unique value exists already.
    #[error("the entry exists already")]
    AlreadyExists,
    /// The database rejected a statement or broke the connection. The message includes the causes,
    /// so there is no `source()`.
    #[error("the database failed: {0}")]
    Database(DbErr),
    /// No server accepted a connection in time.
    #[error("no database server responds at this host and port")]
    Unreachable,
    /// A row holds a value that no version of this program writes.
    #[error("the database holds an invalid value: {0}")]
    Corrupt(String),
    /// The schema is older than this program.
    #[error("the database's schema is older than this program: run `fiapx migrate`")]
    Schema,
    /// The schema is newer than this program.
    #[error(
        "the database's schema is newer than this program: run the program that migrated it, \
         or a later one"
    )]
    LaterSchema,
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => Self::AlreadyExists,
            _ => Self::Database(error),
        }
    }
}
