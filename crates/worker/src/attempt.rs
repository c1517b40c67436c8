//! One attempt at one job: from the claim to exactly one end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use database::attempt::{Archive, Claim};
use fail::fail_point;
use jobs::{AttemptOutcome, FailureCode};
use storage::{Error, Key};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, error, info, info_span, warn};

use crate::Worker;
use crate::engine::{Bounds, Ends, Failure};
use crate::lease::{self, Progress};

/// What is to be told to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The database knows what follows; the message has done its duty.
    Over,
    /// The job has failed for good; the message belongs to the dead letters.
    Failed,
}

/// How the work ended, before the database knows.
enum Work {
    Archived(Archive),
    Failed(Failure),
    /// The job belongs to somebody else by now, or to nobody.
    Lost,
    /// The worker has to go.
    Left,
}

impl Worker {
    /// Work on a claimed job. Ends early when the claim is lost, or when `leave` turns; then the
    /// job is given back.
    pub(crate) async fn attempt(&self, claim: &Claim, leave: &CancellationToken) -> Outcome {
        let started = Instant::now();
        info!(size_bytes = claim.job.video_size_bytes, "the attempt begins");
        // The first claim, and not the first attempt after an operator has put the job back.
        if let (1, Some(begun)) = (claim.job.fence, claim.job.started_at) {
            metrics::histogram!("fiapx_wait_seconds")
                .record((begun - claim.job.created_at).as_seconds_f64());
        }
        let progress = Arc::new(Progress::default());
        let stop = CancellationToken::new();
        let mut work = std::pin::pin!(self.work(claim, &stop, &progress, started));
        let work = tokio::select! {
            work = &mut work => work,
            () = leave.cancelled() => {
                stop.cancel();
                match work.await {
                    Work::Failed(_) => Work::Left,
                    work => work,
                }
            }
            () = lease::keep(&self.database, claim, &progress) => {
                // What is being written has to be over before it can be removed.
                stop.cancel();
                work.await;
                Work::Lost
            }
        };
        tokio::select! {
            outcome = self.conclude(claim, &work) => outcome,
            () = lease::keep(&self.database, claim, &progress) => self.conclude(claim, &Work::Lost).await,
        }
    }

    async fn work(
        &self,
        claim: &Claim,
        stop: &CancellationToken,
        progress: &Arc<Progress>,
        started: Instant,
    ) -> Work {
        match self.make_archive(claim, stop, progress, started).await {
            Ok(archive) => Work::Archived(archive),
            Err(failure) => Work::Failed(failure),
        }
    }

    /// From the video in storage to the archive in storage.
    async fn make_archive(
        &self,
        claim: &Claim,
        stop: &CancellationToken,
        progress: &Arc<Progress>,
        started: Instant,
    ) -> Result<Archive, Failure> {
        let job = &claim.job;
        let path: Key = job.video_path.parse().map_err(|_| Failure {
            code: FailureCode::InternalError,
            message: format!("`{}` is no key of a video", job.video_path),
        })?;
        let video = self.storage.head(&path).await.map_err(|error| match error {
            Error::NotFound { .. } => {
                Failure { code: FailureCode::VideoMissing, message: error.to_string() }
            }
            _ => Failure::storage("the video cannot be found", &error),
        })?;
        let key = archive_key(claim);
        let upload = self
            .storage
            .create(&key)
            .await
            .map_err(|error| Failure::storage("the archive cannot be begun", &error))?;

        let ends = Ends {
            storage: Arc::clone(&self.storage),
            video,
            upload,
            progress: Arc::clone(progress),
        };
        let bounds = Bounds {
            deadline: started + self.settings.timeout,
            threads: self.settings.threads,
            archive_bytes: self.settings.archive_bytes,
            memory_bytes: self.settings.memory_bytes,
        };
        let engine = info_span!("engine");
        let (report, upload) =
            self.settings.isolation.run(ends, &bounds, stop).instrument(engine).await?;
        fail_point!("archive.before-complete");
        let completed = upload.complete().instrument(info_span!("complete")).await;
        let size = completed
            .map_err(|error| Failure::storage("the archive cannot be completed", &error))?;
        fail_point!("archive.after-complete");
        if size != report.zip_bytes {
            let message = format!(
                "the stored archive has {size} bytes where {} were written",
                report.zip_bytes
            );
            return Err(Failure { code: FailureCode::StorageError, message });
        }
        let took = started.elapsed();
        metrics::histogram!("fiapx_attempt_seconds").record(took.as_secs_f64());
        metrics::histogram!("fiapx_decode_seconds").record(report.decode_s);
        metrics::histogram!("fiapx_encode_seconds").record(report.encode_s);
        metrics::counter!("fiapx_frames_total").increment(report.frames);
        metrics::counter!("fiapx_video_bytes_total").increment(job.video_size_bytes);
        metrics::counter!("fiapx_archive_bytes_total").increment(size);
        Ok(Archive {
            path: key.to_string(),
            size_bytes: size,
            frame_count: report.frames,
            expected: report.expected,
            complete: report.complete,
            warnings: report.warnings,
            duration: took,
        })
    }

