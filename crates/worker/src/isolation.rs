//! Isolation of attempts: in a cell, or in the worker's own process.

use frames::Stop;
use jobs::FailureCode;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::archive_quota::{ArchiveWriter, AttemptEnd};
use crate::attempt_error::AttemptError;
use crate::attempt_io::{AttemptIo, AttemptLimits, ExtractedArchive};
use crate::cell::Cells;
use crate::engine;

/// Process in which the frame engine runs.
#[derive(Debug, Clone)]
pub enum Isolation {
    /// A process without privileges for each attempt.
    Cell(Cells),
    /// The worker's process: a video that crashes a decoder crashes the worker. For systems
    /// without cells, and for debugging.
    None,
}

impl Isolation {
    /// Check that attempts can be started.
    pub(crate) async fn check(&self) -> Result<(), AttemptError> {
        match self {
            Self::Cell(cells) => cells.check().await,
            Self::None => Ok(()),
        }
    }

    /// Extract the frames of a video and write their archive. Returns soon after `stop` is
    /// cancelled.
    pub(crate) async fn run(
        &self,
        io: AttemptIo,
        limits: &AttemptLimits,
        stop: &CancellationToken,
    ) -> Result<ExtractedArchive, AttemptError> {
        match self {
            Self::Cell(cells) => cells.run(io, limits, stop).await,
            Self::None => run_in_process(io, limits, stop).await,
        }
    }
}

/// Run the engine on a thread of this process. Reader and writer enter the async runtime from the
/// engine's threads.
async fn run_in_process(
    io: AttemptIo,
    limits: &AttemptLimits,
    stop: &CancellationToken,
) -> Result<ExtractedArchive, AttemptError> {
    let AttemptIo { video, recipe, upload, quota, progress, previews } = io;
    let (runtime, engine_stop) = (Handle::current(), Stop::at(limits.deadline));
    let (stop_engine, previews) = (engine_stop.clone(), previews.into_sink());
    let options = engine::options(recipe, limits.threads, limits.engine, stop_engine, previews);
    let end = AttemptEnd { stop: stop.clone(), deadline: limits.deadline };
    let mut extraction = tokio::task::spawn_blocking(move || {
        let source = video.reader(end.clone(), runtime.clone());
        let mut sink = ArchiveWriter::new(upload, quota, end, runtime);
        let report = frames::extract(source, &mut sink, &options, |now| progress.set(now))?;
        let upload = sink.into_upload().map_err(frames::Error::Write)?;
        Ok(ExtractedArchive { report, upload })
    });
    let finished = tokio::select! {
        finished = &mut extraction => finished,
        () = stop.cancelled() => {
            engine_stop.cancel();
            extraction.await
        }
    };
    finished.unwrap_or_else(|panic| {
        let message = format!("the frame engine panicked: {panic}");
        Err(AttemptError::new(FailureCode::InternalError, message))
    })
}
