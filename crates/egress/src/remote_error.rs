//! Errors of remote files.

use crate::error::Error;
use crate::target::InvalidTarget;

/// Reason why a remote file cannot be read. No message contains an address.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// No answer.
    #[error(transparent)]
    Request(#[from] Error),
    /// An answer with a status that is not one of success.
    #[error("the server responded with status {0}")]
    Status(u16),
    /// A redirect to a target that is not permitted.
    #[error("the server redirects to an address that is not permitted: {0}")]
    Redirect(InvalidTarget),
    /// A redirect from HTTPS to HTTP.
    #[error("the server redirects from HTTPS to HTTP")]
    Downgrade,
    /// Too many redirects.
    #[error("the server redirects too often")]
    Redirects,
    /// The file exceeds the limit.
    #[error("the file has more than {limit} bytes")]
    TooLarge {
        /// Maximum size in bytes.
        limit: u64,
    },
    /// The file is not the one that was opened anymore.
    #[error("the file has changed while it was read")]
    Changed,
    /// The server stopped sending, or sends too slowly.
    #[error("the server sends too slowly")]
    Slow,
}

impl RemoteError {
    /// Whether the server, or the policy, denies the file to this service, so that the same request
    /// would be denied again.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Request(Error::Forbidden | Error::Request(_))
            | Self::Redirect(_)
            | Self::Downgrade
            | Self::Redirects => true,
            // Request Timeout, Too Early and Too Many Requests are not for ever.
            Self::Status(status) => *status < 500 && ![408, 425, 429].contains(status),
            Self::Request(_) | Self::TooLarge { .. } | Self::Changed | Self::Slow => false,
        }
    }

    /// Whether the same request may succeed in a moment.
    pub(crate) fn may_pass(&self) -> bool {
        !self.is_refusal() && !matches!(self, Self::TooLarge { .. } | Self::Changed)
    }
}
