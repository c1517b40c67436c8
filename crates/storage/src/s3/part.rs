//! A part of an upload.

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use super::part_size;
use super::store::Store;

/// Bytes that are sent in one request.
pub(super) struct Part {
    bytes: BytesMut,
    size: usize,
    reserved: OwnedSemaphorePermit,
}

impl Part {
    /// Create an empty part with this number as soon as there is memory for a full one.
    pub(super) async fn reserve(store: &Store, number: u32) -> Self {
        let size = part_size::of(number);
        let reserved = store.reserve(size).await;
        Self { bytes: BytesMut::with_capacity(size), size, reserved }
    }

    /// Whether no more bytes fit.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() == self.size
    }

    /// Move as many bytes as fit into the part. They are copied, because they may be a small slice
    /// that keeps a large buffer in memory.
    pub(super) fn fill(&mut self, bytes: &mut Bytes) {
        let length = (self.size - self.bytes.len()).min(bytes.len());
        self.bytes.extend_from_slice(&bytes.split_to(length));
    }

    /// The bytes, and the reservation of their memory, to be dropped after them.
    pub(super) fn into_bytes(self) -> (Bytes, OwnedSemaphorePermit) {
        (self.bytes.freeze(), self.reserved)
    }
}
