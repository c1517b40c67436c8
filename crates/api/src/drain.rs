//! What a client still sends when it has its answer. Were it not read, the connection would be
//! reset, and a client that reads only after it has sent everything would never see the answer (RFC
//! 9112, 9.6).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream, StreamExt};
use poem::http::header;
use poem::{Body, Request};
use tokio::runtime::Handle;

/// How long the rest of a body is read and thrown away.
const PATIENCE: Duration = Duration::from_secs(10);

/// Read the request's body to its end whatever becomes of the request, which is answered meanwhile.
pub fn drained(request: &mut Request) {
    let headers = request.headers();
    if headers.contains_key(header::CONTENT_LENGTH)
        || headers.contains_key(header::TRANSFER_ENCODING)
    {
        // Who waits to be told to go on (RFC 9110, 10.1.1) has sent nothing if nobody has read.
        let sent = !headers.contains_key(header::EXPECT);
        let bytes = request.take_body().into_bytes_stream().boxed();
        request.set_body(Body::from_bytes_stream(Drained { bytes: Some(bytes), sent }));
    }
}

/// A body; what is left of it when it is dropped is read by a task of its own.
struct Drained {
    /// None at the end.
    bytes: Option<BoxStream<'static, std::io::Result<Bytes>>>,
    /// The client sends, or has been told to.
    sent: bool,
}

impl Stream for Drained {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.sent = true;
        let Some(bytes) = &mut self.bytes else { return Poll::Ready(None) };
        let next = bytes.poll_next_unpin(context);
        if let Poll::Ready(None | Some(Err(_))) = next {
            self.bytes = None;
        }
        next
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        let Some(mut bytes) = self.bytes.take().filter(|_| self.sent) else { return };
        // There is no runtime any more when the process ends.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(tokio::time::timeout(PATIENCE, async move {
                while let Some(Ok(_)) = bytes.next().await {}
            }));
        }
    }
}
