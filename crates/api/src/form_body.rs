//! Body of a form, with bounded memory for the headers of its parts.
//!
//! `multer` searches for the end of a part's header in all bytes that have arrived, and does not
//! limit them. It also reads until no more bytes are available.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;

/// Maximum size of a part's header, or of what precedes the first part, in bytes.
pub const MAX_HEADER_BYTES: usize = 64 << 10;

/// Size in bytes after which a reader has to process what it got.
const TURN_BYTES: usize = 256 << 10;

/// Number of bytes that were received since the last piece of the form was recognized.
#[derive(Debug, Clone, Default)]
pub struct Unrecognized(Arc<AtomicUsize>);

impl Unrecognized {
    /// Record that a piece of the form was recognized. Returns the number so far.
    pub fn reset(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// Body that fails if more than [`MAX_HEADER_BYTES`] are read without a recognized piece.
pub struct FormBody<S> {
    body: Pin<Box<S>>,
    unrecognized: Unrecognized,
    /// Bytes that were read in this turn.
    turn: usize,
}

impl<S> FormBody<S> {
    /// Limit a body.
    pub fn new(body: S, unrecognized: Unrecognized) -> Self {
        Self { body: Box::pin(body), unrecognized, turn: 0 }
    }
}

impl<S: Stream<Item = io::Result<Bytes>>> Stream for FormBody<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        if self.turn >= TURN_BYTES {
            self.turn = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.turn == 0 && self.unrecognized.0.load(Ordering::Relaxed) > MAX_HEADER_BYTES {
            let message = format!("the header of a part is larger than {MAX_HEADER_BYTES} bytes");
            return Poll::Ready(Some(Err(io::Error::other(message))));
        }
        let polled = self.body.as_mut().poll_next(context);
        match &polled {
            Poll::Ready(Some(Ok(bytes))) => {
                self.turn += bytes.len();
                self.unrecognized.0.fetch_add(bytes.len(), Ordering::Relaxed);
            }
            Poll::Pending => self.turn = 0,
            Poll::Ready(_) => {}
        }
        polled
    }
}
