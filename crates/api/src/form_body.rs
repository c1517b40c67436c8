//! Body of a form, with bounded memory for what precedes its parts.
//!
//! `multer` searches for the first boundary, and for the end of a part's header, in all bytes that
//! have arrived, again whenever more arrive, and does not limit them. It also reads until no more
//! bytes are available.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;

/// Maximum bytes that are read for a part's header, or for what precedes the first part. Those that
/// were read with the end of the part before, at most [`TURN_BYTES`], come on top.
pub const MAX_HEADER_BYTES: usize = 16 << 10;

/// Size in bytes after which a reader has to process what it got.
const TURN_BYTES: usize = 64 << 10;

/// What a body has read since the last piece of the form was recognized.
#[derive(Debug, Clone, Default)]
pub struct Unrecognized(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicUsize,
    /// Maximum of `bytes`; 0 is none.
    limit: AtomicUsize,
}

impl Unrecognized {
    /// A part's header is expected next, or the end of the form.
    pub fn expect_header(&self) {
        self.0.limit.store(MAX_HEADER_BYTES, Ordering::Relaxed);
    }

    /// Content of a part is expected next. It is recognized at once.
    pub fn expect_content(&self) {
        self.0.limit.store(0, Ordering::Relaxed);
    }

    /// Record that a piece of the form was recognized. Returns the number of bytes so far.
    pub fn reset(&self) -> usize {
        self.0.bytes.swap(0, Ordering::Relaxed)
    }

    /// Number of bytes that may be read before more of the form is recognized.
    fn allowance(&self) -> usize {
        match self.0.limit.load(Ordering::Relaxed) {
            0 => TURN_BYTES,
            limit => limit.saturating_sub(self.0.bytes.load(Ordering::Relaxed)),
        }
    }
}

/// Body that fails if more than [`MAX_HEADER_BYTES`] are read for a header.
pub struct FormBody<S> {
    body: Pin<Box<S>>,
    unrecognized: Unrecognized,
    /// Bytes that have arrived and were not read.
    rest: Bytes,
    /// Bytes that were read in this turn.
    turn: usize,
}

impl<S> FormBody<S> {
    /// Limit a body.
    pub fn new(body: S, unrecognized: Unrecognized) -> Self {
        Self { body: Box::pin(body), unrecognized, rest: Bytes::new(), turn: 0 }
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
        if self.rest.is_empty() {
            match self.body.as_mut().poll_next(context) {
                Poll::Ready(Some(Ok(bytes))) => self.rest = bytes,
                Poll::Pending => {
                    self.turn = 0;
                    return Poll::Pending;
                }
                end @ Poll::Ready(_) => return end,
            }
        }
        let allowance = self.unrecognized.allowance();
        if allowance == 0 {
            if self.turn > 0 {
                // What was read in this turn may hold the end of the header.
                self.turn = TURN_BYTES;
                return self.poll_next(context);
            }
            let message = format!("the header of a part is larger than {MAX_HEADER_BYTES} bytes");
            return Poll::Ready(Some(Err(io::Error::other(message))));
        }
        let length = self.rest.len().min(allowance);
        let bytes = self.rest.split_to(length);
        self.turn += length;
        self.unrecognized.0.bytes.fetch_add(length, Ordering::Relaxed);
        Poll::Ready(Some(Ok(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use multer::Multipart;

    use super::*;

    /// Body of these pieces, and a counter of the pieces that were read.
    fn form(
        pieces: impl IntoIterator<Item = Vec<u8>, IntoIter: Send + 'static>,
    ) -> (Multipart<'static>, Unrecognized, Arc<AtomicUsize>) {
        let (unrecognized, read) = (Unrecognized::default(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&read);
        let body = stream::iter(pieces.into_iter().map(move |piece| {
            counter.fetch_add(piece.len(), Ordering::Relaxed);
            Ok::<_, io::Error>(Bytes::from(piece))
        }));
        let form = Multipart::new(FormBody::new(body, unrecognized.clone()), "line");
        (form, unrecognized, read)
    }

    #[tokio::test]
    async fn a_preamble_and_a_header_without_end_are_cut_off() {
        let beginnings = [
            &b""[..],
            b"--line",
            b"--line\r\nContent-Disposition: form-data; name=\"",
            b"--line\r\nContent-Disposition: form-data; name=\"a\"\r\nX-Other: ",
        ];
        for beginning in beginnings {
            for size in [1, 1000, 1 << 20] {
                let endless = std::iter::repeat_with(move || vec![b' '; size]);
                let pieces = std::iter::once(beginning.to_vec()).chain(endless);
                let (mut form, unrecognized, read) = form(pieces);
                unrecognized.expect_header();
                assert!(form.next_field().await.is_err());
                let read = read.load(Ordering::Relaxed);
                assert!(read <= MAX_HEADER_BYTES + size + beginning.len(), "{read} of {size}");
            }
        }
    }

    #[tokio::test]
    async fn the_header_of_a_later_part_is_limited_too() {
        let first =
            b"--line\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--line\r\nX: ";
        let endless = std::iter::repeat_with(|| vec![b'a'; 100]);
        let (mut form, unrecognized, read) = form(std::iter::once(first.to_vec()).chain(endless));
        unrecognized.expect_header();
        let mut field = form.next_field().await.expect("a part").expect("a part");
        unrecognized.reset();
        unrecognized.expect_content();
        assert_eq!(field.chunk().await.expect("its content").as_deref(), Some(&b"b"[..]));
        unrecognized.reset();
        assert_eq!(field.chunk().await.expect("its end"), None);
        drop(field);
        unrecognized.expect_header();
        assert!(form.next_field().await.is_err());
        let read = read.load(Ordering::Relaxed);
        // The first and the last piece exceed the limits.
        assert!(read <= MAX_HEADER_BYTES * 2 + TURN_BYTES + first.len() + 100, "{read}");
    }

    #[tokio::test]
    async fn a_large_part_is_read_in_turns() {
        let head = b"--line\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n".to_vec();
        let content = vec![vec![7; 300 << 10]; 3];
        let pieces = [head].into_iter().chain(content).chain([b"\r\n--line--\r\n".to_vec()]);
        let (mut form, unrecognized, _) = form(pieces.collect::<Vec<_>>());
        unrecognized.expect_header();
        let mut field = form.next_field().await.expect("a part").expect("a part");
        let mut size = 0;
        unrecognized.reset();
        unrecognized.expect_content();
        while let Some(chunk) = field.chunk().await.expect("its content") {
            unrecognized.reset();
            assert!(chunk.len() <= 2 * TURN_BYTES, "{}", chunk.len());
            size += chunk.len();
        }
        assert_eq!(size, 900 << 10);
        drop(field);
        unrecognized.expect_header();
        assert!(form.next_field().await.expect("the end").is_none());
    }
}
