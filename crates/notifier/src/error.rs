//! Error of a mail.

/// Reason why a mail was not sent, in plain text for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Whether another attempt would fail in the same way.
    pub permanent: bool,
    message: String,
}

impl Error {
    pub(crate) fn new(permanent: bool, message: String) -> Self {
        Self { permanent, message }
    }

    pub(crate) fn permanent(message: impl Into<String>) -> Self {
        Self::new(true, message.into())
    }

    pub(crate) fn transient(message: impl Into<String>) -> Self {
        Self::new(false, message.into())
    }
}
