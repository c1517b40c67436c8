//! Storage of the user for the archive of an attempt, and for a video that it fetches: bytes are
//! reserved before they are written, so neither can exceed what is left, whatever other requests
//! and attempts do meanwhile.

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

/// Share of the user's storage that an attempt may use.
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
    "the {file} has {written} bytes so far and does not fit into the storage of its user, of \
     which {} MB are used and reserved", .used / MEGABYTE
)]
pub(crate) struct QuotaExceeded {
    file: &'static str,
    written: u64,
    used: u64,
}

/// End of an attempt, at which waiting for the database and for servers ends.
#[derive(Clone)]
pub(crate) struct AttemptEnd {
    pub stop: CancellationToken,
    pub deadline: Instant,
}

impl AttemptEnd {
    /// Wait until the attempt has to end.
    pub(crate) async fn reached(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep_until(self.deadline.into()) => {}
        }
    }
}

/// Reason why no more bytes are reserved.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NotReserved {
    /// The storage of the user is used up.
    Quota(QuotaExceeded),
    /// The attempt has ended.
    Ended,
}

/// Bytes of a file that an attempt writes, and that are reserved before.
pub(crate) struct ReservedBytes {
    file: &'static str,
    quota: ArchiveQuota,
    reserved: u64,
    written: u64,
}

impl ReservedBytes {
    /// None yet. `file` names the file in errors.
    pub(crate) const fn new(file: &'static str, quota: ArchiveQuota) -> Self {
        Self { file, quota, reserved: 0, written: 0 }
    }

    /// Reserve storage for bytes that follow those written. Waits for the database.
    pub(crate) async fn reserve(&mut self, bytes: u64) -> Result<(), NotReserved> {
        let missing = (self.written + bytes).saturating_sub(self.reserved);
        if missing == 0 {
            return Ok(());
        }
        let step = self.reserved.clamp(LEAST_STEP, MOST_STEP).max(missing);
        match self.quota.extend(missing, step).await {
            Reservation::Granted(bytes) => {
                self.reserved += bytes;
                Ok(())
            }
            Reservation::Refused(Refusal::StoredBytes(used)) => {
                let (file, written) = (self.file, self.written);
                Err(NotReserved::Quota(QuotaExceeded { file, written, used }))
            }
            Reservation::Refused(_) => Err(NotReserved::Ended),
        }
    }

    /// Count bytes that were written.
    pub(crate) const fn add(&mut self, bytes: u64) {
        self.written += bytes;
    }
}

/// Writes an archive within the quota of its user.
pub(crate) struct ArchiveWriter {
    writer: Writer,
    reserved: ReservedBytes,
    end: AttemptEnd,
    runtime: Handle,
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
        Self { writer, reserved: ReservedBytes::new("archive", quota), end, runtime }
    }

    /// Write the buffered bytes and return the upload, for its completion.
    pub(crate) fn into_upload(self) -> io::Result<Box<dyn Upload>> {
        self.writer.into_upload()
    }

    /// Reserve storage for bytes that follow those written.
    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        let Self { reserved, end, runtime, .. } = self;
        let result = runtime.block_on(async {
            tokio::select! {
                result = reserved.reserve(bytes) => result,
                () = end.reached() => Err(NotReserved::Ended),
            }
        });
        result.map_err(|reason| match reason {
            NotReserved::Quota(exceeded) => io::Error::other(exceeded),
            NotReserved::Ended => io::Error::other("the attempt has ended"),
        })
    }
}

impl Write for ArchiveWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reserve(bytes.len() as u64)?;
        let written = self.writer.write(bytes)?;
        self.reserved.add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
