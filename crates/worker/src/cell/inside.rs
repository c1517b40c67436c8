//! What happens inside a cell.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frames::{Limits, Options};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::confine::{close_what_was_inherited, confine};
use super::wire::{self, LARGEST, Word};

/// Be a cell: take the task from standard input, give up all rights, and turn the video into an
/// archive. Whoever starts this has to be a worker.
///
/// # Errors
/// The worker has gone, or is none.
pub fn main() -> io::Result<()> {
    // The worker says nothing more until it is asked, so nothing is read too early.
    let task = wire::ordered(&mut io::stdin().lock())?;
    close_what_was_inherited()?;
    // Not the standard library's own handles, which buffer what they read and look for lines in
    // what they write.
    let worker = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let told = Told(Arc::new(Mutex::new(File::from(io::stdout().as_fd().try_clone_to_owned()?))));
    let lacking = confine(&task)?;
    told.say(&Word::Confined { lacking })?;
    std::thread::spawn(end_with_the_worker);

    let options = Options {
        threads: NonZeroUsize::new(task.threads).unwrap_or(NonZeroUsize::MIN),
        limits: Limits { max_archive_bytes: task.archive_bytes, ..Limits::default() },
        ..Options::default()
    };
    let video = Video { worker, size: task.video_bytes, at: 0 };
    let mut archive = Archive { told: told.clone(), gathered: Vec::with_capacity(LARGEST) };
    let report = frames::extract(video, &mut archive, &options, |progress| {
        // A worker that has gone is noticed elsewhere.
        let _ = told.say(&Word::Progress(progress));
    });
    told.say(&match report {
        Ok(report) => Word::Done(report),
        Err(error) => {
            Word::Failed { code: error.code().name().to_owned(), message: error.to_string() }
        }
    })
}

/// End this process as soon as nobody holds the other end of its standard input. A decoder that
/// spins would not notice.
fn end_with_the_worker() {
    let stdin = io::stdin();
    let mut hung_up = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
    while !hung_up[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)) {
        if poll(&mut hung_up, PollTimeout::NONE).is_err_and(|error| error != Errno::EINTR) {
            return;
        }
    }
    std::process::exit(1);
}

/// The channel on which the cell tells.
#[derive(Clone)]
struct Told(Arc<Mutex<File>>);

impl Told {
    fn lock(&self) -> MutexGuard<'_, File> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, word: &Word) -> io::Result<()> {
        wire::say(&mut *self.lock(), word)
    }
}

/// The video, read by asking the worker for ranges.
struct Video {
    worker: File,
    size: u64,
    at: u64,
}

impl Read for Video {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left).min(LARGEST);
        if length > 0 {
            buffer[..length].copy_from_slice(&wire::ask(&mut self.worker, self.at, length)?);
            self.at += length as u64;
        }
        Ok(length)
    }
}

impl Seek for Video {
    /// As that of a file: past the end is allowed, and nothing is read there.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| {
            io::Error::new(ErrorKind::InvalidInput, "the position lies before the start")
        })?;
        Ok(self.at)
    }
}

/// The archive, given piece by piece.
struct Archive {
    told: Told,
    gathered: Vec<u8>,
}

impl Write for Archive {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(LARGEST - self.gathered.len());
        self.gathered.extend_from_slice(&bytes[..length]);
        if self.gathered.len() == LARGEST {
            self.flush()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.gathered.is_empty() {
            wire::give(&mut *self.told.lock(), &self.gathered)?;
            self.gathered.clear();
        }
        Ok(())
    }
}
