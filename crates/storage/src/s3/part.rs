//! Parts of an upload.

use bytes::{Bytes, BytesMut};

use super::budget::{Allowance, Displaced, Reservation, STEP};

/// The part of an upload that is being filled.
pub(super) struct Filling {
    allowance: Allowance,
    size: usize,
    /// Bytes that it may have so far.
    capacity: usize,
    length: usize,
}

impl Filling {
    /// Begin the first part, of `size` bytes.
    pub(super) fn new(allowance: Allowance, size: usize) -> Self {
        Self { allowance, size, capacity: 0, length: 0 }
    }

    /// Record that the producer has delivered bytes.
    pub(super) fn stop_waiting(&self) {
        self.allowance.stop_waiting();
    }

    /// Record that the producer is awaited.
    pub(super) fn start_waiting(&self) {
        self.allowance.start_waiting(self.length);
    }

    /// Whether no more bytes fit.
    pub(super) fn is_full(&self) -> bool {
        self.length == self.size
    }

    /// Move as many bytes into the part as there is memory for, at least one. Waits for memory.
    /// They are copied, because they may be a small slice that keeps a large buffer in memory.
    pub(super) async fn fill(&mut self, bytes: &mut Bytes) -> Result<(), Displaced> {
        if self.length == self.capacity {
            self.capacity += self.allowance.reserve(self.length, self.size - self.length).await?;
        }
        let length = bytes.len().min(self.capacity - self.length);
        let mut buffer = self.allowance.buffer().lock();
        append(buffer.as_mut().ok_or(Displaced)?, &bytes.split_to(length));
        self.length += length;
        Ok(())
    }

    /// Take the bytes out, and begin the next part.
    pub(super) fn take(&mut self) -> Result<Part, Displaced> {
        let segments = self.allowance.buffer().lock().as_mut().map(std::mem::take);
        let segments = segments.ok_or(Displaced)?;
        let mut bytes = BytesMut::with_capacity(self.length);
        // Each segment is freed after it is copied, so that the memory is not needed twice.
        for segment in segments {
            bytes.extend_from_slice(&segment);
        }
        let reserved = self.allowance.finish_part(self.length);
        (self.capacity, self.length) = (0, 0);
        Ok(Part { bytes: bytes.freeze(), reserved })
    }

    /// Set the size of the part that was begun.
    pub(super) fn set_size(&mut self, size: usize) {
        self.size = size;
    }
}

/// Append bytes to segments of [`STEP`] bytes, which need no more memory than is reserved.
fn append(segments: &mut Vec<Vec<u8>>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let room = segments.last().map_or(0, |segment| STEP - segment.len());
        if room == 0 {
            segments.push(Vec::with_capacity(STEP));
            continue;
        }
        let (fitting, rest) = bytes.split_at(room.min(bytes.len()));
        if let Some(segment) = segments.last_mut() {
            segment.extend_from_slice(fitting);
        }
        bytes = rest;
    }
}

/// Bytes that are sent in one request.
pub(super) struct Part {
    bytes: Bytes,
    reserved: Reservation,
}

impl Part {
    /// Whether it has no bytes.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes, and the reservation of their memory, to be dropped after them.
    pub(super) fn into_bytes(self) -> (Bytes, Reservation) {
        (self.bytes, self.reserved)
    }
}
