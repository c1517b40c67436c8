//! Errors of the broker.

/// Error of an operation on the broker. A later retry may succeed in every case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection can be established.
    #[error("the broker cannot be reached: {reason}")]
    Unavailable {
        /// Cause of the failure.
        reason: String,
    },
    /// The broker is reachable but rejects the request: it is full, or a queue or a permission is
    /// missing.
    #[error("the broker rejects the request: {reason}")]
    Rejected {
        /// Message of the broker.
        reason: String,
    },
    /// The broker did not answer in time.
    #[error("the broker did not answer in time")]
    Timeout,
    /// The connection of the subscription or delivery is closed.
    #[error("the connection to the broker is closed")]
    Closed,
}
