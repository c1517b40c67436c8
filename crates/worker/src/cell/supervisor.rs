//! The worker's side of a cell: serves the video, receives the archive and determines how the cell
//! ended.

use std::io::{self, ErrorKind, PipeReader, Read, Seek, SeekFrom, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use frames::Report;
use jobs::FailureCode;
use nix::sys::signal::Signal;
use parking_lot::Mutex;
use storage::blocking::{Reader, Writer};
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::program::{Program, RunningCell, start_error};
use super::protocol::{self, CellLimits, CellMessage, CellOutput, CellTask, MAX_CHUNK};
use crate::attempt_io::{AttemptError, AttemptIo, AttemptLimits, ExtractedArchive};
use crate::progress::SharedProgress;

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
        let AttemptIo { storage, video: object, recipe, upload, progress } = io;
        let time_left = limits.deadline.saturating_duration_since(Instant::now());
        let threads = limits.threads;
        let cpu_seconds = (time_left.as_secs() + EXTRA_CPU_SECONDS) * threads.get() as u64;
        let AttemptLimits { engine, memory_bytes, .. } = *limits;
        let limits_of_cell = CellLimits { engine, memory_bytes, cpu_seconds };
        let task = CellTask { video_bytes: object.size, recipe, threads, limits: limits_of_cell };
        let runtime = Handle::current();
        let reader = Reader::new(storage, &object, runtime.clone());
        // Ends when the cell closes the channel.
        spawn_blocking(move || serve_video(video, reader, &task));
        let receiver = Receiver {
            output,
            upload: Writer::new(upload, runtime),
            written: 0,
            archive_bytes: engine.archive_bytes,
            require_confinement: self.program.require_confinement,
            progress,
        };
        let mut receiving = spawn_blocking(move || receiver.run());
        let failed = |error: frames::Error| Err(ReceiveError::Attempt(error.into()));
        let received = tokio::select! {
            received = &mut receiving => received
                .unwrap_or_else(|panic| Err(ReceiveError::Attempt(start_error(&panic)))),
            () = stop.cancelled() => failed(frames::Error::Cancelled),
            () = tokio::time::sleep_until(limits.deadline.into()) => failed(frames::Error::Timeout),
        };
        let result = match received {
            Ok(archive) => Ok(archive),
            Err(ReceiveError::Attempt(error)) => Err(error),
            Err(ReceiveError::EndOfOutput) => Err(exit_error(&mut process, stderr).await),
        };
        let _ = process.kill().await;
        if !receiving.is_finished() {
            // The upload has to be finished before the caller removes what it left.
            let _ = receiving.await;
        }
        self.prepare();
        result
    }
}

/// Send a cell its task and the ranges of the video that it requests, until it closes the channel.
fn serve_video(mut channel: UnixStream, mut video: Reader, task: &CellTask) -> io::Result<()> {
    protocol::send_task(&mut channel, task)?;
    let mut buffer = vec![0; MAX_CHUNK];
    while let Some(request) = protocol::receive_range_request(&mut channel)? {
        let range = &mut buffer[..request.length];
        let read =
            video.seek(SeekFrom::Start(request.offset)).and_then(|_| video.read_exact(range));
        let range = read.map(|()| &*range).map_err(|error| error.to_string());
        protocol::send_range(&mut channel, range)?;
    }
    Ok(())
}

/// Reason why no archive was received from a cell.
enum ReceiveError {
    /// The cell, or the worker's side, reported an error.
    Attempt(AttemptError),
    /// The output ended before the last message.
    EndOfOutput,
}

impl From<frames::Error> for ReceiveError {
    fn from(error: frames::Error) -> Self {
        Self::Attempt(error.into())
    }
}

/// Receives the output of a cell and uploads the archive.
struct Receiver {
    output: PipeReader,
    upload: Writer,
    /// Bytes of the archive received so far.
    written: u64,
    /// Maximum size of the archive, in bytes.
    archive_bytes: u64,
    require_confinement: bool,
    progress: Arc<SharedProgress>,
}

impl Receiver {
    /// Receive until the last message.
    fn run(mut self) -> Result<ExtractedArchive, ReceiveError> {
        loop {
            let output =
                protocol::receive_output(&mut self.output).map_err(|error| match error.kind() {
                    ErrorKind::UnexpectedEof => ReceiveError::EndOfOutput,
                    _ => protocol_violation(format!("the cell sent invalid data: {error}")),
                })?;
            match output {
                CellOutput::Archive(bytes) => self.write(&bytes)?,
                CellOutput::Message(CellMessage::Confined { missing }) => {
                    self.check_confinement(&missing)?;
                }
                CellOutput::Message(CellMessage::Progress(progress)) => self.progress.set(progress),
                CellOutput::Message(CellMessage::Failed { code, message }) => {
                    return Err(ReceiveError::Attempt(AttemptError { code, message }));
                }
                CellOutput::Message(CellMessage::Done(report)) => return self.finish(report),
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ReceiveError> {
        self.written += bytes.len() as u64;
        if self.written > self.archive_bytes {
            return Err(frames::Error::ArchiveTooLarge { limit: self.archive_bytes }.into());
        }
        Ok(self.upload.write_all(bytes).map_err(frames::Error::Write)?)
    }

    fn check_confinement(&self, missing: &[String]) -> Result<(), ReceiveError> {
        if !self.require_confinement || missing.is_empty() {
            return Ok(());
        }
        let message = format!("the cell is not confined: {}", missing.join("; "));
        Err(ReceiveError::Attempt(AttemptError::new(FailureCode::InternalError, message)))
    }

    fn finish(self, report: Report) -> Result<ExtractedArchive, ReceiveError> {
        if report.zip_bytes != self.written {
            return Err(protocol_violation(format!(
                "the cell sent {} bytes of an archive of {}",
                self.written, report.zip_bytes
            )));
        }
        let upload = self.upload.into_upload().map_err(frames::Error::Write)?;
        Ok(ExtractedArchive { report, upload })
    }
}

/// The error of a cell that violates the protocol.
fn protocol_violation(message: String) -> ReceiveError {
    ReceiveError::Attempt(AttemptError::new(FailureCode::DecoderCrashed, message))
}

/// Wait for a cell whose output ended early, and return the reason.
async fn exit_error(process: &mut Child, stderr: PipeReader) -> AttemptError {
    match tokio::time::timeout(EXIT_TIMEOUT, process.wait()).await {
        Ok(Ok(status)) => status_error(status, stderr),
        Ok(Err(error)) => start_error(&error),
        Err(_) => AttemptError::new(
            FailureCode::DecoderCrashed,
            "the cell closed its output and did not exit",
        ),
    }
}

/// The reason for a cell's exit, from its status and its error output.
fn status_error(status: ExitStatus, stderr: PipeReader) -> AttemptError {
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
        None => FailureCode::InternalError,
    };
    let separator = if output.is_empty() { "" } else { ": " };
    AttemptError::new(code, format!("the cell ended with {status}{separator}{output}"))
}
