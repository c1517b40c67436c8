//! The video of an attempt, in the store or at its address.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use egress::{RangedFile, RemoteError};
use jobs::FailureCode;
use storage::blocking::{Ranges, Reader};
use storage::{Object, Storage};
use tokio::runtime::Handle;

use crate::archive_quota::AttemptEnd;
use crate::attempt_error::AttemptError;

/// Video that an attempt reads.
pub(crate) enum VideoInput {
    /// Object in the store.
    Stored(Arc<dyn Storage>, Object),
    /// File at its address, which is read by ranges.
    Remote(Box<RangedFile>),
}

impl VideoInput {
    /// Size in bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Stored(_, object) => object.size,
            Self::Remote(file) => file.size(),
        }
    }

    /// Reader for threads that may block. Its errors contain an [`AttemptError`] if the cause is
    /// not in the store.
    pub(crate) fn reader(self, end: AttemptEnd, runtime: Handle) -> Reader {
        match self {
            Self::Stored(storage, object) => Reader::new(storage, &object, runtime),
            Self::Remote(file) => {
                let size = file.size();
                Reader::of_ranges(Arc::new(RemoteRanges { file, end }), size, runtime)
            }
        }
    }
}

/// Ranges of a file at its address, until the attempt ends.
struct RemoteRanges {
    file: Box<RangedFile>,
    end: AttemptEnd,
}

#[async_trait]
impl Ranges for RemoteRanges {
    async fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        tokio::select! {
            bytes = self.file.read(range) => {
                bytes.map_err(|error| io::Error::other(remote_error(&error)))
            }
            () = self.end.reached() => Err(io::Error::other("the attempt has ended")),
        }
    }
}

/// The error of an attempt whose video cannot be read at its address.
pub(crate) fn remote_error(error: &RemoteError) -> AttemptError {
    let code = match error {
        RemoteError::TooLarge { .. } => FailureCode::SourceTooLarge,
        RemoteError::Changed => FailureCode::SourceChanged,
        error if error.is_refusal() => FailureCode::SourceRefused,
        _ => FailureCode::SourceUnreachable,
    };
    AttemptError::new(code, format!("the video cannot be read at its address: {error}"))
}
