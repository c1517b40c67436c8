//! Objects for code that reads and writes synchronously, on threads of its own.
//!
//! Both bridges wait with [`Handle::block_on`], which panics on a thread that drives async tasks:
//! use them on threads started for the purpose, or by `spawn_blocking`. The runtime has to be
//! running on other threads meanwhile.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::{Error, Key, Object, Storage, Upload};

/// Bytes of the first request at a place. Enough for the header of most containers.
const FIRST_WINDOW: u64 = 256 << 10;

/// Most bytes of one request.
const LARGEST_WINDOW: u64 = 4 << 20;

/// Most bytes that are kept after they were read, so that a reader who jumps between a few places
/// asks for each once.
const KEPT: u64 = 8 << 20;

/// How many bytes [`Writer`] gathers before it waits for the upload.
const GATHERED: usize = 1 << 20;

/// Reads an object by windows, each asked for with one request.
///
/// A window is small after a jump and each that follows without one is twice as long as the last,
/// up to 4 MiB; from the second on, the next one is on its way while one is read. A jump ahead that
/// is no longer than the last window counts as none.
///
/// At most 8 MiB of windows that were read and 4 MiB of one that is on its way are in memory. One
/// on its way that a jump made useless may stay until it arrives.
pub struct Reader {
    storage: Arc<dyn Storage>,
    key: Key,
    size: u64,
    runtime: Handle,
    at: u64,
    /// The one used last is first.
    windows: VecDeque<Window>,
    ahead: Option<Ahead>,
}

/// Bytes of the object from `start`.
struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn end(&self) -> u64 {
        self.start + self.length()
    }

    fn holds(&self, at: u64) -> bool {
        (self.start..self.end()).contains(&at)
    }

    /// Whether who has read this window and now reads at `at` is going on, as opposed to looking
    /// elsewhere.
    fn leads_to(&self, at: u64) -> bool {
        (self.end()..self.end() + self.length()).contains(&at)
    }
}

/// A window that is on its way.
struct Ahead {
    range: Range<u64>,
    task: JoinHandle<Result<Bytes, Error>>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reader {
    /// Read `object` from its start. `runtime` is where the storage's calls run.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, object: &Object, runtime: Handle) -> Self {
        let Object { key, size, .. } = object.clone();
        Self { storage, key, size, runtime, at: 0, windows: VecDeque::new(), ahead: None }
    }

    /// Some bytes from the current position on, which is before the end.
    fn bytes(&mut self) -> Result<Bytes, Error> {
        let at = self.at;
        let kept = self
            .windows
            .iter()
            .position(|window| window.holds(at))
            .and_then(|index| self.windows.remove(index));
        let window = match kept {
            Some(window) => window,
            None => self.next_window()?,
        };
        let bytes = window.bytes.slice((at - window.start) as usize..);
        self.windows.push_front(window);
        Ok(bytes)
    }

    /// Get a window that holds the current position, which none that is kept does, and ask for the
    /// one after it if that is likely to be read.
    fn next_window(&mut self) -> Result<Window, Error> {
        let at = self.at;
        let before = self.windows.iter().find(|window| window.leads_to(at)).map(Window::length);
        let (start, bytes) = if let Some(mut ahead) =
            self.ahead.take_if(|ahead| ahead.range.contains(&at))
        {
            let bytes = self.runtime.block_on(&mut ahead.task).map_err(|stopped| {
                Error::Unavailable { action: format!("read {}", self.key), cause: stopped.into() }
            })??;
            self.make_room(bytes.len() as u64);
            (ahead.range.start, bytes)
        } else {
            let range = self.range(at, before.map_or(FIRST_WINDOW, longer));
            self.make_room(range.end - range.start);
            (at, self.runtime.block_on(self.storage.read(&self.key, range))?)
        };
        let window = Window { start, bytes };
        if before.is_some() {
            self.read_ahead(self.range(window.end(), longer(window.length())));
        }
        Ok(window)
    }

    /// Bytes to ask for from `start` on: not past the end, and none that are here.
    fn range(&self, start: u64, length: u64) -> Range<u64> {
        let mut end = self.size.min(start + length);
        for window in &self.windows {
            if window.holds(start) {
                end = start;
            } else if window.start > start {
                end = end.min(window.start);
            }
        }
        start..end
    }

    fn read_ahead(&mut self, range: Range<u64>) {
        if range.is_empty()
            || self.ahead.as_ref().is_some_and(|ahead| ahead.range.contains(&range.start))
        {
            return;
        }
        let (storage, key, wanted) = (Arc::clone(&self.storage), self.key.clone(), range.clone());
        let task = self.runtime.spawn(async move { storage.read(&key, wanted).await });
        self.ahead = Some(Ahead { range, task });
    }

    /// Forget the windows that were not used for longest, so that another of this length fits.
    fn make_room(&mut self, length: u64) {
        let mut kept = length;
        self.windows.retain(|window| {
            kept += window.length();
            kept <= KEPT
        });
    }
}

/// How long a window is that follows one of this length.
fn longer(length: u64) -> u64 {
    (2 * length).clamp(FIRST_WINDOW, LARGEST_WINDOW)
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.at >= self.size {
            return Ok(0);
        }
        let bytes = self.bytes()?;
        let length = buffer.len().min(bytes.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        self.at += length as u64;
        Ok(length)
    }
}

impl Seek for Reader {
    /// As that of a file: past the end is allowed, and nothing is read there.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the position lies before the start")
        })?;
        Ok(self.at)
    }
}

/// Writes an upload. It gathers 1 MiB, and as much again may be on its way to the upload, besides
/// what that holds itself.
///
/// Dropping it drops the upload, which aborts it.
pub struct Writer {
    /// Always there until the end.
    upload: Option<Box<dyn Upload>>,
    runtime: Handle,
    gathered: BytesMut,
}

impl Writer {
    /// Write to `upload`. `runtime` is where its calls run.
    #[must_use]
    pub fn new(upload: Box<dyn Upload>, runtime: Handle) -> Self {
        Self { upload: Some(upload), runtime, gathered: BytesMut::new() }
    }

    /// Hand in what is left, and give the upload back to be completed.
    pub fn into_upload(mut self) -> io::Result<Box<dyn Upload>> {
        self.flush()?;
        self.upload.take().ok_or_else(gone)
    }
}

/// What an error says that cannot happen: only dropping or using up the writer takes its upload.
fn gone() -> io::Error {
    io::Error::other("the upload was handed back")
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gathered.capacity() == 0 {
            self.gathered.reserve(GATHERED);
        }
        let length = bytes.len().min(GATHERED - self.gathered.len());
        self.gathered.extend_from_slice(&bytes[..length]);
        if self.gathered.len() == GATHERED {
            self.flush()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.gathered).freeze();
        let upload = self.upload.as_mut().ok_or_else(gone)?;
        Ok(self.runtime.block_on(upload.write(bytes))?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // An upload that is dropped may need the runtime to clean up.
        let _entered = self.runtime.enter();
        drop(self.upload.take());
    }
}

#[cfg(test)]
mod tests;