    /// Tell the database how the work ended, for as long as it takes: the lease limits that.
    async fn conclude(&self, claim: &Claim, work: &Work) -> Outcome {
        let ended = loop {
            let told = match work {
                Work::Archived(archive) => self.database.finish(claim, archive).await,
                Work::Failed(failure) => {
                    self.database.fail(claim, failure.code, &failure.message).await
                }
                Work::Left => self.database.release(claim).await,
                Work::Lost => Ok(AttemptOutcome::Lost),
            };
            match told {
                Ok(ended) => break ended,
                Err(error) => {
                    warn!(%error, "the outcome cannot be written to the database; trying again");
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        if ended == AttemptOutcome::Lost {
            self.discard(claim).await;
        }
        let outcome = match (work, ended) {
            (Work::Archived(archive), AttemptOutcome::Completed) => {
                let (frames, size) = (archive.frame_count, archive.size_bytes);
                info!(
                    frames,
                    size_bytes = size,
                    duration_ms = archive.duration.as_millis() as u64,
                    "the archive is done"
                );
                "done"
            }
            (Work::Failed(failure), AttemptOutcome::Retrying) => {
                warn!(error_code = %failure.code, error = failure.message, "the attempt failed; another follows");
                count(failure);
                "retried"
            }
            (Work::Failed(failure), AttemptOutcome::Failed) => {
                warn!(error_code = %failure.code, error = failure.message, "the job failed");
                count(failure);
                "failed"
            }
            (Work::Left, AttemptOutcome::Released) => {
                info!("the worker stops; the job is given back");
                "released"
            }
            _ => {
                info!("the job is lost to this worker; its work is thrown away");
                "lost"
            }
        };
        metrics::counter!("fiapx_attempts_total", "outcome" => outcome).increment(1);
        let span = Span::current();
        span.record("outcome", outcome);
        if let Work::Failed(failure) = work {
            span.record("error_code", failure.code.name());
        }
        if outcome == "failed" { Outcome::Failed } else { Outcome::Over }
    }

    /// Remove the archive of an attempt that does not count, unless the database counts it after
    /// all: a commit may have succeeded although its answer got lost.
    async fn discard(&self, claim: &Claim) {
        let key = archive_key(claim);
        match self.database.job(claim.job.id).await {
            Ok(Some(job)) if job.zip_path.as_deref() == Some(key.as_str()) => {}
            Ok(_) => {
                if let Err(error) = self.storage.delete(&key).await {
                    error!(%error, "the archive of a lost attempt could not be removed; the sweep will");
                }
            }
            Err(error) => {
                warn!(%error, "whether the archive counts is unknown; the sweep will find out");
            }
        }
    }
}

/// Show all counters of attempts before the first one ends: what appears with 1 has not grown for
/// those who watch its growth.
pub(crate) fn count_from_zero() {
    for outcome in ["done", "retried", "failed", "released", "lost"] {
        metrics::counter!("fiapx_attempts_total", "outcome" => outcome).increment(0);
    }
    for code in FailureCode::ALL {
        metrics::counter!("fiapx_failures_total", "code" => code.name()).increment(0);
    }
}

fn count(failure: &Failure) {
    metrics::counter!("fiapx_failures_total", "code" => failure.code.name()).increment(1);
}

/// Each attempt has an archive of its own, so a worker that lost its job cannot touch that of its
/// successor.
fn archive_key(claim: &Claim) -> Key {
    Key::archive(claim.job.user_id, claim.job.id, claim.job.fence)
}
