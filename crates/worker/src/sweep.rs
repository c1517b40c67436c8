//! Sweep: deletes stored files that no job and no upload refers to.
//!
//! A file is deleted because a row is missing, and a row may also be missing because the database
//! is empty, was restored from an old backup, or is that of another installation. So a sweep
//! deletes nothing unless the file store is marked as the one of this installation, and nothing if
//! much of what it finds is unknown.

use std::fmt;
use std::time::Duration;

use database::Database;
use jobs::{InstallationId, JobId};
use storage::{Key, Object, Storage};
use tracing::{info, warn};

use crate::error::Error;

/// Minimum age of a file that a sweep of a running service deletes. It is longer than any upload,
/// from its first byte until its job is accepted.
pub const ORPHAN_AGE: Duration = Duration::from_hours(24);

/// Number of unknown files that a sweep always deletes. Crashes leave a few, and in a small store
/// these may be more than [`MAX_UNKNOWN_SHARE`] allows.
const ALWAYS_DELETED: u64 = 10;

/// A sweep deletes at most one in so many of the files it finds.
const MAX_UNKNOWN_SHARE: u64 = 10;

/// Maximum number of files that one sweep deletes, which bounds its memory. The next one deletes
/// the rest.
const DELETE_LIMIT: usize = 10_000;

/// Result of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// Number of files that were deleted.
    Deleted(u64),
    /// Nothing was deleted.
    Refused(Refusal),
}

/// Reason why a sweep deleted nothing. Its text is for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The store is marked as that of another installation.
    OtherInstallation {
        /// Id in the store.
        store: InstallationId,
        /// Id in the database.
        database: InstallationId,
    },
    /// The store is not marked, and the database knows none of its files.
    Unmarked {
        /// Number of files in the store.
        files: u64,
    },
    /// Too many files are unknown.
    ManyUnknown {
        /// Number of old files that the database does not know.
        unknown: u64,
        /// Number of files in the store.
        files: u64,
    },
}

impl Refusal {
    /// Values of the label `reason` in metrics.
    pub(crate) const REASONS: [&str; 3] = ["other_installation", "unmarked", "many_unknown"];

    const fn reason(self) -> &'static str {
        match self {
            Self::OtherInstallation { .. } => Self::REASONS[0],
            Self::Unmarked { .. } => Self::REASONS[1],
            Self::ManyUnknown { .. } => Self::REASONS[2],
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherInstallation { store, database } => write!(
                formatter,
                "the file store belongs to installation {store} and the database to {database}: \
                 check DATABASE_URL, S3_BUCKET and the data directory. If the two belong together \
                 now, run `fiapx storage adopt`"
            ),
            Self::Unmarked { files } => write!(
                formatter,
                "the file store is not marked with an installation, and the database knows none \
                 of its {files} files: check DATABASE_URL, S3_BUCKET and the data directory. If \
                 the two belong together, run `fiapx storage adopt`"
            ),
            Self::ManyUnknown { unknown, files } => write!(
                formatter,
                "the database does not know {unknown} of {files} files: if it was restored from a \
                 backup, files of later jobs are among them. To delete them, run `fiapx storage \
                 sweep --delete-unknown`"
            ),
        }
    }
}

/// Files of a store, compared with the rows of the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Number of all files.
    pub files: u64,
    /// Number of files that a job or an upload refers to.
    pub known: u64,
    /// Number of old files that nothing refers to, without previews: no row ever refers to these,
    /// and nobody misses them.
    pub unknown: u64,
    /// Keys of all old files that nothing refers to, at most [`DELETE_LIMIT`].
    old_unknown: Vec<Key>,
}

impl Inventory {
    /// Reason not to delete the unknown files, if there is one.
    fn refusal(&self) -> Option<Refusal> {
        let Self { files, unknown, .. } = *self;
        let are_many = unknown > ALWAYS_DELETED.max(files / MAX_UNKNOWN_SHARE);
        are_many.then_some(Refusal::ManyUnknown { unknown, files })
    }
}

/// Sweeper of a file store.
pub struct Sweeper<'a> {
    /// Database that refers to the files.
    pub database: &'a Database,
    /// Store to sweep.
    pub storage: &'a dyn Storage,
}

