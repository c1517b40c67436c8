//! A proxy in front of the store that delays, answers or cuts connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};

/// Forwards connections to a store, except for requests that match by their heads: they are held
/// until their release, or answered by the proxy, or their responses are lost.
pub(super) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// Treatment of the requests that match.
enum Interception {
    /// They are held until their release.
    Hold,
    /// They are answered by the proxy.
    Answer(String),
    /// The store processes them, and the connection is closed instead of the response.
    CloseForResponse,
    /// The store processes them, and the response never arrives.
    SwallowResponse,
}

struct Shared {
    store: String,
    /// Texts that the head of an intercepted request contains, all of them.
    texts: Vec<&'static str>,
    interception: Interception,
    /// Number of intercepted requests.
    intercepted: AtomicUsize,
    released: watch::Sender<bool>,
    /// Whether the next long response is cut.
    cut: AtomicBool,
}

impl Proxy {
    /// Hold requests with this text in their heads.
    pub(super) async fn holding(store: &str, text: &'static str) -> Self {
        Self::new(store, vec![text], Interception::Hold).await
    }

    /// Answer requests with both texts in their heads, which never reach the store.
    pub(super) async fn answering(store: &str, texts: [&'static str; 2], response: String) -> Self {
        Self::new(store, texts.into(), Interception::Answer(response)).await
    }

    /// Lose the responses to requests with both texts in their heads: close the connection instead
    /// of a response, or let the client wait for it.
    pub(super) async fn losing_responses(
        store: &str,
        texts: [&'static str; 2],
        close: bool,
    ) -> Self {
        let interception =
            if close { Interception::CloseForResponse } else { Interception::SwallowResponse };
        Self::new(store, texts.into(), interception).await
    }

    async fn new(store: &str, texts: Vec<&'static str>, interception: Interception) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared {
            store: store.trim_start_matches("http://").to_owned(),
            texts,
            interception,
            intercepted: AtomicUsize::new(0),
            released: watch::Sender::new(false),
            cut: AtomicBool::new(false),
        });
        let proxy = Self { address, shared: Arc::clone(&shared) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&shared).serve(client));
            }
        });
        proxy
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Number of requests held or answered.
    pub(super) fn intercepted(&self) -> usize {
        self.shared.intercepted.load(Ordering::SeqCst)
    }

    /// Forward all held requests.
    pub(super) fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// Cut the next long response in the middle.
    pub(super) fn cut_next_response(&self) {
        self.shared.cut.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, client: TcpStream) {
        let Ok(store) = TcpStream::connect(&self.store).await else { return };
        let (from_client, to_client) = client.into_split();
        let (from_store, to_store) = store.into_split();
        let (to_client, lost) = (Mutex::new(to_client), AtomicBool::new(false));
        tokio::join!(
            self.forward_requests(from_client, to_store, &to_client, &lost),
            self.forward_responses(from_store, &to_client, &lost)
        );
    }

    async fn forward_requests(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        back: &Mutex<OwnedWriteHalf>,
        lost: &AtomicBool,
    ) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length) = from.read(&mut buffer).await
            && length > 0
        {
            // The client writes the head of a request at once, and starts no request before the
            // previous one is answered.
            let bytes = &buffer[..length];
            let contains =
                |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            if !*self.released.borrow() && self.texts.iter().all(|text| contains(text)) {
                self.intercepted.fetch_add(1, Ordering::SeqCst);
                match &self.interception {
                    Interception::Hold => {
                        let _ = self.released.subscribe().wait_for(|released| *released).await;
                    }
                    Interception::Answer(response) => {
                        let _ = back.lock().await.write_all(response.as_bytes()).await;
                        // Closing the connection before the rest of the request is read could
                        // destroy the response.
                        while from.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
                        break;
                    }
                    Interception::CloseForResponse | Interception::SwallowResponse => {
                        lost.store(true, Ordering::SeqCst);
                    }
                }
            }
            if to.write_all(bytes).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    }

    async fn forward_responses(
        &self,
        mut from: OwnedReadHalf,
        to: &Mutex<OwnedWriteHalf>,
        lost: &AtomicBool,
    ) {
        /// More than the head of a response, and less than a response that is cut.
        const CUT_AFTER: usize = 100_000;
        let (mut buffer, mut forwarded) = (vec![0; 64 << 10], 0);
        while let Ok(length) = from.read(&mut buffer).await
            && length > 0
        {
            if lost.load(Ordering::SeqCst) {
                match self.interception {
                    Interception::SwallowResponse => continue,
                    _ => break,
                }
            }
            forwarded += length;
            let written = to.lock().await.write_all(&buffer[..length]).await;
            if written.is_err() || (forwarded > CUT_AFTER && self.cut.swap(false, Ordering::SeqCst))
            {
                break;
            }
        }
        let _ = to.lock().await.shutdown().await;
    }
}
