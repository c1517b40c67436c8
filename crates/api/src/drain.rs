//! Reading the rest of a request body after the response is complete. If it were not read, the
//! connection would be reset, and a client that sends the whole body before it reads would never
//! see the response (RFC 9112, 9.6).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream, StreamExt};
use poem::http::header;
use poem::{Body, Request};
use tokio::runtime::Handle;

/// Maximum time for which the rest of a body is read and discarded.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Replace the body of a request by one that is read to its end when it is dropped.
pub fn drain_on_drop(request: &mut Request) {
    let headers = request.headers();
    if headers.contains_key(header::CONTENT_LENGTH)
        || headers.contains_key(header::TRANSFER_ENCODING)
    {
        // A client that waits for `100 Continue` (RFC 9110, 10.1.1) sends nothing before the first
        // read.
        let sending = !headers.contains_key(header::EXPECT);
        let bytes = request.take_body().into_bytes_stream().boxed();
        request.set_body(Body::from_bytes_stream(DrainedBody { bytes: Some(bytes), sending }));
    }
}

/// Body whose rest is read by a background task when it is dropped.
struct DrainedBody {
    /// `None` after the end.
    bytes: Option<BoxStream<'static, std::io::Result<Bytes>>>,
    /// Whether the client is sending, or was asked to.
    sending: bool,
}

impl Stream for DrainedBody {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.sending = true;
        let Some(bytes) = &mut self.bytes else { return Poll::Ready(None) };
        let next = bytes.poll_next_unpin(context);
        if let Poll::Ready(None | Some(Err(_))) = next {
            self.bytes = None;
        }
        next
    }
}

impl Drop for DrainedBody {
    fn drop(&mut self) {
        let Some(mut bytes) = self.bytes.take().filter(|_| self.sending) else { return };
        // The runtime is gone while the process ends.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(tokio::time::timeout(TIMEOUT, async move {
                while let Some(Ok(_)) = bytes.next().await {}
            }));
        }
    }
}
