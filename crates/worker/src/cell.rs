//! The cell: a process without rights in which one attempt's engine runs.
//!
//! libav is a large body of C that reads what strangers send. Whoever takes it over is in a process
//! that has no files, no network, no environment and no keys, whose memory and time are bounded,
//! and which nobody misses: it is this program, started anew for each attempt. Storage, database
//! and broker stay with the worker, and only compressed bytes cross between the two. What a cell
//! says is believed of its own job alone.

mod confine;
mod inside;
mod wire;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, ErrorKind, PipeReader, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use frames::Report;
use jobs::FailureCode;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;
use storage::Upload;
use storage::blocking::{Reader, Writer};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::engine::{Bounds, Ends, Failure};
use crate::lease::Progress;
pub use inside::main;
use wire::{LARGEST, Said, Task, Word};

/// How long a cell may take to end after it has closed its channel.
const PARTING: Duration = Duration::from_secs(5);

/// Most bytes of a cell's error output that are looked at.
const LAST_WORDS: u64 = 4 << 10;

/// The command that is a cell.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program, which calls [`main`].
    pub path: PathBuf,
    /// The words that make it do so.
    pub arguments: Vec<OsString>,
    /// Whether a cell that the kernel cannot confine is of no use.
    pub confined: bool,
}

/// The cells of a worker. Clones share them.
#[derive(Debug, Clone)]
pub struct Cells {
    program: Program,
    /// Started ahead, so that an attempt does not wait for libav's libraries to be loaded. It has
    /// no task yet, and has seen no video.
    next: Arc<Mutex<Option<Cell>>>,
}

/// A running cell. It ends when this is dropped.
#[derive(Debug)]
struct Cell {
    process: Child,
    /// Takes the task, and carries the video.
    video: UnixStream,
    /// Carries the archive.
    archive: PipeReader,
    errors: PipeReader,
}

impl Program {
    fn start(&self) -> io::Result<Cell> {
        let (video, stdin) = UnixStream::pair()?;
        let (archive, stdout) = io::pipe()?;
        let (errors, stderr) = io::pipe()?;
        // Fewer and longer turns for both sides; the usual length does as well.
        let _ = fcntl(&archive, FcntlArg::F_SETPIPE_SZ(LARGEST as i32));
        let process = Command::new(&self.path)
            .args(&self.arguments)
            .env_clear()
            .current_dir("/")
            // A terminal's interrupt is for the worker, which lets its jobs end.
            .process_group(0)
            .stdin(OwnedFd::from(stdin))
            .stdout(stdout)
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Cell { process, video, archive, errors })
    }

    /// Start a cell to see whether the kernel can confine it. Gives what is lacking, in words.
    ///
    /// # Errors
    /// No cell can be started; the failure says why.
    pub async fn check(&self) -> Result<Vec<String>, Failure> {
        let mut cell = self.start().map_err(|error| no_cell(&error))?;
        let task = Task {
            video_bytes: 0,
            archive_bytes: 0,
            threads: 1,
            memory_bytes: 1 << 30,
            cpu_seconds: 60,
        };
        let said = spawn_blocking(move || {
            wire::order(&mut cell.video, &task)?;
            wire::hear(&mut cell.archive)
        });
        match said.await.map_err(|panic| no_cell(&panic))? {
            Ok(Said::Word(Word::Confined { lacking })) => Ok(lacking),
            Ok(_) => Err(no_cell(&"it does not say how it is confined")),
            Err(error) => Err(no_cell(&error)),
        }
    }
}

impl Cells {
    /// Cells of this program, the first of which is started now.
    #[must_use]
    pub fn of(program: Program) -> Self {
        let cells = Self { program, next: Arc::default() };
        cells.prepare();
        cells
    }

    /// Start the next cell ahead, unless there is one. If that fails, the attempt that wants it
    /// will say why.
    fn prepare(&self) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_none() {
            *next = self.program.start().ok();
        }
    }

    /// The cell that waits, if it lives, or a new one.
    fn take(&self) -> io::Result<Cell> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut cell) = next
            && matches!(cell.process.try_wait(), Ok(None))
        {
            return Ok(cell);
        }
        self.program.start()
    }

    /// Do the work in a cell. Ends soon when `stop` turns.
    pub(crate) async fn run(
        &self,
        ends: Ends,
        bounds: &Bounds,
        stop: &CancellationToken,
    ) -> Result<(Report, Box<dyn Upload>), Failure> {
        let Cell { mut process, video, archive, errors } =
            self.take().map_err(|error| no_cell(&error))?;
        let threads = bounds.threads.get();
        let left = bounds.deadline.saturating_duration_since(Instant::now());
        let task = Task {
            video_bytes: ends.video.size,
            archive_bytes: bounds.archive_bytes,
            threads,
            memory_bytes: bounds.memory_bytes,
            // Never the first to end: a deadline says more than a signal.
            cpu_seconds: (left.as_secs() + 60) * threads as u64,
        };
        let runtime = Handle::current();
        let reader = Reader::new(ends.storage, &ends.video, runtime.clone());
        let writer = Writer::new(ends.upload, runtime);
        let (confined, most, progress) =
            (self.program.confined, bounds.archive_bytes, ends.progress);
        // It ends with the cell.
        spawn_blocking(move || serve(video, reader, &task));
        let mut heard = spawn_blocking(move || listen(archive, writer, most, confined, &progress));
        let ended = tokio::select! {
            heard = &mut heard => heard.unwrap_or_else(|panic| Err(End::Failed(no_cell(&panic)))),
            () = stop.cancelled() => Err(End::Failed(frames::Error::Cancelled.into())),
            () = tokio::time::sleep_until(bounds.deadline.into()) => Err(End::Failed(frames::Error::Timeout.into())),
        };
        let ended = match ended {
            Err(End::Silent) => {
                let status = tokio::time::timeout(PARTING, process.wait()).await;
                Err(status.map_or_else(
                    |_| Failure {
                        code: FailureCode::DecoderCrashed,
                        message: "the cell closed its channel and went on".to_owned(),
                    },
                    |status| {
                        status
                            .map_or_else(|error| no_cell(&error), |status| obituary(status, errors))
                    },
                ))
            }
            Err(End::Failed(failure)) => Err(failure),
            Ok(done) => Ok(done),
        };
        let _ = process.kill().await;
        if !heard.is_finished() {
            // The upload is over before anybody may look for what it left.
            let _ = heard.await;
        }
        self.prepare();
        ended
    }
}

