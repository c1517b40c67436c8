//! Enforcement of the users' quotas.

use std::time::Duration;

use jobs::{MEGABYTE, UserId};
use poem::http::StatusCode;

use crate::problem::Problem;
use crate::rate_limit::RateLimitStatus;
use crate::service::Service;
use crate::upload_slots::UploadSlot;

/// Start an upload of a user if the quotas allow it. `bytes` is its size, if the client states it.
/// Other uploads in progress in this process count as one job and their stated size each.
/// Simultaneous ones that other processes receive are not counted yet, so they may exceed the
/// quotas.
pub async fn begin_upload(
    service: &Service,
    user: UserId,
    bytes: Option<u64>,
) -> Result<UploadSlot, Problem> {
    let (bytes, quotas) = (bytes.unwrap_or(0), &service.settings.quotas);
    let slot = take_slot(service, user, bytes)?;
    // Read after the slot was acquired: an earlier upload is in progress or has its jobs by now.
    let usage = service.database().usage(user).await?;
    let count = usage.unfinished_jobs.saturating_add(slot.earlier.count.into());
    if count >= quotas.unfinished_jobs {
        let detail = format!("{count} jobs are queued or running. Wait for some or cancel some.");
        let limit = u32::try_from(quotas.unfinished_jobs).unwrap_or(u32::MAX);
        return Err(too_many("TOO_MANY_JOBS", detail, limit));
    }
    let used = u128::from(usage.stored_bytes) + slot.earlier.bytes;
    if used + u128::from(bytes) > quotas.stored_bytes.into() {
        let detail = format!(
            "Your videos and archives use {} of {} MB. Delete some or wait until they expire.",
            used / u128::from(MEGABYTE),
            quotas.stored_bytes / MEGABYTE
        );
        return Err(Problem::new(StatusCode::INSUFFICIENT_STORAGE, "QUOTA_EXCEEDED", detail));
    }
    Ok(slot)
}

/// Count another upload of a user in this process, of this size in bytes.
pub fn take_slot(service: &Service, user: UserId, bytes: u64) -> Result<UploadSlot, Problem> {
    let at_once = service.settings.quotas.uploads_at_once;
    UploadSlot::acquire(&service.upload_slots, user, bytes, at_once).ok_or_else(|| {
        let detail = format!("{at_once} uploads are in progress. Wait until one is finished.");
        too_many("TOO_MANY_UPLOADS", detail, at_once)
    })
}

/// Problem of a quota that is used up.
fn too_many(code: &'static str, detail: String, limit: u32) -> Problem {
    /// Time after which an upload or a job may have finished.
    const RETRY_AFTER: Duration = Duration::from_secs(5);
    let status = RateLimitStatus { allowed: false, limit, remaining: 0, reset: RETRY_AFTER };
    Problem::new(StatusCode::TOO_MANY_REQUESTS, code, detail).rate_limited(&status)
}
