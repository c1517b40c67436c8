//! A way to the store on which things go wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};

/// Passes connections on to a store, but for some requests, known by their heads: they wait until
/// the gate is opened, or are answered here.
pub(super) struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    store: String,
    /// What the heads of such requests contain, all of it.
    texts: Vec<&'static str>,
    /// What they are answered; none if they wait.
    answer: Option<String>,
    /// How many of them came.
    held: AtomicUsize,
    open: watch::Sender<bool>,
    /// Whether the next long answer breaks off.
    cut: AtomicBool,
}

impl Gate {
    /// Requests with this text in their heads wait.
    pub(super) async fn before(store: &str, text: &'static str) -> Self {
        Self::new(store, vec![text], None).await
    }

    /// Requests with both texts in their heads are answered here, and never reach the store.
    pub(super) async fn answering(
        store: &str,
        text: &'static str,
        other: &'static str,
        answer: String,
    ) -> Self {
        Self::new(store, vec![text, other], Some(answer)).await
    }

    async fn new(store: &str, texts: Vec<&'static str>, answer: Option<String>) -> Self {
        let store = store.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let (held, cut) = (AtomicUsize::new(0), AtomicBool::new(false));
        let shared =
            Arc::new(Shared { store, texts, answer, held, open: watch::Sender::new(false), cut });
        let gate = Self { address, shared: Arc::clone(&shared) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&shared).serve(client));
            }
        });
        gate
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests were held up or answered here.
    pub(super) fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// Let all of them pass.
    pub(super) fn open(&self) {
        self.shared.open.send_replace(true);
    }

    /// Let the next long answer break off in the middle.
    pub(super) fn cut_next_answer(&self) {
        self.shared.cut.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, client: TcpStream) {
        let Ok(store) = TcpStream::connect(&self.store).await else { return };
        let (from_client, to_client) = client.into_split();
        let (from_store, to_store) = store.into_split();
        let to_client = Mutex::new(to_client);
        tokio::join!(
            self.requests(from_client, to_store, &to_client),
            self.answers(from_store, &to_client)
        );
    }

    async fn requests(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        back: &Mutex<OwnedWriteHalf>,
    ) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length) = from.read(&mut buffer).await
            && length > 0
        {
            // The head of a request is written at once, and none begins before the last one is
            // answered.
            let bytes = &buffer[..length];
            let contains =
                |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            if !*self.open.borrow() && self.texts.iter().all(|text| contains(text)) {
                self.held.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = &self.answer {
                    let _ = back.lock().await.write_all(answer.as_bytes()).await;
                    // The rest of the request goes nowhere. Closing before it is read could destroy
                    // the answer.
                    while from.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
                    break;
                }
                let _ = self.open.subscribe().wait_for(|open| *open).await;
            }
            if to.write_all(bytes).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    }

    async fn answers(&self, mut from: OwnedReadHalf, to: &Mutex<OwnedWriteHalf>) {
        /// More than the head of an answer, and less than what is cut.
        const KEPT: usize = 100_000;
        let (mut buffer, mut passed) = (vec![0; 64 << 10], 0);
        while let Ok(length) = from.read(&mut buffer).await
            && length > 0
        {
            passed += length;
            let written = to.lock().await.write_all(&buffer[..length]).await;
            if written.is_err() || (passed > KEPT && self.cut.swap(false, Ordering::SeqCst)) {
                break;
            }
        }
        let _ = to.lock().await.shutdown().await;
    }
}
