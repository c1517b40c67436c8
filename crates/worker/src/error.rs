//! Errors of maintenance.

/// Error of a maintenance step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The broker failed.
    #[error(transparent)]
    Broker(#[from] broker::Error),
}