impl Sweeper<'_> {
    /// Delete files that nothing refers to and that have at least this age, and abort uploads of
    /// that age, except for those that clients may resume. With `delete_unknown`, also if these are
    /// many.
    ///
    /// # Errors
    /// The database or the store failed.
    pub async fn sweep(&self, age: Duration, delete_unknown: bool) -> Result<Swept, Error> {
        if let Some(refusal) = self.identify().await? {
            return Ok(Swept::Refused(refusal));
        }
        let inventory = self.inventory(age).await?;
        let refusal = inventory.refusal().filter(|_| !delete_unknown);
        metrics::gauge!("fiapx_unknown_files").set(inventory.unknown as f64);
        report(&Refusal::REASONS[2..], refusal);
        if let Some(refusal) = refusal {
            return Ok(Swept::Refused(refusal));
        }
        // An upload that begins meanwhile is younger, except at the start of a process that has the
        // store for itself.
        let resumable = self.database.resumable_upload_ids().await?;
        self.storage.sweep(age, &resumable).await?;
        let mut deleted = 0;
        for keys in inventory.old_unknown.chunks(storage::PAGE_SIZE) {
            // Again, because listing a large store takes minutes.
            for orphan in self.database.orphans(&with_jobs(keys)).await? {
                if let Ok(key) = orphan.parse() {
                    self.storage.delete(&key).await?;
                    deleted += 1;
                }
            }
        }
        if deleted > 0 {
            info!(files = deleted, "deleted files that no job refers to");
        }
        Ok(Swept::Deleted(deleted))
    }

    /// Mark the store as that of this installation if it is not marked and [may](Self::check) be.
    /// Return the reason why it cannot be swept, if there is one.
    ///
    /// # Errors
    /// The database or the store failed.
    pub async fn identify(&self) -> Result<Option<Refusal>, Error> {
        let refusal = self.check().await?;
        if refusal.is_none() && self.storage.installation().await?.is_none() {
            let id = self.database.installation().await?;
            self.storage.set_installation(id).await?;
            info!(installation_id = %id, "the file store is marked as that of this installation");
        }
        report(&Refusal::REASONS[..2], refusal);
        Ok(refusal)
    }

    /// Return the reason why the store does not seem to belong to the database, if there is one.
    /// A store without a mark belongs to it if it is empty or has files that the database knows.
    ///
    /// # Errors
    /// The database or the store failed.
    pub async fn check(&self) -> Result<Option<Refusal>, Error> {
        let database = self.database.installation().await?;
        if let Some(store) = self.storage.installation().await? {
            let differs = store != database;
            return Ok(differs.then_some(Refusal::OtherInstallation { store, database }));
        }
        // The first page is enough: the files of an installation are not sorted by their age.
        let page = self.storage.list(Key::ROOT, None).await?;
        let Inventory { files, known, .. } = self.compare(&page, Duration::MAX).await?;
        Ok((files > 0 && known == 0).then_some(Refusal::Unmarked { files }))
    }

    /// Compare all files of the store with the database. Files are old from this age on.
    ///
    /// # Errors
    /// The database or the store failed.
    pub async fn inventory(&self, age: Duration) -> Result<Inventory, Error> {
        let (mut after, mut all): (Option<Key>, _) = (None, Inventory::default());
        loop {
            let page = self.storage.list(Key::ROOT, after.as_ref()).await?;
            let Some(last) = page.last() else { return Ok(all) };
            after = Some(last.key.clone());
            let Inventory { files, known, unknown, old_unknown } = self.compare(&page, age).await?;
            all.files += files;
            all.known += known;
            all.unknown += unknown;
            let room = DELETE_LIMIT - all.old_unknown.len();
            all.old_unknown.extend(old_unknown.into_iter().take(room));
        }
    }

    /// Compare a page of files with the database.
    async fn compare(&self, page: &[Object], age: Duration) -> Result<Inventory, Error> {
        // Storage uses the system's time, also where the database's clock is set ahead.
        let modified_before = chrono::TimeDelta::from_std(age)
            .ok()
            .and_then(|age| chrono::Utc::now().checked_sub_signed(age));
        let keys: Vec<Key> = page.iter().map(|object| object.key.clone()).collect();
        let orphans = self.database.orphans(&with_jobs(&keys)).await?;
        let is_old = |object: &&Object| modified_before.is_some_and(|old| object.modified <= old);
        let is_orphan = |object: &&Object| orphans.contains(&object.key.as_str());
        let old_unknown: Vec<Key> =
            page.iter().filter(is_orphan).filter(is_old).map(|object| object.key.clone()).collect();
        Ok(Inventory {
            files: page.len() as u64,
            known: (page.len() - orphans.len()) as u64,
            unknown: old_unknown.iter().filter(|key| key.as_preview().is_none()).count() as u64,
            old_unknown,
        })
    }
}

/// Keys with the jobs that they belong to.
fn with_jobs(keys: &[Key]) -> Vec<(JobId, &str)> {
    keys.iter().map(|key| (key.job_id(), key.as_str())).collect()
}

/// Set the gauges of these reasons, and log a refusal.
fn report(reasons: &'static [&'static str], refusal: Option<Refusal>) {
    for reason in reasons {
        let is_reason = refusal.is_some_and(|refusal| refusal.reason() == *reason);
        metrics::gauge!("fiapx_sweep_refused", "reason" => *reason).set(f64::from(is_reason));
    }
    if let Some(refusal) = refusal {
        warn!("the sweep of files deletes nothing: {refusal}");
    }
}
