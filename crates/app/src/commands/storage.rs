//! `fiapx storage`: mark the file store as that of the database, and delete unknown files.

use std::time::Duration;

use anyhow::{Result, bail};
use jobs::Clock;
use worker::sweep::{Inventory, Sweeper, Swept};

use super::console::{print, runtime};
use crate::cli::{AdoptArguments, SweepArguments};
use crate::parts::Parts;

/// Mark the file store as that of the database.
pub(super) fn adopt(arguments: &AdoptArguments) -> Result<()> {
    let settings = arguments.configured.settings()?;
    runtime()?.block_on(async {
        let clock = Clock::default();
        let database = Parts::existing_database(&settings, &clock).await?;
        let storage = Parts::store(&settings, &clock).await?;
        let sweeper = Sweeper { database: &database, storage: &*storage };
        let Inventory { files, known, .. } = sweeper.inventory(Duration::MAX).await?;
        if files > 0 && known == 0 && !arguments.force {
            bail!(
                "the database knows none of the {files} files of the store, so this is probably \
                 the wrong database or store: check DATABASE_URL, S3_BUCKET and --data-dir. To \
                 adopt the store nevertheless, repeat the command with --force"
            );
        }
        let installation = database.installation().await?;
        storage.set_installation(installation).await?;
        print(&format!(
            "the file store belongs to installation {installation} now; {known} of its {files} \
             files are known"
        ))
    })
}

/// Delete files that no job refers to.
pub(super) fn sweep(arguments: &SweepArguments) -> Result<()> {
    let settings = arguments.configured.settings()?;
    runtime()?.block_on(async {
        let clock = Clock::default();
        let database = Parts::existing_database(&settings, &clock).await?;
        let storage = Parts::store(&settings, &clock).await?;
        let sweeper = Sweeper { database: &database, storage: &*storage };
        match sweeper.sweep(worker::sweep::ORPHAN_AGE, arguments.delete_unknown).await? {
            Swept::Deleted(files) => print(&format!("{files} files deleted")),
            Swept::Refused(refusal) => bail!("{refusal}"),
        }
    })
}
