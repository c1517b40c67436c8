use futures_util::stream;
use poem::http::StatusCode;
use poem::{Body, Response, endpoint::make};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;

/// Time after which a test has failed.
const TIMEOUT: Duration = Duration::from_secs(20);
/// A limit that no test reaches.
const LONG: Duration = Duration::from_mins(10);
const SHORT: Duration = Duration::from_millis(200);
const NO_LIMITS: TimeLimits = TimeLimits { idle: LONG, head: LONG, stall: LONG, silence: LONG };

/// A running server.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn start(times: TimeLimits, endpoint: impl Endpoint + 'static) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let limits = ConnectionLimits { port: "test", total: 100, per_network: Some(2) };
    let server = HttpServer { times, ..HttpServer::new(listener, limits, LONG, LONG) };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.run(endpoint, async {
        let _ = stopped.await;
    }));
    Running { address, stop, task }
}

/// Endpoint that reads the body and returns its size, or 400 if it cannot be read.
fn count_body() -> impl Endpoint {
    make(|mut request: Request| async move {
        let read = request.take_body().into_bytes().await;
        read.map_or(StatusCode::BAD_REQUEST.into(), |bytes| Response::from(bytes.len().to_string()))
    })
}

/// Connect and send bytes.
async fn send(server: &Running, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.expect("the server listens");
    stream.write_all(bytes).await.expect("the connection is open");
    stream
}

/// Everything that is received until the connection is closed.
async fn rest(mut stream: TcpStream) -> String {
    let mut received = Vec::new();
    let read = timeout(TIMEOUT, stream.read_to_end(&mut received)).await;
    // A connection with unread bytes is reset.
    let _ = read.expect("the server closes the connection");
    String::from_utf8_lossy(&received).into_owned()
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let server = start(TimeLimits { idle: SHORT, ..NO_LIMITS }, count_body()).await;
    assert_eq!(rest(send(&server, b"").await).await, "");
    let served = rest(send(&server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await).await;
    assert!(served.starts_with("HTTP/1.1 200 OK\r\n"), "{served}");
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_off() {
    let server = start(TimeLimits { head: SHORT, ..NO_LIMITS }, count_body()).await;
    assert_eq!(rest(send(&server, b"GET / HTTP/1.1\r\nHost: a\r\nX-").await).await, "");
    // Bytes that trickle in do not extend the time.
    let (read, mut write) = send(&server, b"GET / HTTP/1.1\r\nX: ").await.into_split();
    let started = Instant::now();
    while write.write_all(b"a").await.is_ok() && started.elapsed() < TIMEOUT {
        sleep(SHORT / 10).await;
    }
    assert!(started.elapsed() < TIMEOUT, "the server reads on");
    drop(read);
}

#[tokio::test]
async fn a_body_that_does_not_end_is_cut_off() {
    // The margin of five seconds is added.
    let server = start(TimeLimits { stall: SHORT, ..NO_LIMITS }, count_body()).await;
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf";
    let received = rest(send(&server, head).await).await;
    assert!(received.starts_with("HTTP/1.1 400 "), "{received}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    /// Notifies when it is dropped.
    struct Dropped(Arc<Notify>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let dropped = Arc::new(Notify::new());
    let ended = Arc::clone(&dropped);
    let endless = make(move |_| {
        let dropped = Dropped(Arc::clone(&ended));
        let chunks = stream::repeat_with(move || {
            let _kept = &dropped;
            Ok::<_, io::Error>(vec![0_u8; 1 << 20])
        });
        async { Response::builder().body(Body::from_bytes_stream(chunks)) }
    });
    let server = start(TimeLimits { stall: SHORT, ..NO_LIMITS }, endless).await;
    let stream = send(&server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    timeout(TIMEOUT, dropped.notified()).await.expect("the response ends");
    drop(stream);
}

#[tokio::test]
async fn heads_are_limited_and_http_2_is_not_served() {
    let server = start(NO_LIMITS, count_body()).await;
    let large = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(2 * MAX_HEAD_BYTES));
    let received = rest(send(&server, large.as_bytes()).await).await;
    assert!(received.is_empty() || received.starts_with("HTTP/1.1 431 "), "{received}");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let received = rest(send(&server, preface).await).await;
    assert!(!received.contains("200"), "{received}");
}

#[tokio::test]
async fn silent_connections_give_way_to_others() {
    let server = start(NO_LIMITS, count_body()).await;
    let silent = send(&server, b"").await;
    let partial = send(&server, b"GET / HTTP/1.1\r\n").await;
    let mut third = send(&server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(rest(silent).await, "");
    let mut status = [0; 15];
    third.read_exact(&mut status).await.expect("it is served");
    assert_eq!(&status, b"HTTP/1.1 200 OK");
    drop(partial);
}

#[tokio::test]
async fn the_shutdown_waits_for_requests_but_not_for_silence() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begin, resume) = (Arc::clone(&begun), Arc::clone(&go_on));
    let waiting = make(move |_| {
        let (begin, resume) = (Arc::clone(&begin), Arc::clone(&resume));
        async move {
            begin.notify_one();
            resume.notified().await;
            Response::from("done")
        }
    });
    let server = start(TimeLimits { silence: SHORT, ..NO_LIMITS }, waiting).await;
    let _partial = send(&server, b"GET / HTTP/1.1\r\n").await;
    let request = send(&server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    begun.notified().await;
    server.stop.send(()).expect("it runs");
    // It is not cut off as the silent one is.
    sleep(3 * SHORT).await;
    assert!(!server.task.is_finished(), "a request is in progress");
    go_on.notify_one();
    assert!(rest(request).await.ends_with("done"));
    timeout(TIMEOUT, server.task).await.expect("it stops").expect("nothing panics");
}
