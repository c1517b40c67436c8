//! The video of a job, found for an attempt: in the store, or at its address. A server without
//! ranges sends the whole video, which is stored then, like an upload.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use database::claim::Claim;
use database::{Database, Job, VideoSource};
use egress::{Fetcher, RangedFile, Remote, Target, WholeFile};
use fail::fail_point;
use frames::source::detect_container;
use jobs::video::Container;
use jobs::{FailureCode, VideoFormat};
use storage::{Key, Storage};
use tracing::{Instrument, field, info, info_span, warn};

use crate::archive_quota::{ArchiveQuota, NotReserved, ReservedBytes};
use crate::attempt_error::AttemptError;
use crate::video_input::{VideoInput, remote_error};

/// Pause before a result is written to the database again.
const RECORD_RETRY: Duration = Duration::from_millis(500);

/// Finds the videos of jobs.
pub(crate) struct Source<'a> {
    pub database: &'a Database,
    pub storage: &'a Arc<dyn Storage>,
    /// Reads videos at addresses, if that is permitted.
    pub fetcher: Option<&'a Fetcher>,
    pub claim: &'a Claim,
}

impl Source<'_> {
    /// Find the video of the claimed job.
    pub(crate) async fn open(&self) -> Result<VideoInput, AttemptError> {
        match self.claim.job.remote_source() {
            None => self.stored().await,
            Some(source) => {
                let span = info_span!("fetch", size_bytes = field::Empty);
                let video = self.remote(source).instrument(span.clone()).await?;
                span.record("size_bytes", video.size());
                Ok(video)
            }
        }
    }

    /// The video in the store.
    async fn stored(&self) -> Result<VideoInput, AttemptError> {
        let path = &self.claim.job.video_path;
        let key: Key = path.parse().map_err(|_| {
            let message = format!("`{path}` is not the key of a video");
            AttemptError::new(FailureCode::InternalError, message)
        })?;
        let video = self.storage.head(&key).await.map_err(|error| match error {
            storage::Error::NotFound { .. } => {
                AttemptError::new(FailureCode::VideoMissing, error.to_string())
            }
            _ => AttemptError::storage("cannot find the video", &error),
        })?;
        Ok(VideoInput::Stored(Arc::clone(self.storage), video))
    }

    /// The video at its address, or in the store after it was fetched from there.
    async fn remote(&self, source: &VideoSource) -> Result<VideoInput, AttemptError> {
        let refused = |message: String| AttemptError::new(FailureCode::SourceRefused, message);
        let fetcher = self.fetcher.ok_or_else(|| {
            refused("VIDEOS_BY_URL permits this worker no addresses of videos".to_owned())
        })?;
        let target = Target::parse(&source.url.secret_url(), fetcher.client().policy())
            .map_err(|invalid| refused(format!("the address is not permitted: {invalid}")))?;
        match fetcher.open(&target).await.map_err(|error| remote_error(&error))? {
            Remote::Ranged(file) => self.ranged(file).await,
            Remote::Whole(file) => self.store(file).await,
        }
    }

    /// Check a file that is read by ranges, and record its version.
    async fn ranged(&self, file: RangedFile) -> Result<VideoInput, AttemptError> {
        check_head(file.head())?;
        let (size, validator) = (file.size(), file.validator());
        self.record_version(size, Some(validator)).await?;
        info!(size_bytes = size, "the video is read by ranges at its address");
        Ok(VideoInput::Remote(Box::new(file)))
    }

    /// Store a file that the server sends as a whole, within the quota of the user.
    async fn store(&self, mut file: WholeFile) -> Result<VideoInput, AttemptError> {
        let key = self.fetched_key()?;
        let storage_error = |error: &storage::Error| {
            AttemptError::storage("cannot store the video of an address", error)
        };
        let quota = ArchiveQuota { database: self.database.clone(), claim: self.claim.clone() };
        let mut reserved = ReservedBytes::new("video", quota);
        let head = head_of(&mut file).await?;
        check_head(&head)?;
        if let Some(size) = file.stated_size() {
            self.record_version(size, file.validator()).await?;
            reserved.reserve(size).await.map_err(not_reserved)?;
        }
        let mut upload = self.storage.create(&key).await.map_err(|error| storage_error(&error))?;
        let mut size = 0;
        let mut next = Some(head);
        while let Some(bytes) = next {
            let length = bytes.len() as u64;
            reserved.reserve(length).await.map_err(not_reserved)?;
            upload.write(bytes).await.map_err(|error| storage_error(&error))?;
            reserved.add(length);
            size += length;
            next = file.chunk().await.map_err(|error| remote_error(&error))?;
        }
        upload.complete().await.map_err(|error| storage_error(&error))?;
        fail_point!("source.before-record");
        self.record_stored(&key, size).await?;
        fail_point!("source.after-record");
        info!(size_bytes = size, "the video was fetched from its address and stored");
        let object = self.storage.head(&key).await.map_err(|error| storage_error(&error))?;
        Ok(VideoInput::Stored(Arc::clone(self.storage), object))
    }

    fn fetched_key(&self) -> Result<Key, AttemptError> {
        let Job { id, user_id, fence, video_format, .. } = &self.claim.job;
        let format = VideoFormat::ALL.into_iter().find(|it| it.suffix() == video_format.as_str());
        let format = format.ok_or_else(|| {
            let message = format!("`{video_format}` is not the format of a video");
            AttemptError::new(FailureCode::InternalError, message)
        })?;
        Ok(Key::fetched(*user_id, *id, *fence, format))
    }

    /// Record the version of the file, until the database answers.
    async fn record_version(&self, size: u64, validator: Option<&str>) -> Result<(), AttemptError> {
        loop {
            match self.database.record_source(self.claim, size, validator).await {
                Ok(held) => return if held { Ok(()) } else { Err(lost()) },
                Err(error) => warn!(%error, "cannot record the version of a video; retrying"),
            }
            tokio::time::sleep(RECORD_RETRY).await;
        }
    }

    /// Record that the video is stored, until the database answers. If the claim does not hold, the
    /// sweep deletes the object.
    async fn record_stored(&self, key: &Key, size: u64) -> Result<(), AttemptError> {
        loop {
            match self.database.record_stored_source(self.claim, key.as_str(), size).await {
                Ok(held) => return if held { Ok(()) } else { Err(lost()) },
                Err(error) => warn!(%error, "cannot record that a video is stored; retrying"),
            }
            tokio::time::sleep(RECORD_RETRY).await;
        }
    }
}

/// The first bytes of a file, by which its container is known, with what arrived with them.
async fn head_of(file: &mut WholeFile) -> Result<Bytes, AttemptError> {
    let mut head = Vec::new();
    while head.len() < Container::HEAD_BYTES {
        let Some(bytes) = file.chunk().await.map_err(|error| remote_error(&error))? else { break };
        head.extend_from_slice(&bytes);
    }
    Ok(head.into())
}

/// Check that a file begins like a video, before more of it is read.
fn check_head(head: &[u8]) -> Result<(), AttemptError> {
    if head.is_empty() {
        return Err(frames::Error::EmptyFile.into());
    }
    match detect_container(head) {
        Some(_) => Ok(()),
        None => Err(frames::Error::UnsupportedContainer.into()),
    }
}

fn not_reserved(reason: NotReserved) -> AttemptError {
    match reason {
        NotReserved::Quota(exceeded) => (&exceeded).into(),
        NotReserved::Ended => lost(),
    }
}

/// Error of an attempt that has lost its job, which is not recorded.
fn lost() -> AttemptError {
    AttemptError::new(FailureCode::WorkerLost, "the job was taken from the attempt")
}
