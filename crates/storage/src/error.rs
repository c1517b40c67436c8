//! Errors of the storage.

use std::io;
use std::ops::Range;

use crate::key::Key;

/// Error of an operation on the storage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The object does not exist.
    #[error("{key} does not exist in the storage")]
    NotFound {
        /// Key of the object.
        key: Key,
    },
    /// The object does not have all the requested bytes.
    #[error("{key} has {size} bytes; the range {}..{} is not within them", range.start, range.end)]
    OutOfRange {
        /// Key of the object.
        key: Key,
        /// Requested bytes.
        range: Range<u64>,
        /// Size of the object in bytes.
        size: u64,
    },
    /// The disk or the quota of the bucket is full.
    #[error("the storage is full: delete objects or enlarge it")]
    Full,
    /// The upload failed or was dropped before, or was swept because of its age.
    #[error("the upload of {key} was interrupted: start it again")]
    Interrupted {
        /// Key of the object.
        key: Key,
    },
    /// The upload was slow and had to make room for a faster one.
    #[error(
        "the upload of {key} was too slow while the memory for uploads was used up: start it again \
         later"
    )]
    Displaced {
        /// Key of the object.
        key: Key,
    },
    /// The object exceeds the maximum size of the storage.
    #[error("{key} exceeds {limit} bytes, the maximum size of an object: split it")]
    TooLarge {
        /// Key of the object.
        key: Key,
        /// Maximum size in bytes.
        limit: u64,
    },
    /// A setting is invalid.
    #[error("{setting} {problem}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Predicate of the message: `is ...`.
        problem: String,
    },
    /// The key that signs links is too short.
    #[error("the key that signs links has {length} bytes: use at least {minimum} random ones")]
    WeakSigningKey {
        /// Length of the key in bytes.
        length: usize,
        /// Minimum length in bytes.
        minimum: usize,
    },
    /// The storage cannot be reached, or it failed.
    #[error("the storage failed to {action}: {cause}")]
    Unavailable {
        /// The operation, as an infinitive: `read videos/...`.
        action: String,
        /// Cause of the failure. The message includes it, so there is no `source()`.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Whether the same operation may succeed later without any change.
    #[must_use]
    pub const fn retry_may_help(&self) -> bool {
        match self {
            Self::Full
            | Self::Interrupted { .. }
            | Self::Displaced { .. }
            | Self::Unavailable { .. } => true,
            Self::NotFound { .. }
            | Self::OutOfRange { .. }
            | Self::TooLarge { .. }
            | Self::Setting { .. }
            | Self::WeakSigningKey { .. } => false,
        }
    }

    /// Convert an I/O error of the operating system during `action`.
    pub(crate) fn from_io(action: impl FnOnce() -> String, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Unavailable { action: action(), cause: error.into() },
        }
    }
}

/// Conversion for synchronous readers and writers. [`io::Error::downcast`] restores the original
/// error.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::NotFound { .. } => io::ErrorKind::NotFound,
            Error::Full => io::ErrorKind::StorageFull,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use jobs::{JobId, UserId};

    use super::*;

    #[test]
    fn distinguishes_a_full_disk() {
        // errno(3): ENOSPC is 28 and EDQUOT 122 on Linux; EIO is 5.
        let convert =
            |errno| Error::from_io(|| "write".to_owned(), io::Error::from_raw_os_error(errno));
        assert!(matches!(convert(28), Error::Full));
        assert!(matches!(convert(122), Error::Full));
        let other = convert(5);
        assert!(other.to_string().starts_with("the storage failed to write: "), "{other}");
        assert!(other.retry_may_help());
    }

    #[test]
    fn survives_the_conversion_to_an_io_error() {
        let key = Key::archive(UserId::generate(), JobId::generate(), 1);
        let error = io::Error::from(Error::NotFound { key: key.clone() });
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let original = error.downcast::<Error>().expect("the error is one of the storage");
        assert!(matches!(&original, Error::NotFound { key: missing } if *missing == key));
        assert!(!original.retry_may_help());
    }
}
