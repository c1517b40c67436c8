//! The engine's run, between a stored video and an upload: in a cell, or in this process.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use frames::{Limits, Options, Report, Stop};
use jobs::FailureCode;
use storage::blocking::{Reader, Writer};
use storage::{Object, Storage, Upload};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::cell;
use crate::lease::Progress;

/// What stands between the engine and the rest of the worker.
#[derive(Debug, Clone)]
pub enum Isolation {
    /// A process without rights for each attempt.
    Cell(cell::Cells),
    /// Nothing: a video that crashes a decoder takes the worker down. For systems without cells,
    /// and for debugging.
    None,
}

/// What an attempt reads and writes.
pub(crate) struct Ends {
    pub storage: Arc<dyn Storage>,
    pub video: Object,
    /// Takes the archive, and is given back unfinished.
    pub upload: Box<dyn Upload>,
    pub progress: Arc<Progress>,
}

/// How far an attempt may go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub deadline: Instant,
    pub threads: NonZeroUsize,
    /// Of the archive.
    pub archive_bytes: u64,
    /// Of a cell.
    pub memory_bytes: u64,
}

/// Why an attempt gave no archive.
#[derive(Debug)]
pub struct Failure {
    /// The code that its user will see.
    pub code: FailureCode,
    /// What happened, for the history and the log.
    pub message: String,
}

impl Failure {
    /// A failure of the store.
    pub(crate) fn storage(doing: &str, error: &storage::Error) -> Self {
        Self { code: FailureCode::StorageError, message: format!("{doing}: {error}") }
    }
}

impl From<frames::Error> for Failure {
    fn from(error: frames::Error) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

impl Isolation {
    /// Take the pictures of a video and write their archive. Ends soon when `stop` turns.
    pub(crate) async fn run(
        &self,
        ends: Ends,
        bounds: &Bounds,
        stop: &CancellationToken,
    ) -> Result<(Report, Box<dyn Upload>), Failure> {
        match self {
            Self::Cell(cells) => cells.run(ends, bounds, stop).await,
            Self::None => in_this_process(ends, bounds, stop).await,
        }
    }
}

/// The reading and writing sides enter the run-time from the engine's threads.
async fn in_this_process(
    ends: Ends,
    bounds: &Bounds,
    stop: &CancellationToken,
) -> Result<(Report, Box<dyn Upload>), Failure> {
    let Ends { storage, video, upload, progress } = ends;
    let (runtime, switch) = (Handle::current(), Stop::at(bounds.deadline));
    let limits = Limits { max_archive_bytes: bounds.archive_bytes, ..Limits::default() };
    let options =
        Options { threads: bounds.threads, limits, stop: switch.clone(), ..Options::default() };
    let mut engine = tokio::task::spawn_blocking(move || {
        let source = Reader::new(storage, &video, runtime.clone());
        let mut sink = Writer::new(upload, runtime);
        let report = frames::extract(source, &mut sink, &options, |now| progress.set(now))?;
        let upload = sink.into_upload().map_err(frames::Error::Write)?;
        Ok((report, upload))
    });
    let ended = tokio::select! {
        ended = &mut engine => ended,
        () = stop.cancelled() => {
            switch.cancel();
            engine.await
        }
    };
    ended.unwrap_or_else(|panic| {
        Err(Failure {
            code: FailureCode::InternalError,
            message: format!("the engine broke down: {panic}"),
        })
    })
}