/// Give a cell its task and the ranges of the video that it asks for, until it has gone.
fn serve(mut channel: UnixStream, mut video: Reader, task: &Task) -> io::Result<()> {
    wire::order(&mut channel, task)?;
    let mut range = vec![0; LARGEST];
    while let Some((offset, length)) = wire::asked(&mut channel)? {
        let range = &mut range[..length];
        let read = video.seek(SeekFrom::Start(offset)).and_then(|_| video.read_exact(range));
        wire::answer(&mut channel, read.map(|()| &*range).map_err(|error| error.to_string()))?;
    }
    Ok(())
}

/// Why a cell gave no archive.
enum End {
    /// It, or the worker's side, says why.
    Failed(Failure),
    /// It ended without a word.
    Silent,
}

/// Write what a cell gives to the upload until it says that it has done its work.
fn listen(
    mut cell: PipeReader,
    mut upload: Writer,
    most: u64,
    confined: bool,
    progress: &Progress,
) -> Result<(Report, Box<dyn Upload>), End> {
    let failed = |code, message: String| End::Failed(Failure { code, message });
    let mut written = 0;
    loop {
        let said = wire::hear(&mut cell).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => End::Silent,
            _ => failed(FailureCode::DecoderCrashed, format!("the cell talks nonsense: {error}")),
        })?;
        match said {
            Said::Archive(bytes) => {
                written += bytes.len() as u64;
                if written > most {
                    return Err(End::Failed(frames::Error::ArchiveTooLarge { limit: most }.into()));
                }
                upload
                    .write_all(&bytes)
                    .map_err(|error| End::Failed(frames::Error::Write(error).into()))?;
            }
            Said::Word(Word::Confined { lacking }) if confined && !lacking.is_empty() => {
                return Err(failed(
                    FailureCode::InternalError,
                    format!("the cell is not confined: {}", lacking.join("; ")),
                ));
            }
            Said::Word(Word::Confined { .. }) => {}
            Said::Word(Word::Progress(now)) => progress.set(now),
            Said::Word(Word::Failed { code, message }) => {
                // A code that the vocabulary does not know would be a fault of this program, not of
                // the video.
                return Err(failed(code.parse().unwrap_or(FailureCode::InternalError), message));
            }
            Said::Word(Word::Done(report)) if report.zip_bytes == written => {
                let upload = upload
                    .into_upload()
                    .map_err(|error| End::Failed(frames::Error::Write(error).into()))?;
                return Ok((report, upload));
            }
            Said::Word(Word::Done(report)) => {
                let message = format!(
                    "the cell gave {written} bytes and says that they are {}",
                    report.zip_bytes
                );
                return Err(failed(FailureCode::DecoderCrashed, message));
            }
        }
    }
}

/// What ended a cell that said nothing.
fn obituary(status: ExitStatus, errors: PipeReader) -> Failure {
    let mut words = Vec::new();
    let _ = errors.take(LAST_WORDS).read_to_end(&mut words);
    let words = String::from_utf8_lossy(&words);
    let words = words.trim();
    let signal = status.signal().and_then(|number| Signal::try_from(number).ok());
    let code = match signal {
        // What Rust says before it aborts because of an allocation
        // (alloc::alloc::handle_alloc_error).
        Some(Signal::SIGABRT) if words.contains("memory allocation of") => FailureCode::OutOfMemory,
        // The kernel's way out when memory is short; nobody else kills cells.
        Some(Signal::SIGKILL) => FailureCode::OutOfMemory,
        Some(Signal::SIGXCPU) => FailureCode::ProcessingTimeout,
        Some(_) => FailureCode::DecoderCrashed,
        None => FailureCode::InternalError,
    };
    let comma = if words.is_empty() { "" } else { ", saying: " };
    Failure { code, message: format!("the cell ended by {status}{comma}{words}") }
}

fn no_cell(error: &dyn Display) -> Failure {
    Failure {
        code: FailureCode::InternalError,
        message: format!("no cell can be started: {error}"),
    }
}
