//! Reserve of disk space with which a service whose database is in the data directory frees a full
//! disk.
//!
//! A file can only be expired or deleted after the database has written that. On a full disk it
//! cannot, so the disk would stay full. Uploads and archives stop while
//! [`KEPT_FREE`](storage::disk::KEPT_FREE) bytes are free, but other programs, logs, and the
//! database itself can use these, too. Then the reserve, a file without content, is deleted, and
//! what it occupied serves the database. It is created again when there is room for it and for
//! uploads.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::statvfs;
use storage::disk::KEPT_FREE;
use tracing::{error, info, warn};

/// Name of the file in the data directory.
const FILE: &str = "reserve";

/// Size of the reserve in bytes. One round of the expiry changes a hundred rows, about ten pages of
/// 4 KiB each, so it writes 4 MiB to SQLite's write-ahead log and at most as much to the database.
/// The reserve suffices for four rounds, and each of them deletes the files of a hundred jobs.
pub(crate) const SIZE: u64 = 32 << 20;

/// Free space in bytes below which the reserve is deleted: what one round of the expiry writes.
const RELEASE_BELOW: u64 = 8 << 20;

/// Reserve of disk space.
pub(crate) struct DiskReserve {
    directory: PathBuf,
}

impl DiskReserve {
    /// Manage the reserve of a data directory.
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Delete or create the reserve as the free space requires. Returns its size in bytes.
    pub(crate) fn adjust(&self) -> u64 {
        let Ok(disk) = statvfs(&self.directory) else { return self.size() };
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        let size = self.size();
        if free < RELEASE_BELOW && size > 0 {
            self.release();
        } else if size < SIZE && free >= KEPT_FREE + SIZE {
            self.create();
        }
        self.size()
    }

    /// Adjust the reserve every second until the future is dropped, and export its size.
    pub(crate) async fn maintain(self) {
        loop {
            metrics::gauge!("fiapx_disk_reserve_bytes").set(self.adjust() as f64);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// Bytes that the reserve occupies on the disk.
    fn size(&self) -> u64 {
        // `st_blocks` counts units of 512 bytes (stat(2)).
        fs::metadata(self.path()).map_or(0, |metadata| metadata.blocks() * 512)
    }

    fn release(&self) {
        match fs::remove_file(self.path()) {
            Ok(()) => error!(
                directory = %self.directory.display(),
                "the disk is full; the reserve was released, so that files can be expired and \
                 deleted: add space"
            ),
            Err(error) => warn!(%error, "cannot release the reserve of the full disk"),
        }
    }

    fn create(&self) {
        match File::create(self.path()).and_then(|file| Ok(occupy(&file)?)) {
            Ok(()) => info!(bytes = SIZE, "reserved disk space for the expiry of files"),
            Err(error) => {
                let _ = fs::remove_file(self.path());
                warn!(%error, "cannot reserve disk space for the expiry of files");
            }
        }
    }
}

/// Occupy the space of the reserve. File systems that do not support it (`EOPNOTSUPP`,
/// fallocate(2)) do not promise space to anybody, so there is no reserve on them.
fn occupy(file: &File) -> Result<(), Errno> {
    fallocate(file, FallocateFlags::empty(), 0, SIZE as i64)
}
