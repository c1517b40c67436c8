//! Synchronous access to objects, for threads that may block.
//!
//! [`Reader`] and [`Writer`] wait with [`Handle::block_on`], which panics on a thread that drives
//! async tasks: use them on dedicated threads or in `spawn_blocking`. The runtime must be driven by
//! other threads meanwhile.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::interface::{Object, Storage, Upload};
use crate::key::Key;

/// Bytes of the first request at a position: enough for the header of most containers.
const FIRST_WINDOW: u64 = 256 << 10;

/// Maximum bytes of one request.
const MAX_WINDOW: u64 = 4 << 20;

/// Maximum bytes of cached windows. A reader that alternates between a few positions then requests
/// each of them once.
const CACHE_SIZE: u64 = 8 << 20;

/// Bytes that [`Writer`] buffers before it waits for the upload.
const WRITE_BUFFER: usize = 1 << 20;

/// Bytes that can be read by ranges: an object, or a file elsewhere.
#[async_trait]
pub trait Ranges: Send + Sync + 'static {
    /// Read exactly these bytes, all of them into memory.
    async fn read(&self, range: Range<u64>) -> io::Result<Bytes>;
}

/// Ranges of an object.
struct ObjectRanges {
    storage: Arc<dyn Storage>,
    key: Key,
}

#[async_trait]
impl Ranges for ObjectRanges {
    async fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        Ok(self.storage.read(&self.key, range).await?)
    }
}

/// Reads an object in windows, each with one request.
///
/// The first window after a jump is small, and each consecutive one is twice as large as the one
/// before it, up to 4 MiB. From the second on, the next window is prefetched while the current one
/// is read. A forward jump that is not longer than the last window counts as consecutive.
///
/// Memory use is at most 8 MiB of cached windows and 4 MiB of a prefetched one. A prefetch that a
/// jump made useless may stay until it has finished.
pub struct Reader {
    ranges: Arc<dyn Ranges>,
    size: u64,
    runtime: Handle,
    position: u64,
    /// Cached windows, most recently used first.
    windows: VecDeque<Window>,
    prefetch: Option<Prefetch>,
}

/// Bytes of the object from `start` on.
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

    fn contains(&self, position: u64) -> bool {
        (self.start..self.end()).contains(&position)
    }

    /// Whether reading at `position` after this window counts as consecutive, not as a jump.
    fn is_followed_by(&self, position: u64) -> bool {
        (self.end()..self.end() + self.length()).contains(&position)
    }
}

/// A window that is being requested.
struct Prefetch {
    range: Range<u64>,
    task: JoinHandle<io::Result<Bytes>>,
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reader {
    /// Read `object` from its start. `runtime` executes the calls of the storage.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, object: &Object, runtime: Handle) -> Self {
        let ranges = Arc::new(ObjectRanges { storage, key: object.key.clone() });
        Self::of_ranges(ranges, object.size, runtime)
    }

    /// Read a file of this size in bytes by its ranges. `runtime` executes their calls.
    #[must_use]
    pub fn of_ranges(ranges: Arc<dyn Ranges>, size: u64, runtime: Handle) -> Self {
        Self { ranges, size, runtime, position: 0, windows: VecDeque::new(), prefetch: None }
    }

    /// Return some bytes from the current position on, which is before the end.
    fn bytes(&mut self) -> io::Result<Bytes> {
        let position = self.position;
        let cached = self
            .windows
            .iter()
            .position(|window| window.contains(position))
            .and_then(|index| self.windows.remove(index));
        let window = match cached {
            Some(window) => window,
            None => self.load_window()?,
        };
        let bytes = window.bytes.slice((position - window.start) as usize..);
        self.windows.push_front(window);
        Ok(bytes)
    }

