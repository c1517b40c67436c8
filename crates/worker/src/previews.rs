//! Previews of a running attempt: small JPEGs in the store, next to the video, until the attempt
//! ends.
//!
//! They never delay the engine and never fail an attempt: they are stored by a task of their own,
//! and dropped while that is busy. Those of a worker that was killed are removed by the next
//! attempt, with the job, or by the sweep.

use std::sync::Arc;
use std::time::Duration;

use database::Job;
use frames::{Preview, PreviewSink};
use futures_util::{StreamExt, stream};
use storage::{Key, Storage};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::debug;

/// Maximum number of previews that are stored of a job.
const MAX_STORED: usize = 64;

/// Number of previews that are deleted at a time.
const CONCURRENT_DELETIONS: usize = 8;

/// Maximum time that an outcome waits for the removal of the previews. The removal begins when the
/// engine is finished, and usually ends before the archive is complete.
const REMOVAL_TIMEOUT: Duration = Duration::from_millis(500);

/// Sends previews to the task that stores them.
#[derive(Debug, Clone)]
pub(crate) struct PreviewSender(mpsc::Sender<Preview>);

impl PreviewSender {
    /// Store a preview, or drop it if another one is being stored.
    pub(crate) fn send(&self, preview: Preview) {
        let _ = self.0.try_send(preview);
    }

    /// The same as the receiver of an engine.
    pub(crate) fn into_sink(self) -> PreviewSink {
        PreviewSink::new(move |preview| self.send(preview))
    }
}

/// Task that stores the previews of an attempt, and removes them when their senders are dropped.
#[derive(Debug)]
pub(crate) struct PreviewTask(JoinHandle<()>);

impl PreviewTask {
    /// Start the task for an attempt at a job that was claimed.
    pub(crate) fn start(storage: &Arc<dyn Storage>, job: &Job) -> (PreviewSender, Self) {
        let (sender, mut receiver) = mpsc::channel(1);
        let storage = Arc::clone(storage);
        let mut stored = StoredPreviews { storage, job: job.clone(), kept: Vec::new() };
        let task = tokio::spawn(async move {
            while let Some(preview) = receiver.recv().await {
                stored.add(preview).await;
            }
            stored.remove().await;
        });
        (PreviewSender(sender), Self(task))
    }

    /// Wait until the previews are removed, for a limited time. The task goes on after it.
    pub(crate) async fn end(self) {
        if tokio::time::timeout(REMOVAL_TIMEOUT, self.0).await.is_err() {
            debug!("the previews of an attempt are still being removed");
        }
    }
}

/// Previews of an attempt in the store.
struct StoredPreviews {
    storage: Arc<dyn Storage>,
    job: Job,
    /// Those that are stored, with their timestamps in milliseconds, in the order of their storing.
    kept: Vec<(u64, Key)>,
}

impl StoredPreviews {
    async fn add(&mut self, preview: Preview) {
        let Preview { number, timestamp_s, jpeg } = preview;
        // Negative ones become 0.
        let milliseconds = (timestamp_s * 1000.0).round() as u64;
        let Job { user_id, id, fence, .. } = self.job;
        let key = Key::preview(user_id, id, fence, number, milliseconds);
        if self.kept.len() == MAX_STORED {
            let index = superfluous(&self.kept);
            let (_, key) = self.kept.remove(index);
            delete(Arc::clone(&self.storage), key).await;
        }
        // Also one whose storing failed may exist.
        self.kept.push((milliseconds, key.clone()));
        if let Err(error) = store(self.storage.as_ref(), &key, jpeg).await {
            debug!(%error, "a preview could not be stored");
        }
    }

    /// Remove the previews of this attempt and of earlier ones.
    async fn remove(self) {
        let Job { user_id, id, fence, .. } = self.job;
        let mut keys: Vec<Key> = self.kept.iter().map(|(_, key)| key.clone()).collect();
        if fence > 1 {
            let found = self.storage.list(&Key::previews_prefix(user_id, id), None).await;
            let found = found.unwrap_or_else(|error| {
                debug!(%error, "the previews of earlier attempts cannot be listed");
                Vec::new()
            });
            let is_earlier =
                |key: &Key| key.as_preview().is_some_and(|preview| preview.fence < fence);
            keys.extend(found.into_iter().map(|object| object.key).filter(is_earlier));
        }
        let delete = |key| delete(Arc::clone(&self.storage), key);
        stream::iter(keys).for_each_concurrent(CONCURRENT_DELETIONS, delete).await;
    }
}

async fn delete(storage: Arc<dyn Storage>, key: Key) {
    if let Err(error) = storage.delete(&key).await {
        debug!(%key, %error, "a preview could not be deleted; the sweep will");
    }
}

/// Index of the preview whose neighbors are nearest to each other, never the first or the last.
fn superfluous(kept: &[(u64, Key)]) -> usize {
    let gap = |index: &usize| kept[index + 1].0.abs_diff(kept[index - 1].0);
    (1..kept.len().saturating_sub(1)).min_by_key(gap).unwrap_or_default()
}

async fn store(storage: &dyn Storage, key: &Key, jpeg: Vec<u8>) -> Result<(), storage::Error> {
    let mut upload = storage.create(key).await?;
    upload.write(jpeg.into()).await?;
    upload.complete().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use jobs::{JobId, UserId};

    use super::*;

    #[test]
    fn previews_are_thinned_out_evenly() {
        let (user, job) = (UserId::generate(), JobId::generate());
        let mut kept = Vec::new();
        for number in 1..=160_u64 {
            if kept.len() == MAX_STORED {
                kept.remove(superfluous(&kept));
            }
            // Every second one after the first 64, as the engine does it.
            let time = 1000 * number.max(2 * number.saturating_sub(32));
            kept.push((time, Key::preview(user, job, 1, number, time)));
        }
        assert_eq!(kept.len(), MAX_STORED);
        assert_eq!(kept[0].0, 1000);
        let gaps: Vec<_> = kept.windows(2).map(|two| two[1].0 - two[0].0).collect();
        let (min, max) = (gaps.iter().min(), gaps.iter().max());
        assert!(min >= Some(&2000) && max <= Some(&8000), "{gaps:?}");
    }
}
