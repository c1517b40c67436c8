//! Outcomes of attempts: a worker finishes, fails or releases the job that it has claimed. Each
//! carries the fence of the claim; a worker whose fence is stale has lost the job and changes
//! nothing.

use std::time::Duration;

use fail::fail_point;
use jobs::failure::Retry;
use jobs::{AttemptOutcome, FailureCode, Language, Transition, Warning};
use sea_orm::EntityTrait;
use sea_orm::sea_query::{Expr, ExprTrait};
use serde_json::json;

use crate::bounded::Transaction;
use crate::change::Change;
use crate::claim::Claim;
use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::rows::job;

/// Archive that a successful attempt stored.
#[derive(Debug, Clone)]
pub struct Archive {
    /// Storage key.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Number of frames in the archive.
    pub frame_count: u64,
    /// Expected number of frames.
    pub expected: u64,
    /// Whether the archive contains every expected frame, decoded without error.
    pub complete: bool,
    /// Warnings about the archive.
    pub warnings: Vec<Warning>,
    /// Duration of the attempt.
    pub duration: Duration,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The job refers to its archive.
    Finished,
    /// The job refers to another archive or to none, and will never refer to this one.
    Superseded,
    /// The job still belongs to the attempt. Its outcome may become visible later.
    Unknown,
}

impl Database {
    /// Finish a job whose archive is stored. Return [`AttemptOutcome::Completed`], or
    /// [`AttemptOutcome::Lost`] if the claim does not hold.
    pub async fn finish(&self, claim: &Claim, archive: &Archive) -> Result<AttemptOutcome, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        // Programs of an earlier version read the English texts.
        let texts: Vec<_> =
            archive.warnings.iter().map(|warning| warning.text(Language::En)).collect();
        let change = Change::new(claim.job.id, Transition::FINISH)
            .only_if_held(&claim.job)
            .set(job::Column::ZipPath, archive.path.clone())
            .set(job::Column::ZipSizeBytes, archive.size_bytes as i64)
            .set(job::Column::FrameCount, archive.frame_count as i64)
            .set(job::Column::ProgressDone, archive.frame_count as i64)
            .set(job::Column::ProgressExpected, archive.expected as i64)
            .set(job::Column::Complete, archive.complete)
            .set(job::Column::Warnings, json!(texts).to_string())
            .set(job::Column::WarningDetails, json!(archive.warnings).to_string())
            .set(job::Column::ProcessingTimeSeconds, archive.duration.as_secs_f64())
            .clear(job::Column::ErrorCode)
            .clear(job::Column::ErrorMessage)
            .end(now, self.rules.retention);
        let metadata = |job: &Job| {
            json!({
                "attempt": job.attempt,
                "frame_count": archive.frame_count,
                "zip_size_bytes": archive.size_bytes,
            })
        };
        let Some(job) = change.apply(&transaction, metadata, now).await? else {
            return Ok(AttemptOutcome::Lost);
        };
        self.announce_outcome(&transaction, &job, now).await?;
        fail_point!("finish.before-commit");
        transaction.commit().await?;
        fail_point!("finish.after-commit");
        self.wake_relay();
        Ok(AttemptOutcome::Completed)
    }

    /// Record a failed attempt. Return [`AttemptOutcome::Retrying`] if the retry rules allow
    /// another attempt, [`AttemptOutcome::Failed`] if the job has failed, or
    /// [`AttemptOutcome::Lost`] if the claim does not hold.
    pub async fn fail(
        &self,
        claim: &Claim,
        code: FailureCode,
        message: &str,
    ) -> Result<AttemptOutcome, Error> {
        let transaction = self.begin().await?;
        let outcome = self.fail_attempt(&transaction, &claim.job, code, message).await?;
        fail_point!("fail.before-commit");
        transaction.commit().await?;
        fail_point!("fail.after-commit");
        self.wake_relay();
        Ok(outcome)
    }

    /// What became of an attempt whose outcome could not be recorded. `archive` is the storage key
    /// of its archive.
    ///
    /// A commit whose response was lost may still be in progress: then other transactions see the
    /// row as it was before, and only [`Fate::Unknown`] can be said. It holds the lock of the row,
    /// so nobody else changes the row before it ends. Hence each change is a proof.
    pub async fn fate(&self, claim: &Claim, archive: &str) -> Result<Fate, Error> {
        let row = job::Entity::find_by_id(claim.job.id.0).one(&self.write).await?;
        Ok(match row {
            Some(row) if row.zip_path.as_deref() == Some(archive) => Fate::Finished,
            // A lower fence is that of a restored backup or of a server that lags behind.
            Some(row) if row.fence < claim.job.fence => Fate::Unknown,
            Some(row) if row.fence == claim.job.fence && row.lease_until.is_some() => Fate::Unknown,
            Some(_) | None => Fate::Superseded,
        })
    }

    /// Return a job to the queue as if it had not been claimed, because the worker stops. Return
    /// [`AttemptOutcome::Released`], or [`AttemptOutcome::Lost`] if the claim does not hold.
    pub async fn release(&self, claim: &Claim) -> Result<AttemptOutcome, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let change = Change::new(claim.job.id, Transition::RETRY)
            .only_if_held(&claim.job)
            .set(job::Column::Attempt, Expr::col(job::Column::Attempt).sub(1))
            .set(job::Column::ProgressDone, 0);
        let metadata = json!({ "released": true });
        if self.enqueue(&transaction, change, metadata, now, now).await?.is_none() {
            return Ok(AttemptOutcome::Lost);
        }
        transaction.commit().await?;
        self.wake_relay();
        Ok(AttemptOutcome::Released)
    }

    /// Record a failed attempt in a transaction. `held` is the job as it was claimed.
    pub(crate) async fn fail_attempt(
        &self,
        transaction: &Transaction,
        held: &Job,
        code: FailureCode,
        message: &str,
    ) -> Result<AttemptOutcome, Error> {
        let now = self.now();
        let mut metadata =
            json!({ "attempt": held.attempt, "error_code": code, "error_message": message });
        let is_charged = code.retry() == Retry::Charged;
        let charged = held.charged + u32::from(is_charged);
        let change = |transition| {
            Change::new(held.id, transition)
                .only_if_held(held)
                .set(job::Column::Charged, charged as i32)
                .set(job::Column::ErrorCode, code.name())
                .set(job::Column::ErrorMessage, message)
        };
        let pause = self.rules.retries.pause(code, held.attempt, charged, rand::random());
        // Without its video, a job cannot be processed anymore.
        if let Some(due) = pause.map(|pause| now + pause).filter(|due| *due < held.expires_at) {
            let mut change = change(Transition::RETRY).set(job::Column::NextAttemptAt, due);
            if is_charged {
                let round = self.next_round(transaction, held.user_id).await?;
                change = change.set(job::Column::Round, round);
            }
            metadata["next_attempt_at"] = json!(due);
            return Ok(match self.enqueue(transaction, change, metadata, now, due).await? {
                Some(_) => AttemptOutcome::Retrying,
                None => AttemptOutcome::Lost,
            });
        }
        let change = change(Transition::FAIL).end(now, self.rules.retention);
        let Some(job) = change.apply(transaction, |_| metadata, now).await? else {
            return Ok(AttemptOutcome::Lost);
        };
        self.announce_outcome(transaction, &job, now).await?;
        Ok(AttemptOutcome::Failed)
    }
}
