//! Files of videos that are not jobs yet, and their records in the database.

use std::sync::Arc;
use std::time::Duration;

use database::Database;
use database::accept::Video;
use database::uploads::{AbandonedUpload, UPLOAD_LIFETIME};
use poem::http::StatusCode;
use storage::{Checkpoint, Key, Storage};
use tokio::runtime::Handle;
use tracing::warn;

use crate::problem::Problem;
use crate::service::Service;

/// Maximum duration of one upload: half the time after which its files count as abandoned, so that
/// the files of a request that is received are never deleted.
pub const MAX_DURATION: Duration = UPLOAD_LIFETIME.checked_div(2).expect("two is not zero");

/// Problem of an upload that took too long.
pub fn took_too_long() -> Problem {
    let hours = MAX_DURATION.as_secs() / 3600;
    let detail = format!("The upload took longer than {hours} hours. Send fewer videos at once.");
    Problem::new(StatusCode::REQUEST_TIMEOUT, "UPLOAD_TOO_LONG", detail)
}

/// Stored videos that are not jobs yet. Dropping them deletes them in the background.
pub struct ReceivedVideos {
    uploads: UploadRecords,
    /// The videos, in their order.
    pub videos: Vec<Video>,
}

/// Files of uploads, and their records in the database.
#[derive(Clone)]
pub struct UploadRecords {
    database: Database,
    storage: Arc<dyn Storage>,
}

impl UploadRecords {
    /// Uploads of a service.
    pub fn of(service: &Service) -> Self {
        let database = service.database().clone();
        Self { database, storage: Arc::clone(&service.parts.storage) }
    }

    /// Delete videos that did not become jobs.
    pub async fn delete(self, videos: Vec<Video>) {
        for video in videos {
            if let Ok(key) = video.path.parse() {
                self.delete_file(&key).await;
            }
        }
    }

    /// Delete what the store has of a resumable upload that has ended, and its record.
    pub async fn discard(&self, upload: &AbandonedUpload) {
        let Ok(key) = upload.key.parse::<Key>() else { return };
        let checkpoint = upload.parts.as_deref();
        let checkpoint = checkpoint.and_then(|parts| Checkpoint::from_json(&key, parts).ok());
        if let Err(error) = self.storage.discard(&key, checkpoint.as_ref()).await {
            warn!(%error, "an upload could not be deleted; it is deleted in a few minutes");
        } else {
            self.delete_file(&key).await;
        }
    }

    /// Delete the file of an upload, if it exists, and its record.
    pub async fn delete_file(&self, key: &Key) {
        if let Err(error) = self.storage.delete(key).await {
            warn!(%error, "an unused video could not be deleted; it is deleted in a day");
        } else if let Err(error) = self.database.end_upload(key.job_id()).await {
            warn!(%error, "the record of an upload could not be removed; it expires in a day");
        }
    }
}

impl ReceivedVideos {
    /// No videos yet.
    pub fn new(uploads: UploadRecords) -> Self {
        Self { uploads, videos: Vec::new() }
    }

    /// Keep the videos: from now on they are, or may be, the files of jobs.
    pub fn keep(mut self) -> Vec<Video> {
        std::mem::take(&mut self.videos)
    }

    /// Delete the videos.
    pub async fn discard(mut self) {
        self.uploads.clone().delete(std::mem::take(&mut self.videos)).await;
    }
}

impl Drop for ReceivedVideos {
    fn drop(&mut self) {
        // The runtime is gone while the process ends.
        if !self.videos.is_empty()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(self.uploads.clone().delete(std::mem::take(&mut self.videos)));
        }
    }
}
