//! One upload, from its scheduled start to its checked archive.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use reqwest::StatusCode;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};

use crate::archive;
use crate::client::{Download, RequestError, User};

/// Pause between two event streams of one job, in case the service ends them immediately.
const WATCH_PAUSE: Duration = Duration::from_millis(200);

/// A video to upload.
pub struct Clip {
    name: String,
    bytes: Bytes,
    must_fail: bool,
}

impl Clip {
    /// Read a video. `must_fail` states whether its job has to fail.
    pub fn read(path: &Path, must_fail: bool) -> Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?.into();
        let name = path
            .file_name()
            .with_context(|| format!("{} is not a file", path.display()))?
            .to_string_lossy()
            .into_owned();
        Ok(Self { name, bytes, must_fail })
    }
}

/// Result of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadResult {
    /// The service rejected the upload with this status.
    Rejected(StatusCode),
    /// The service did not respond.
    NoResponse,
    /// The job is done, and its archive was downloaded and is correct.
    Completed,
    /// The job is done; its archive could not be downloaded in time because downloads were
    /// rejected.
    NotDownloaded,
    /// The job failed as expected.
    FailedAsExpected,
    /// The job was accepted and did not finish in time, or does not exist anymore.
    Lost(String),
    /// The job has another outcome than expected, or its archive is wrong.
    Wrong(String),
}

/// An upload with its times and its result.
pub struct Upload {
    /// File name, unique in the run.
    pub name: String,
    /// Size of the video, in bytes.
    pub video_bytes: u64,
    /// Id of the job.
    pub job: Option<String>,
    /// Result.
    pub result: UploadResult,
    /// Size of the downloaded archive, in bytes.
    pub archive_bytes: u64,
    /// Statuses of the rejected downloads.
    pub rejected_downloads: Vec<StatusCode>,
    /// Times.
    pub times: UploadTimes,
}

/// Times of an upload; `None` for steps that it did not reach.
#[derive(Default)]
pub struct UploadTimes {
    /// From the scheduled start to the 202.
    pub until_accepted: Option<Duration>,
    /// From the 202 to DONE.
    pub until_done: Option<Duration>,
    /// From the request for the link to the last byte of the archive.
    pub download: Option<Duration>,
    /// Time of the 202, from the start of the run.
    pub accepted_at: Option<Duration>,
    /// Time of DONE, from the start of the run.
    pub done_at: Option<Duration>,
}

/// An upload that is due.
pub struct UploadTask {
    pub user: Arc<User>,
    pub clips: Arc<Vec<Clip>>,
    /// Number of the upload in the run.
    pub number: usize,
    /// Start of the run.
    pub run_start: Instant,
    /// Scheduled start of the upload.
    pub scheduled: Instant,
    /// Time by which everything has to be finished.
    pub deadline: Instant,
}

impl UploadTask {
    /// Upload the video, wait for the job and check its archive.
    pub async fn run(self) -> Upload {
        let clip = &self.clips[self.number % self.clips.len()];
        let name = format!("{:07}-{}", self.number, clip.name);
        let mut upload = Upload {
            name: name.clone(),
            video_bytes: clip.bytes.len() as u64,
            job: None,
            result: UploadResult::NoResponse,
            archive_bytes: 0,
            rejected_downloads: Vec::new(),
            times: UploadTimes::default(),
        };
        match timeout_at(self.deadline, self.user.upload(name, &clip.bytes)).await {
            Err(_) | Ok(Err(RequestError::NoResponse(_))) => {}
            Ok(Err(RequestError::Rejected { status, .. })) => {
                upload.result = UploadResult::Rejected(status);
            }
            Ok(Ok(job)) => {
                upload.times.until_accepted = Some(self.scheduled.elapsed());
                upload.times.accepted_at = Some(self.run_start.elapsed());
                upload.result = self.finish(&job, clip, &mut upload).await;
                upload.job = Some(job);
            }
        }
        upload
    }

