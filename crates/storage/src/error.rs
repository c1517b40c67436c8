//! What can go wrong with storage.

use std::io;
use std::ops::Range;

use crate::Key;

/// Why an object could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such object.
    #[error("{key} is not in storage")]
    NotFound {
        /// Its key.
        key: Key,
    },
    /// The object has not all the bytes that were asked for.
    #[error("{key} has {size} bytes, not those from {} to {}", range.start, range.end)]
    OutOfRange {
        /// Its key.
        key: Key,
        /// The bytes that were asked for.
        range: Range<u64>,
        /// How many bytes it has.
        size: u64,
    },
    /// There is no room for more.
    #[error("storage is full: delete what is not needed, or give it more room")]
    Full,
    /// The upload failed or was given up before, or was swept away as too old.
    #[error("the upload of {key} was cut short: begin it again")]
    CutShort {
        /// The key that it should have had.
        key: Key,
    },
    /// The object would be larger than storage can take.
    #[error("{key} would have more than {most} bytes, which is all that storage takes: split it")]
    TooLarge {
        /// Its key.
        key: Key,
        /// How many bytes an object can have.
        most: u64,
    },
    /// A setting is wrong.
    #[error("{setting} {problem}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What is wrong with it: `is ...`.
        problem: String,
    },
    /// The key for signed links is short enough to be guessed.
    #[error(
        "links cannot be signed with a key of {length} bytes: use {} random ones or more",
        crate::disk::SHORTEST_SIGNING_KEY
    )]
    WeakSigningKey {
        /// Its length in bytes.
        length: usize,
    },
    /// The storage could not be reached, or refused.
    #[error("storage failed to {action}: {cause}")]
    Unavailable {
        /// What it was asked to do: `read videos/...`.
        action: String,
        /// What it said; no `source`, for its words are in ours.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Whether the same may succeed at another time, without anything else being done differently.
    #[must_use]
    pub const fn retry_may_help(&self) -> bool {
        match self {
            Self::Full | Self::CutShort { .. } | Self::Unavailable { .. } => true,
            Self::NotFound { .. }
            | Self::OutOfRange { .. }
            | Self::TooLarge { .. }
            | Self::Setting { .. }
            | Self::WeakSigningKey { .. } => false,
        }
    }

    /// The error that the system gave to an `action`.
    pub(crate) fn of_system(action: impl FnOnce() -> String, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Unavailable { action: action(), cause: error.into() },
        }
    }
}

/// For those who read and write synchronously. The error can be had back by
/// [`io::Error::downcast`].
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
    fn a_full_disk_is_told_apart() {
        // errno(3): ENOSPC is 28 and EDQUOT 122 on Linux; EIO is 5.
        let of =
            |number| Error::of_system(|| "write".to_owned(), io::Error::from_raw_os_error(number));
        assert!(matches!(of(28), Error::Full));
        assert!(matches!(of(122), Error::Full));
        let other = of(5);
        assert!(other.to_string().starts_with("storage failed to write: "), "{other}");
        assert!(other.retry_may_help());
    }

    #[test]
    fn the_cause_survives_synchronous_callers() {
        let key = Key::archive(UserId::generate(), JobId::generate(), 1);
        let error = io::Error::from(Error::NotFound { key: key.clone() });
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let back = error.downcast::<Error>().expect("it was one of ours");
        assert!(matches!(&back, Error::NotFound { key: missing } if *missing == key), "{back}");
        assert!(!back.retry_may_help());
    }
}
