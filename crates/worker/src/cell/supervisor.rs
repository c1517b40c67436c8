//! The worker's side of a cell: serves the video, receives the archive and determines how the cell
//! ended.

use std::io::{self, PipeReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobs::{FailureCode, Recipe};
use nix::sys::signal::Signal;
use parking_lot::Mutex;
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::program::{Program, RunningCell, start_error};
use super::protocol::{CellLimits, CellTask};
use super::receiver::{ReceiveError, Received, Receiver, violation};
use super::text::printable;
use super::threads::{exceeded, max_threads};
use super::video::{self, Served};
use crate::archive_quota::{ArchiveWriter, AttemptEnd};
use crate::attempt_error::AttemptError;
use crate::attempt_io::{AttemptIo, AttemptLimits, ExtractedArchive};

/// Maximum time between the end of a cell's output and the end of its process.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Number of bytes of a cell's error output that are kept.
const MAX_STDERR: u64 = 4 << 10;

/// Processor time beyond the deadline, in seconds. The deadline has to end the attempt first,
/// because it leads to a better error than a signal does.
const EXTRA_CPU_SECONDS: u64 = 60;

/// Cells of a worker. Clones share them.
#[derive(Debug, Clone)]
pub struct Cells {
    program: Program,
    /// A cell started in advance, so that an attempt does not wait until libav is loaded. It has
    /// no task yet and has not seen a video.
    next: Arc<Mutex<Option<RunningCell>>>,
}

impl Cells {
    /// Cells that run `program`. The first one is started immediately.
    #[must_use]
    pub fn new(program: Program) -> Self {
        let cells = Self { program, next: Arc::default() };
        cells.prepare();
        cells
    }

    /// Start the next cell in advance, unless there is one. If that fails, the attempt that needs
    /// the cell reports the error.
    fn prepare(&self) {
        let mut next = self.next.lock();
        if next.is_none() {
            *next = self.program.start().ok();
        }
    }

    /// Return the cell started in advance if it still runs, or start one.
    fn take(&self) -> io::Result<RunningCell> {
        let next = self.next.lock().take();
        if let Some(mut cell) = next
            && matches!(cell.process.try_wait(), Ok(None))
        {
            return Ok(cell);
        }
        self.program.start()
    }

    /// Check that cells can be started, and confined if that is required.
    pub(crate) async fn check(&self) -> Result<(), AttemptError> {
        let missing = self.program.check().await?;
        if self.program.require_confinement && !missing.is_empty() {
            let message = format!("the kernel cannot confine cells: {}", missing.join("; "));
            return Err(AttemptError::new(FailureCode::InternalError, message));
        }
        Ok(())
    }

    /// Run an attempt in a cell. Cancelling `stop` kills the cell.
    pub(crate) async fn run(
        &self,
        io: AttemptIo,
        limits: &AttemptLimits,
        stop: &CancellationToken,
    ) -> Result<ExtractedArchive, AttemptError> {
        let RunningCell { mut process, video, output, stderr } =
            self.take().map_err(|error| start_error(&error))?;
        let AttemptIo { video: input, recipe, upload, quota, progress, previews } = io;
        let time_left = limits.deadline.saturating_duration_since(Instant::now());
        let threads = limits.threads;
        let cpu_seconds = (time_left.as_secs() + EXTRA_CPU_SECONDS) * threads.get() as u64;
        let AttemptLimits { engine, memory_bytes, .. } = *limits;
        let limits_of_cell = CellLimits { engine, memory_bytes, cpu_seconds };
        let task = CellTask { video_bytes: input.size(), recipe, threads, limits: limits_of_cell };
        let runtime = Handle::current();
        let end = AttemptEnd { stop: stop.clone(), deadline: limits.deadline };
        let reader = input.reader(end.clone(), runtime.clone());
        let served = Arc::<Served>::default();
        let serving = Arc::clone(&served);
        let recipe = task.recipe.clone();
        // Ends when the cell closes the channel.
        spawn_blocking(move || video::serve(&mut { video }, reader, &task, &serving));
        let receiver = Receiver {
            output,
            upload: ArchiveWriter::new(upload, quota, end, runtime),
            limits: limits_of_cell,
            require_confinement: self.program.require_confinement,
            progress,
            previews,
            received: Received::default(),
        };
        let mut receiving = spawn_blocking(move || receiver.run());
        let max_threads = max_threads(threads);
        let result = tokio::select! {
            // First, because a cell ends when its channel is closed after a violation.
            biased;
            description = served.violation() => Err(violation(description)),
            received = &mut receiving => match received {
                Ok(Ok(archive)) => Ok(archive),
                Ok(Err(error)) => Err(attempt_error(error, &mut process, stderr, &recipe).await),
                Err(panic) => Err(start_error(&panic)),
            },
            () = stop.cancelled() => Err(frames::Error::Cancelled.into()),
            () = tokio::time::sleep_until(limits.deadline.into()) => {
                Err(frames::Error::Timeout.into())
            }
            count = exceeded(process.id(), max_threads) => Err(violation(format!(
                "the cell started {count} threads, and at most {max_threads} are allowed"
            ))),
        };
        // A hostile cell must not occupy memory and threads beside the next one.
        let _ = process.kill().await;
        let cells = self.clone();
        // The rest of the attempt does not wait for the start of the next cell.
        spawn_blocking(move || cells.prepare());
        if !receiving.is_finished() {
            // The upload has to be finished before the caller removes what it left.
            let _ = receiving.await;
        }
        checked_result(result, &served)
    }
}

/// Result of an attempt, as far as the worker itself knows better: the cell cannot distinguish
/// errors of reading, and its texts are its own.
fn checked_result(
    result: Result<ExtractedArchive, AttemptError>,
    served: &Served,
) -> Result<ExtractedArchive, AttemptError> {
    match (result, served.read_error()) {
        (Err(error), _) if error.code == FailureCode::ProcessingTimeout => Err(error),
        (_, Some(error)) => Err(error),
        (Ok(mut archive), None) => {
            archive.report.bytes_read = served.bytes();
            Ok(archive)
        }
        (Err(AttemptError { code, message }), None) => {
            Err(AttemptError { code, message: printable(&message) })
        }
    }
}

/// Reason why no archive was received from a cell.
async fn attempt_error(
    error: ReceiveError,
    process: &mut Child,
    stderr: PipeReader,
    recipe: &Recipe,
) -> AttemptError {
    match error {
        ReceiveError::Attempt(error) => error,
        ReceiveError::EndOfOutput { was_confined } => {
            exit_error(process, stderr, was_confined).await
        }
        // This installation may lack an encoder, which the worker finds out by itself.
        ReceiveError::ServiceCode { code, message } => match frames::check_encoders(recipe) {
            Err(error) if error.code() == code => error.into(),
            _ => violation(format!("the cell reported {code}, which it cannot know: {message}")),
        },
    }
}

/// Wait for a cell whose output ended early, and return the reason.
async fn exit_error(process: &mut Child, stderr: PipeReader, was_confined: bool) -> AttemptError {
    match tokio::time::timeout(EXIT_TIMEOUT, process.wait()).await {
        Ok(Ok(status)) => status_error(status, stderr, was_confined),
        Ok(Err(error)) => start_error(&error),
        Err(_) => AttemptError::new(
            FailureCode::DecoderCrashed,
            "the cell closed its output and did not exit",
        ),
    }
}

/// The reason for a cell's exit, from its status and its error output.
fn status_error(status: ExitStatus, stderr: PipeReader, was_confined: bool) -> AttemptError {
    let mut output = Vec::new();
    let _ = stderr.take(MAX_STDERR).read_to_end(&mut output);
    let output = String::from_utf8_lossy(&output);
    let output = output.trim();
    let signal = status.signal().and_then(|number| Signal::try_from(number).ok());
    let code = match signal {
        // Text of Rust's abort after a failed allocation (alloc::alloc::handle_alloc_error).
        Some(Signal::SIGABRT) if output.contains("memory allocation of") => {
            FailureCode::OutOfMemory
        }
        // The kernel kills processes when memory is short; nothing else kills cells.
        Some(Signal::SIGKILL) => FailureCode::OutOfMemory,
        Some(Signal::SIGXCPU) => FailureCode::ProcessingTimeout,
        Some(_) => FailureCode::DecoderCrashed,
        // A cell that has seen the video may exit as the video likes.
        None if was_confined => FailureCode::DecoderCrashed,
        None => FailureCode::InternalError,
    };
    let separator = if output.is_empty() { "" } else { ": " };
    AttemptError::new(code, format!("the cell ended with {status}{separator}{output}"))
}
