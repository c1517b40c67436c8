//! The cell process: drops its privileges and extracts the frames.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;

use frames::{PreviewSink, Stop};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use storage::blocking::seek_position;

use super::confine::{close_inherited_descriptors, confine, separate_from_worker};
#[cfg(feature = "failpoints")]
use super::hostile;
use super::output::Output;
use super::protocol::{self, CellMessage, MAX_CHUNK, RangeRequest};
use crate::engine;

/// Run a cell: receive the task on standard input, drop all privileges and turn the video into an
/// archive. Only a worker can start a cell.
///
/// # Errors
/// The worker closed a channel, or standard input is not a worker's socket.
pub fn main() -> io::Result<()> {
    // The allocator has read its settings, and decoders must find no variables.
    frames::clear_environment()?;
    separate_from_worker()?;
    // The worker sends nothing more until it receives a range request, so the buffer of the locked
    // standard input holds no later bytes.
    let task = protocol::receive_task(&mut io::stdin().lock())?;
    close_inherited_descriptors()?;
    // Not the standard library's handles: they buffer what they read and search what they write for
    // line breaks.
    let worker = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output = Output::new(File::from(io::stdout().as_fd().try_clone_to_owned()?));
    let missing = confine(&task.limits)?;
    output.send(&CellMessage::Confined { missing })?;
    std::thread::spawn(exit_when_the_worker_exits);

    let (stop, previews) = (Stop::default(), output.clone());
    let previews = PreviewSink::new(move |preview| {
        // `exit_when_the_worker_exits` handles a closed channel, here and below.
        let _ = previews.send_preview(&preview);
    });
    let limits = task.limits.engine;
    let options = engine::options(task.recipe, task.threads, limits, stop, previews);
    let video = Video { worker, size: task.video_bytes, position: 0 };
    let mut archive = Archive { output: output.clone(), buffer: Vec::with_capacity(MAX_CHUNK) };
    let report = frames::extract(video, &mut archive, &options, |progress| {
        let _ = output.send(&CellMessage::Progress(progress));
    });
    #[cfg(feature = "failpoints")]
    if let Some(behavior) = hostile::requested(&report) {
        return hostile::run(&behavior, &output);
    }
    output.send(&match report {
        Ok(report) => CellMessage::Done(report),
        Err(error) => CellMessage::Failed { code: error.code(), message: error.to_string() },
    })
}

/// Exit as soon as the worker's end of standard input is closed. A decoder in an endless loop would
/// not notice.
fn exit_when_the_worker_exits() {
    let stdin = io::stdin();
    let mut events = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
    while !events[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)) {
        if poll(&mut events, PollTimeout::NONE).is_err_and(|error| error != Errno::EINTR) {
            return;
        }
    }
    std::process::exit(1);
}

/// The video, read by requesting ranges from the worker.
struct Video {
    worker: File,
    size: u64,
    position: u64,
}

impl Read for Video {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left).min(MAX_CHUNK);
        if length > 0 {
            let request = RangeRequest { offset: self.position, length };
            let bytes = protocol::request_range(&mut self.worker, request)?;
            buffer[..length].copy_from_slice(&bytes);
            self.position += length as u64;
        }
        Ok(length)
    }
}

impl Seek for Video {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek_position(to, self.position, self.size)?;
        Ok(self.position)
    }
}

/// The archive, sent to the worker in pieces of [`MAX_CHUNK`] bytes.
struct Archive {
    output: Output,
    buffer: Vec<u8>,
}

impl Write for Archive {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(MAX_CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..length]);
        if self.buffer.len() == MAX_CHUNK {
            self.flush()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.output.send_archive(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}
