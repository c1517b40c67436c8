//! One attempt at a job, from the claim to its recorded outcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use database::Database;
use database::attempt::{Archive, Fate};
use database::claim::Claim;
use egress::Fetcher;
use fail::fail_point;
use jobs::{AttemptOutcome, FailureCode};
use storage::{Key, Storage};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, error, info, info_span, warn};

use crate::archive_quota::ArchiveQuota;
use crate::attempt_error::AttemptError;
use crate::attempt_io::{AttemptIo, AttemptLimits, ExtractedArchive};
use crate::breaker::Breaker;
use crate::lease::HeldLeases;
use crate::previews::{PreviewSender, PreviewTask};
use crate::progress::SharedProgress;
use crate::settings::Settings;
use crate::source::Source;

/// Pause before an outcome is written to the database again.
const RECORD_RETRY: Duration = Duration::from_millis(500);

/// Time for the response of the database about an outcome after the lease has ended.
const RECORD_GRACE: Duration = Duration::from_secs(1);

/// One attempt at a claimed job.
pub(crate) struct Attempt<'a> {
    pub database: &'a Database,
    pub storage: &'a Arc<dyn Storage>,
    /// Reads videos at addresses, if that is permitted.
    pub fetcher: Option<&'a Fetcher>,
    pub settings: &'a Settings,
    pub claim: &'a Claim,
    /// Renews the lease of the claim.
    pub leases: &'a HeldLeases,
    /// Informed about failures whose cause is in the service.
    pub breaker: &'a Breaker,
}

/// Result of an attempt's work, before it is recorded in the database.
enum WorkResult {
    Completed(Archive),
    Failed(AttemptError),
    /// The lease is lost: the job was cancelled or belongs to another worker.
    LeaseLost,
    /// The worker has to stop before the work is finished.
    Interrupted,
}

