//! The data directory of embedded parts.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Create the data directory, accessible to its owner only, because it holds the users' videos.
pub(crate) fn create(directory: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("cannot create the data directory {}", directory.display()))
}

/// Create the data directory and lock it for this process, for as long as the returned file is
/// open. Two processes would each treat the other's leases as expired.
pub(crate) fn lock(directory: &Path) -> Result<File> {
    create(directory)?;
    let path = directory.join("lock");
    let lock = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let lock = lock.with_context(|| format!("cannot open {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!(
                "another fiapx process uses {}: stop it, or choose another --data-dir",
                directory.display()
            )
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}