    /// Wait for an accepted job and check its outcome.
    async fn finish(&self, job: &str, clip: &Clip, upload: &mut Upload) -> UploadResult {
        let accepted = Instant::now();
        let last_status = Mutex::new("no event was received".to_owned());
        let state = timeout_at(self.deadline, self.final_state(job, &last_status)).await;
        match state {
            Err(_) => {
                UploadResult::Lost(format!("did not finish in time: {}", last_status.into_inner()))
            }
            Ok(Err(error)) => UploadResult::Lost(format!("cannot be watched: {error}")),
            Ok(Ok(state)) if state == "DONE" && !clip.must_fail => {
                upload.times.until_done = Some(accepted.elapsed());
                upload.times.done_at = Some(self.run_start.elapsed());
                timeout_at(self.deadline, self.check_archive(job, upload))
                    .await
                    .unwrap_or(UploadResult::NotDownloaded)
            }
            Ok(Ok(state)) if state == "FAILED" && clip.must_fail => UploadResult::FailedAsExpected,
            Ok(Ok(state)) => UploadResult::Wrong(format!("is {state}")),
        }
    }

    /// Watch a job until its final state. Opens another event stream when one ends early. Keeps the
    /// latest status in `last_status`.
    async fn final_state(
        &self,
        job: &str,
        last_status: &Mutex<String>,
    ) -> Result<String, RequestError> {
        loop {
            let mut state = String::new();
            let watched = self.user.watch(job, |new_state| {
                new_state.clone_into(&mut state);
                *last_status.lock() = format!("the last state was {new_state}");
            });
            match watched.await {
                Err(error) if !error.is_temporary() => return Err(error),
                _ if ["DONE", "FAILED", "CANCELLED", "EXPIRED"].contains(&state.as_str()) => {
                    return Ok(state);
                }
                Err(error) => {
                    *last_status.lock() = error.to_string();
                    error.wait().await;
                }
                Ok(()) => sleep(WATCH_PAUSE).await,
            }
        }
    }

    /// Download the archive and compare it with what the service states about it.
    async fn check_archive(&self, job: &str, upload: &mut Upload) -> UploadResult {
        let Download { file, stated_bytes, bytes } = match self.download(job, upload).await {
            Ok(download) => download,
            Err(error) => {
                return UploadResult::Wrong(format!("its archive cannot be downloaded: {error}"));
            }
        };
        upload.archive_bytes = bytes;
        let view = loop {
            match self.user.get(&format!("/videos/{job}")).await {
                Ok(view) => break view,
                Err(error) if error.is_temporary() => error.wait().await,
                Err(error) => {
                    return UploadResult::Wrong(format!("cannot be read: {error}"));
                }
            }
        };
        if bytes != stated_bytes || view["zip_size_bytes"] != bytes {
            return UploadResult::Wrong(format!(
                "its archive has {bytes} bytes, but {stated_bytes} by its link and {} by its job",
                view["zip_size_bytes"]
            ));
        }
        let counted = spawn_blocking(|| archive::frame_count(file)).await;
        match counted.unwrap_or_else(|panic| Err(panic.to_string())) {
            Ok(frames) if view["frame_count"] == frames => UploadResult::Completed,
            Ok(frames) => UploadResult::Wrong(format!(
                "its archive has {frames} frames, but {} by its job",
                view["frame_count"]
            )),
            Err(problem) => UploadResult::Wrong(problem),
        }
    }

    /// Download the archive. Repeats the request while the service rejects it temporarily.
    async fn download(&self, job: &str, upload: &mut Upload) -> Result<Download, RequestError> {
        loop {
            let started = Instant::now();
            match self.user.download(job).await {
                Ok(download) => {
                    upload.times.download = Some(started.elapsed());
                    return Ok(download);
                }
                Err(error) if error.is_temporary() => {
                    if let RequestError::Rejected { status, .. } = error {
                        upload.rejected_downloads.push(status);
                    }
                    error.wait().await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