impl Attempt<'_> {
    /// Run the attempt and record its outcome. Stops early if the lease is lost, or when `shutdown`
    /// is cancelled; then the job is released.
    pub(crate) async fn run(&self, shutdown: &CancellationToken) -> AttemptOutcome {
        let job = &self.claim.job;
        info!(size_bytes = job.video_size_bytes, "attempt started");
        // The fence is 1 for the first claim only; `attempt` also is after an operator has requeued
        // the job.
        if let (1, Some(started_at)) = (job.fence, job.started_at) {
            metrics::histogram!("fiapx_wait_seconds")
                .record((started_at - job.created_at).as_seconds_f64());
        }
        let progress = Arc::new(SharedProgress::default());
        let (sender, previews) = PreviewTask::start(self.storage, job);
        let result = self.work(&progress, sender, shutdown).await;
        if let WorkResult::Failed(error) = &result {
            self.breaker.suspect(error);
        }
        previews.end().await;
        self.record_in_time(&result, &progress).await
    }

    /// Record the result while the lease is renewed.
    async fn record_in_time(
        &self,
        result: &WorkResult,
        progress: &Arc<SharedProgress>,
    ) -> AttemptOutcome {
        let mut recording = std::pin::pin!(self.record(result));
        tokio::select! {
            outcome = &mut recording => return outcome,
            () = self.leases.renew_until_lost(self.claim, progress) => {}
        }
        // The lease also ends when the outcome is recorded, which a renewal may see before the
        // response arrives.
        match tokio::time::timeout(RECORD_GRACE, recording).await {
            Ok(outcome) => outcome,
            Err(_) => self.record(&WorkResult::LeaseLost).await,
        }
    }

    /// Produce the archive while the lease is renewed.
    async fn work(
        &self,
        progress: &Arc<SharedProgress>,
        previews: PreviewSender,
        shutdown: &CancellationToken,
    ) -> WorkResult {
        let stop = CancellationToken::new();
        let mut work = std::pin::pin!(self.make_archive(&stop, progress, previews));
        tokio::select! {
            result = &mut work => {
                result.map_or_else(WorkResult::Failed, WorkResult::Completed)
            }
            () = shutdown.cancelled() => {
                stop.cancel();
                // The archive may be complete already.
                work.await.map_or(WorkResult::Interrupted, WorkResult::Completed)
            }
            () = self.leases.renew_until_lost(self.claim, progress) => {
                stop.cancel();
                // The upload has to be finished before its object can be deleted.
                let _ = work.await;
                WorkResult::LeaseLost
            }
        }
    }

    /// Extract the frames of the video into a stored archive.
    async fn make_archive(
        &self,
        stop: &CancellationToken,
        progress: &Arc<SharedProgress>,
        previews: PreviewSender,
    ) -> Result<Archive, AttemptError> {
        let started = Instant::now();
        let deadline = started + self.settings.timeout;
        let io = tokio::select! {
            io = self.open(progress, previews) => io?,
            () = stop.cancelled() => return Err(frames::Error::Cancelled.into()),
            () = tokio::time::sleep_until(deadline.into()) => {
                return Err(frames::Error::Timeout.into());
            }
        };
        let video_bytes = io.video.size();
        let limits = AttemptLimits {
            deadline,
            threads: self.settings.threads,
            engine: self.settings.engine,
            memory_bytes: self.settings.memory_bytes,
        };
        let extraction = self.settings.isolation.run(io, &limits, stop);
        let ExtractedArchive { report, upload } =
            extraction.instrument(info_span!("engine")).await?;
        fail_point!("archive.before-complete");
        let size = upload
            .complete()
            .instrument(info_span!("complete"))
            .await
            .map_err(|error| AttemptError::storage("cannot complete the archive", &error))?;
        fail_point!("archive.after-complete");
        if size != report.zip_bytes {
            let written = report.zip_bytes;
            let message =
                format!("the stored archive has {size} bytes, but {written} were written");
            return Err(AttemptError::new(FailureCode::StorageError, message));
        }
        let archive = Archive {
            path: self.archive_key().to_string(),
            size_bytes: size,
            frame_count: report.frames,
            expected: report.expected,
            complete: report.complete,
            warnings: report.warnings,
            duration: started.elapsed(),
        };
        metrics::histogram!("fiapx_attempt_seconds").record(archive.duration.as_secs_f64());
        metrics::histogram!("fiapx_decode_seconds").record(report.decode_s);
        metrics::histogram!("fiapx_encode_seconds").record(report.encode_s);
        metrics::counter!("fiapx_frames_total").increment(archive.frame_count);
        metrics::counter!("fiapx_video_bytes_total").increment(video_bytes);
        metrics::counter!("fiapx_video_bytes_read_total").increment(report.bytes_read);
        metrics::counter!("fiapx_archive_bytes_total").increment(archive.size_bytes);
        Ok(archive)
    }

    /// Find the video and start the upload of the archive.
    async fn open(
        &self,
        progress: &Arc<SharedProgress>,
        previews: PreviewSender,
    ) -> Result<AttemptIo, AttemptError> {
        let (database, storage, claim) = (self.database, self.storage, self.claim);
        let source = Source { database, storage, fetcher: self.fetcher, claim };
        // On the heap, because it is large, and most jobs need little of it.
        let video = Box::pin(source.open()).await?;
        let upload = self
            .storage
            .create(&self.archive_key())
            .await
            .map_err(|error| AttemptError::storage("cannot start the archive", &error))?;
        Ok(AttemptIo {
            video,
            recipe: self.claim.recipe.clone(),
            upload,
            quota: ArchiveQuota { database: self.database.clone(), claim: self.claim.clone() },
            progress: Arc::clone(progress),
            previews,
        })
    }

    /// Record the result in the database, log it and count it. Retries until the database answers;
    /// the lease limits that time.
    async fn record(&self, result: &WorkResult) -> AttemptOutcome {
        let outcome = loop {
            let recorded = match result {
                WorkResult::Completed(archive) => self.database.finish(self.claim, archive).await,
                WorkResult::Failed(error) => {
                    self.database.fail(self.claim, error.code, &error.message).await
                }
                WorkResult::Interrupted => self.database.release(self.claim).await,
                WorkResult::LeaseLost => Ok(AttemptOutcome::Lost),
            };
            match recorded {
                Ok(outcome) => break outcome,
                Err(error) => {
                    warn!(%error, "cannot write the outcome to the database; retrying");
                }
            }
            tokio::time::sleep(RECORD_RETRY).await;
        };
        let outcome = match outcome {
            AttemptOutcome::Lost => self.end_lost().await,
            recorded => recorded,
        };
        log_outcome(result, outcome);
        count_outcome(result, outcome);
        outcome
    }

    /// End an attempt that seems to have lost its job: delete its archive if the job will never
    /// refer to it. A commit may have succeeded although its response was lost, or may still be in
    /// progress; then the archive is kept, and the sweep deletes it if nothing refers to it.
    async fn end_lost(&self) -> AttemptOutcome {
        let key = self.archive_key();
        match self.database.fate(self.claim, key.as_str()).await {
            Ok(Fate::Finished) => return AttemptOutcome::Completed,
            Ok(Fate::Superseded) => {
                if let Err(error) = self.storage.delete(&key).await {
                    error!(%error, "cannot delete the archive of a lost attempt; the sweep will");
                }
            }
            Ok(Fate::Unknown) => {
                warn!("whether the outcome was recorded is not known yet; the archive is kept");
            }
            Err(error) => {
                warn!(%error, "cannot read the lost job; the sweep deletes its archive");
            }
        }
        AttemptOutcome::Lost
    }

    /// Key of the attempt's own archive: a worker that lost the job cannot overwrite the archive of
    /// the next attempt.
    fn archive_key(&self) -> Key {
        let job = &self.claim.job;
        Key::archive(job.user_id, job.id, job.fence)
    }
}

