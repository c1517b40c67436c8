//! Enforcement of the users' quotas. The database counts and reserves; this module checks before a
//! request is read, and explains refusals.

use std::time::Duration;

use database::quotas::Refusal;
use jobs::{MEGABYTE, UserId};
use poem::http::StatusCode;

use crate::problem::Problem;
use crate::rate_limit::RateLimitStatus;
use crate::service::Service;
use crate::upload_records::took_too_long;
use crate::upload_slots::UploadSlot;

/// Start an upload of a user if the quotas allow it. `bytes` is its size, if the client states it.
/// Each of its videos is counted again when its reservation is made, so this only saves clients
/// from sending a request that will be refused.
pub async fn begin_upload(
    service: &Service,
    user: UserId,
    bytes: Option<u64>,
) -> Result<UploadSlot, Problem> {
    let slot = take_slot(service, user)?;
    match service.database().check_quotas(user, bytes.unwrap_or(0)).await? {
        None => Ok(slot),
        Some(refusal) => Err(refused(service, refusal)),
    }
}

/// Count another upload of a user in this process.
pub fn take_slot(service: &Service, user: UserId) -> Result<UploadSlot, Problem> {
    let at_once = service.settings.uploads_at_once;
    UploadSlot::acquire(&service.upload_slots, user, at_once).ok_or_else(|| {
        let detail = format!("{at_once} uploads are in progress. Wait until one is finished.");
        too_many("TOO_MANY_UPLOADS", detail, at_once.into(), RETRY_AFTER)
    })
}

/// Time after which an upload or a job may have finished.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Problem of a reservation that was refused.
pub fn refused(service: &Service, refusal: Refusal) -> Problem {
    let quotas = &service.database().rules().quotas;
    match refusal {
        Refusal::UnknownUser => {
            let detail = "The token is invalid. Log in again.";
            Problem::new(StatusCode::UNAUTHORIZED, "TOKEN_INVALID", detail)
        }
        Refusal::Ended => took_too_long(),
        Refusal::UnfinishedJobs(count) => {
            let detail = format!(
                "{count} jobs are queued, running or being uploaded. Wait for some or cancel some."
            );
            too_many("TOO_MANY_JOBS", detail, quotas.unfinished_jobs, RETRY_AFTER)
        }
        Refusal::JobsPerHour(left) => {
            let limit = quotas.jobs_per_hour;
            let detail = format!("At most {limit} jobs per hour are allowed. Try again later.");
            too_many("TOO_MANY_JOBS_PER_HOUR", detail, limit, left)
        }
        Refusal::StoredBytes(used) => {
            let detail = format!(
                "Your videos and archives use {} of {} MB, and this one needs more than is left. \
                 Delete some or wait until they expire.",
                used / MEGABYTE,
                quotas.stored_bytes / MEGABYTE
            );
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, "QUOTA_EXCEEDED", detail)
        }
    }
}

/// Problem of a number that is used up.
fn too_many(code: &'static str, detail: String, limit: u64, reset: Duration) -> Problem {
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let status = RateLimitStatus { allowed: false, limit, remaining: 0, reset };
    Problem::new(StatusCode::TOO_MANY_REQUESTS, code, detail).rate_limited(&status)
}
