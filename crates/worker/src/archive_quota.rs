//! Storage of the user for the archive of an attempt: bytes are reserved before they are written,
//! so the archive cannot exceed what is left, whatever other requests and attempts do meanwhile.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use database::Database;
use database::claim::Claim;
use database::quotas::{Refusal, Reservation};
use jobs::MEGABYTE;
use storage::Upload;
use storage::blocking::Writer;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Least and most bytes that are reserved at a time. The steps grow with the archive.
const LEAST_STEP: u64 = 16 << 20;
const MOST_STEP: u64 = 256 << 20;

/// Pause before a reservation is made again because the database failed.
const RETRY: Duration = Duration::from_millis(500);

/// Share of the user's storage that an attempt may use for its archive.
pub(crate) struct ArchiveQuota {
    pub database: Database,
    pub claim: Claim,
}

impl ArchiveQuota {
    /// Reserve bytes, as many as are left within a range, until the database answers.
    async fn extend(&self, least: u64, most: u64) -> Reservation {
        loop {
            match self.database.extend_archive(&self.claim, least..=most).await {
                Ok(reservation) => return reservation,
                Err(error) => warn!(%error, "cannot reserve storage for the archive; retrying"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// The storage of the user is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the archive has {written} bytes so far and does not fit into the storage of its user, of \
     which {} MB are used and reserved", .used / MEGABYTE
)]
pub(crate) struct QuotaExceeded {
    written: u64,
    used: u64,
}

/// End of an attempt, at which waiting for the database ends.
pub(crate) struct AttemptEnd {
    pub stop: CancellationToken,
    pub deadline: Instant,
}

/// Writes an archive within the quota of its user.
pub(crate) struct ArchiveWriter {
    writer: Writer,
    quota: ArchiveQuota,
    end: AttemptEnd,
    runtime: Handle,
    /// Bytes that are reserved, and those of them that are written.
    reserved: u64,
    written: u64,
}

impl ArchiveWriter {
    /// Write to `upload`. `runtime` executes its calls and those of the database.
    pub(crate) fn new(
        upload: Box<dyn Upload>,
        quota: ArchiveQuota,
        end: AttemptEnd,
        runtime: Handle,
    ) -> Self {
        let writer = Writer::new(upload, runtime.clone());
        Self { writer, quota, end, runtime, reserved: 0, written: 0 }
    }

    /// Write the buffered bytes and return the upload, for its completion.
    pub(crate) fn into_upload(self) -> io::Result<Box<dyn Upload>> {
        self.writer.into_upload()
    }

    /// Reserve storage for bytes that follow those written.
    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        let missing = (self.written + bytes).saturating_sub(self.reserved);
        if missing == 0 {
            return Ok(());
        }
        let step = self.reserved.clamp(LEAST_STEP, MOST_STEP).max(missing);
        let AttemptEnd { stop, deadline } = &self.end;
        let reservation = self.runtime.block_on(async {
            tokio::select! {
                reservation = self.quota.extend(missing, step) => Some(reservation),
                () = stop.cancelled() => None,
                () = tokio::time::sleep_until((*deadline).into()) => None,
            }
        });
        match reservation {
            Some(Reservation::Granted(bytes)) => {
                self.reserved += bytes;
                Ok(())
            }
            Some(Reservation::Refused(Refusal::StoredBytes(used))) => {
                Err(io::Error::other(QuotaExceeded { written: self.written, used }))
            }
            Some(Reservation::Refused(_)) | None => Err(io::Error::other("the attempt has ended")),
        }
    }
}

impl Write for ArchiveWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reserve(bytes.len() as u64)?;
        let written = self.writer.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
