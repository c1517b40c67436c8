//! How much a user may have on the way and in store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jobs::UserId;
use poem::http::StatusCode;

use crate::Service;
use crate::limits::Verdict;
use crate::problem::Problem;

/// Bounds of one user, so that nobody takes the service away from the others.
#[derive(Debug, Clone)]
pub struct Quotas {
    /// Uploads at once, in this process, whose memory they share.
    pub uploads_at_once: u32,
    /// Jobs that wait or run.
    pub unfinished_jobs: u64,
    /// Bytes of videos and archives that are stored.
    pub stored_bytes: u64,
}

/// Who is uploading.
#[derive(Debug, Default)]
pub struct Uploading(Mutex<HashMap<UserId, u32>>);

/// An upload that counts until it is dropped.
#[derive(Debug)]
pub struct Slot {
    uploading: Arc<Uploading>,
    user: UserId,
}

impl Slot {
    /// One more upload of a user, unless there are so many.
    fn take(uploading: &Arc<Uploading>, user: UserId, most: u32) -> Option<Self> {
        let mut counts = uploading.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(user).or_default();
        (*count < most).then(|| {
            *count += 1;
            Self { uploading: Arc::clone(uploading), user }
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.uploading.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.user);
            }
        }
    }
}

impl Service {
    /// Let a user begin an upload, of so many bytes if the client says so, if that keeps the
    /// quotas. What others of the user's uploads bring meanwhile is not known yet, so a quota may
    /// be passed by what is on the way at once.
    pub(crate) async fn begin_upload(
        &self,
        user: UserId,
        bytes: Option<u64>,
    ) -> Result<Slot, Problem> {
        /// When it is worth looking again.
        const SOON: Duration = Duration::from_secs(5);
        let quotas = &self.settings.quotas;
        let enough = |code, detail: String, limit| {
            let verdict = Verdict { allowed: false, limit, remaining: 0, reset: SOON };
            Problem::new(StatusCode::TOO_MANY_REQUESTS, code, detail).limited(&verdict)
        };
        let slot = Slot::take(&self.uploading, user, quotas.uploads_at_once).ok_or_else(|| {
            let detail =
                format!("{} uploads are under way. Wait for one to end.", quotas.uploads_at_once);
            enough("TOO_MANY_UPLOADS", detail, quotas.uploads_at_once)
        })?;
        let usage = self.database().usage(user).await?;
        if usage.unfinished_jobs >= quotas.unfinished_jobs {
            let detail = format!(
                "{} videos wait for their archives. Wait for some, or cancel some.",
                usage.unfinished_jobs
            );
            return Err(enough(
                "TOO_MANY_JOBS",
                detail,
                u32::try_from(quotas.unfinished_jobs).unwrap_or(u32::MAX),
            ));
        }
        if usage.stored_bytes.saturating_add(bytes.unwrap_or(0)) > quotas.stored_bytes {
            let detail = format!(
                "Your videos and archives take {} MB of {} MB. Delete some, or wait until they expire.",
                usage.stored_bytes >> 20,
                quotas.stored_bytes >> 20
            );
            return Err(Problem::new(StatusCode::INSUFFICIENT_STORAGE, "QUOTA_EXCEEDED", detail));
        }
        Ok(slot)
    }
}