fn log_outcome(result: &WorkResult, outcome: AttemptOutcome) {
    match (result, outcome) {
        (WorkResult::Completed(archive), AttemptOutcome::Completed) => info!(
            frames = archive.frame_count,
            size_bytes = archive.size_bytes,
            duration_ms = archive.duration.as_millis() as u64,
            "archive completed"
        ),
        (WorkResult::Failed(error), AttemptOutcome::Retrying) => {
            let error_code = error.code.name();
            warn!(error_code, error = error.message, "attempt failed; another one follows");
        }
        (WorkResult::Failed(error), AttemptOutcome::Failed) => {
            warn!(error_code = error.code.name(), error = error.message, "job failed");
        }
        (_, AttemptOutcome::Released) => info!("job released because the worker is stopping"),
        _ => info!("job lost; the result of the attempt is discarded"),
    }
}

fn count_outcome(result: &WorkResult, outcome: AttemptOutcome) {
    metrics::counter!("fiapx_attempts_total", "outcome" => outcome.label()).increment(1);
    let span = Span::current();
    span.record("outcome", outcome.label());
    if let WorkResult::Failed(error) = result {
        span.record("error_code", error.code.name());
        if matches!(outcome, AttemptOutcome::Retrying | AttemptOutcome::Failed) {
            metrics::counter!("fiapx_failures_total", "code" => error.code.name()).increment(1);
        }
    }
}

/// Initialize all counters of attempts with 0: `increase()` in Prometheus misses a series whose
/// first sample is 1.
pub(crate) fn initialize_counters() {
    for outcome in AttemptOutcome::ALL {
        metrics::counter!("fiapx_attempts_total", "outcome" => outcome.label()).increment(0);
    }
    for code in FailureCode::ALL {
        metrics::counter!("fiapx_failures_total", "code" => code.name()).increment(0);
    }
}
