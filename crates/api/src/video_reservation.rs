//! Reservation of storage for a video that is being received. Bytes are reserved before they are
//! written, so that simultaneous requests to any number of processes cannot exceed the quota.

use std::ops::RangeInclusive;

use database::quotas::Reservation;
use jobs::{JobId, UserId};
use storage::Key;

use crate::problem::Problem;
use crate::quotas;
use crate::service::Service;

/// Least and most bytes that are reserved at a time for a video of unknown size. The steps grow
/// with the video: few transactions suffice for a large one, and little is reserved for a small
/// one.
const STEP: RangeInclusive<u64> = 8 << 20..=64 << 20;

/// Bytes that may remain reserved in addition for a complete video: the length of a request
/// includes the lines around its parts. The job takes the place of the reservation shortly after,
/// which saves a transaction of most uploads.
const SLACK: u64 = 1 << 10;

/// Reservation for one video.
pub struct VideoReservation<'a> {
    service: &'a Service,
    user: UserId,
    id: JobId,
    /// Bytes that are reserved.
    bytes: u64,
}

impl<'a> VideoReservation<'a> {
    /// Record the upload of a video, and reserve at least `first` bytes for it, of which it has
    /// `stated` at most if that is known.
    pub async fn begin(
        service: &'a Service,
        user: UserId,
        key: &Key,
        first: u64,
        stated: Option<u64>,
    ) -> Result<Self, Problem> {
        let most = stated.unwrap_or(*STEP.start()).min(service.settings.max_video_bytes);
        let range = first..=most.max(first);
        let id = key.job_id();
        let _turn = service.upload_transactions.turn(user, 0).await;
        let reserved = service.database().begin_upload(user, id, key.as_str(), range).await?;
        let bytes = granted(service, reserved)?;
        Ok(Self { service, user, id, bytes })
    }

    /// Reserve more, unless this number of bytes is reserved.
    pub async fn ensure(&mut self, bytes: u64) -> Result<(), Problem> {
        let missing = bytes.saturating_sub(self.bytes);
        if missing == 0 {
            return Ok(());
        }
        let step = self.bytes.clamp(*STEP.start(), *STEP.end());
        let rest = self.service.settings.max_video_bytes.saturating_sub(self.bytes);
        let range = missing..=step.min(rest).max(missing);
        let _turn = self.service.upload_transactions.turn(self.user, 0).await;
        let reserved = self.service.database().extend_upload(self.user, self.id, range).await?;
        self.bytes += granted(self.service, reserved)?;
        Ok(())
    }

    /// Return what is not needed for a video of this size, which is complete and for which as many
    /// bytes are reserved.
    pub async fn settle(self, size_bytes: u64) -> Result<(), Problem> {
        if self.bytes.saturating_sub(size_bytes) > SLACK {
            let _turn = self.service.upload_transactions.turn(self.user, 0).await;
            self.service.database().settle_upload(self.id, size_bytes).await?;
        }
        Ok(())
    }
}

/// Bytes that were granted, or the reason why none were.
pub fn granted(service: &Service, reservation: Reservation) -> Result<u64, Problem> {
    match reservation {
        Reservation::Granted(bytes) => Ok(bytes),
        Reservation::Refused(refusal) => Err(quotas::refused(service, refusal)),
    }
}
