//! Errors of requests.

/// Reason why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host has no address.
    #[error("the host cannot be resolved: {0}")]
    Unresolved(String),
    /// An address of the host is not permitted, so no connection was made.
    #[error("the host has an address that is not permitted")]
    Forbidden,
    /// No connection.
    #[error("cannot connect: {0}")]
    Connection(String),
    /// No encrypted connection, for example because of the certificate.
    #[error("cannot encrypt the connection: {0}")]
    Encryption(String),
    /// The connection was closed early, or the answer is not HTTP.
    #[error("no valid answer: {0}")]
    Answer(String),
    /// The time limit was reached.
    #[error("no answer in time")]
    Timeout,
    /// The request cannot be sent.
    #[error("the request is invalid: {0}")]
    Request(String),
}

impl Error {
    /// Stable code, in upper snake case.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unresolved(_) => "HOST_UNRESOLVED",
            Self::Forbidden => "HOST_FORBIDDEN",
            Self::Connection(_) => "CONNECTION_FAILED",
            Self::Encryption(_) => "ENCRYPTION_FAILED",
            Self::Answer(_) => "ANSWER_INVALID",
            Self::Timeout => "ANSWER_TIMEOUT",
            Self::Request(_) => "REQUEST_INVALID",
        }
    }
}