    /// Load a window with the current position, which is in no cached window, and prefetch the
    /// next one if the reader is likely to need it.
    fn load_window(&mut self) -> io::Result<Window> {
        let position = self.position;
        let preceding =
            self.windows.iter().find(|window| window.is_followed_by(position)).map(Window::length);
        let prefetched = self.prefetch.take_if(|prefetch| prefetch.range.contains(&position));
        let window = if let Some(mut prefetch) = prefetched {
            let bytes = self.runtime.block_on(&mut prefetch.task)??;
            self.evict(bytes.len() as u64);
            Window { start: prefetch.range.start, bytes }
        } else {
            let range = self.uncached_range(position, preceding.map_or(FIRST_WINDOW, next_length));
            self.evict(range.end - range.start);
            let bytes = self.runtime.block_on(self.ranges.read(range))?;
            Window { start: position, bytes }
        };
        if preceding.is_some() {
            self.start_prefetch(self.uncached_range(window.end(), next_length(window.length())));
        }
        Ok(window)
    }

    /// Range to request from `start` on: within the object and without cached bytes.
    fn uncached_range(&self, start: u64, length: u64) -> Range<u64> {
        let mut end = self.size.min(start + length);
        for window in &self.windows {
            if window.contains(start) {
                end = start;
            } else if window.start > start {
                end = end.min(window.start);
            }
        }
        start..end
    }

    fn start_prefetch(&mut self, range: Range<u64>) {
        let is_running = |prefetch: &Prefetch| prefetch.range.contains(&range.start);
        if range.is_empty() || self.prefetch.as_ref().is_some_and(is_running) {
            return;
        }
        let (ranges, requested) = (Arc::clone(&self.ranges), range.clone());
        let task = self.runtime.spawn(async move { ranges.read(requested).await });
        self.prefetch = Some(Prefetch { range, task });
    }

    /// Drop the least recently used windows until another of this length fits.
    fn evict(&mut self, length: u64) {
        let mut total = length;
        self.windows.retain(|window| {
            total += window.length();
            total <= CACHE_SIZE
        });
    }
}

/// Length of the window that follows one of this length.
fn next_length(length: u64) -> u64 {
    (2 * length).clamp(FIRST_WINDOW, MAX_WINDOW)
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.position >= self.size {
            return Ok(0);
        }
        let bytes = self.bytes()?;
        let length = buffer.len().min(bytes.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek_position(to, self.position, self.size)?;
        Ok(self.position)
    }
}

/// Position that a seek leads to, from the position `current` of a file of `size` bytes. A position
/// past the end is valid, and nothing can be read there.
///
/// # Errors
/// `InvalidInput` if the position is before the start or not representable.
pub fn seek_position(to: SeekFrom, current: u64, size: u64) -> io::Result<u64> {
    let position = match to {
        SeekFrom::Start(position) => Some(position),
        SeekFrom::End(offset) => size.checked_add_signed(offset),
        SeekFrom::Current(offset) => current.checked_add_signed(offset),
    };
    position.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the position is before the start")
    })
}

/// Writes an upload. Memory use is a buffer of 1 MiB and as much again in transit, in addition to
/// that of the upload.
///
/// Dropping it drops the upload, which aborts it.
pub struct Writer {
    /// `None` once it has been returned.
    upload: Option<Box<dyn Upload>>,
    runtime: Handle,
    buffer: BytesMut,
}

impl Writer {
    /// Write to `upload`. `runtime` executes its calls.
    #[must_use]
    pub fn new(upload: Box<dyn Upload>, runtime: Handle) -> Self {
        Self { upload: Some(upload), runtime, buffer: BytesMut::new() }
    }

    /// Write the buffered bytes and return the upload, for its completion.
    pub fn into_upload(mut self) -> io::Result<Box<dyn Upload>> {
        self.flush()?;
        self.upload.take().ok_or_else(no_upload)
    }
}

/// Error that cannot occur: only dropping or consuming the writer removes its upload.
fn no_upload() -> io::Error {
    io::Error::other("the upload has been returned")
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(WRITE_BUFFER);
        }
        let length = bytes.len().min(WRITE_BUFFER - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..length]);
        if self.buffer.len() == WRITE_BUFFER {
            self.flush()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.buffer).freeze();
        let upload = self.upload.as_mut().ok_or_else(no_upload)?;
        Ok(self.runtime.block_on(upload.write(bytes))?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Dropping an upload may spawn its cleanup on the runtime.
        let _entered = self.runtime.enter();
        drop(self.upload.take());
    }
}

#[cfg(test)]
mod tests;
