//! Start of cells.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, PipeReader};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use jobs::{FailureCode, Recipe};
use nix::fcntl::{FcntlArg, fcntl};
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;

use super::protocol::{self, CellLimits, CellMessage, CellOutput, CellTask, MAX_CHUNK};
use super::text::printable_list;
use crate::attempt_error::AttemptError;
use crate::engine::EngineLimits;

/// Settings of the C library's allocator in a cell (glibc manual, "Memory Allocation Tunables"),
/// which it reads when a process starts: one heap of huge pages, to which the memory of frames
/// returns as well. With the defaults, which give large blocks back to the kernel and have a heap
/// for each thread, a short clip faults in four times as many pages.
const ALLOCATOR: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1:\
     glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=67108864",
);

/// The command that runs a cell.
#[derive(Debug, Clone)]
pub struct Program {
    /// Path of the program, which calls [`main`](super::main).
    pub path: PathBuf,
    /// Arguments that make it do so.
    pub arguments: Vec<OsString>,
    /// Whether to refuse cells that the kernel cannot confine completely.
    pub require_confinement: bool,
}

/// A running cell. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct RunningCell {
    pub process: Child,
    /// Channel of the task and the video.
    pub video: UnixStream,
    /// Channel of the archive and the messages.
    pub output: PipeReader,
    pub stderr: PipeReader,
}

impl Program {
    pub(super) fn start(&self) -> io::Result<RunningCell> {
        let (video, stdin) = UnixStream::pair()?;
        let (output, stdout) = io::pipe()?;
        let (stderr, stderr_end) = io::pipe()?;
        // Fewer switches between the two processes. The default size works as well.
        let _ = fcntl(&output, FcntlArg::F_SETPIPE_SZ(MAX_CHUNK as i32));
        let process = Command::new(&self.path)
            .args(&self.arguments)
            .env_clear()
            .envs([ALLOCATOR])
            .current_dir("/")
            // Only the worker receives a terminal's interrupt, so that running jobs can finish.
            .process_group(0)
            .stdin(OwnedFd::from(stdin))
            .stdout(stdout)
            .stderr(stderr_end)
            .kill_on_drop(true)
            .spawn()?;
        Ok(RunningCell { process, video, output, stderr })
    }

    /// Start a cell to check whether the kernel can confine it. Return the restrictions that the
    /// kernel does not support, in plain text; empty if the confinement is complete.
    ///
    /// # Errors
    /// A cell cannot be started; the message contains the cause.
    pub async fn check(&self) -> Result<Vec<String>, AttemptError> {
        let mut cell = self.start().map_err(|error| start_error(&error))?;
        let limits = CellLimits {
            engine: EngineLimits { archive_bytes: 0, frame_pixels: 0, frames: 0 },
            memory_bytes: 1 << 30,
            cpu_seconds: 60,
        };
        let (recipe, threads) = (Recipe::default(), NonZeroUsize::MIN);
        let task = CellTask { video_bytes: 0, recipe, threads, limits };
        let first_output = spawn_blocking(move || {
            protocol::send_task(&mut cell.video, &task)?;
            protocol::receive_output(&mut cell.output)
        });
        match first_output.await.map_err(|panic| start_error(&panic))? {
            Ok(CellOutput::Message(CellMessage::Confined { missing })) => {
                Ok(printable_list(&missing))
            }
            Ok(_) => Err(start_error(&"its first message is not the one about its confinement")),
            Err(error) => Err(start_error(&error)),
        }
    }
}

/// The error of a cell that could not be started or supervised.
pub(super) fn start_error(cause: &dyn Display) -> AttemptError {
    AttemptError::new(FailureCode::InternalError, format!("cannot start a cell: {cause}"))
}
