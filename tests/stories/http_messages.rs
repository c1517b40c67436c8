//! HTTP messages, byte by byte: methods that are never served, and the end of a request's body.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::checks::TIMEOUT;
use crate::harness::service::Service;

/// Send bytes on a new connection, and return everything that is received until it is closed.
async fn exchange(service: &Service, bytes: &str) -> String {
    let address = service.running.address().expect("it listens");
    let mut stream = TcpStream::connect(address).await.expect("it accepts connections");
    stream.write_all(bytes.as_bytes()).await.expect("the connection is open");
    let mut received = Vec::new();
    let end = timeout(TIMEOUT, stream.read_to_end(&mut received)).await;
    end.expect("the service closes the connection").expect("the response arrives");
    String::from_utf8_lossy(&received).into_owned()
}

/// First line of what was received, for messages.
fn head(received: &str) -> &str {
    received.lines().next().unwrap_or_default()
}

/// Statuses of all responses in what was received.
fn statuses(received: &str) -> Vec<&str> {
    received.split("HTTP/1.1 ").skip(1).filter_map(|response| response.get(..3)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn trace_is_not_served_and_nothing_is_echoed() {
    let service = Service::start().await;
    for path in ["/", "/docs", "/openapi.json", "/metrics", "/health", "/videos"] {
        let request = format!(
            "TRACE {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Secret: 4f1d2b\r\n\r\n"
        );
        let received = exchange(&service, &request).await;
        assert_eq!(statuses(&received), ["405"], "{path}: {}", head(&received));
        assert!(received.contains("\r\nallow: GET"), "{path}: {received}");
        assert!(!received.contains("4f1d2b"), "{path}: {received}");
    }
}

/// Two programs that disagree about the end of a request would take a part of it for another one
/// (RFC 9112, 11.2).
#[tokio::test(flavor = "multi_thread")]
async fn no_part_of_a_body_is_taken_for_a_request() {
    let service = Service::start().await;
    let hidden = "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let post = |headers: &str, body: &str| {
        format!(
            "POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             {headers}\r\n\r\n{body}"
        )
    };
    let length = hidden.len();
    for headers in [
        format!("Content-Length: 0\r\nContent-Length: {length}"),
        format!("Content-Length: 0, {length}"),
        "Content-Length: +0".to_owned(),
        "Content-Length: -1".to_owned(),
        "Content-Length : 0".to_owned(),
        "Transfer-Encoding: chunked, gzip".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
    ] {
        let received = exchange(&service, &post(&headers, hidden)).await;
        assert_eq!(statuses(&received), ["400"], "{headers}: {}", head(&received));
    }
    // With both, the chunks count (RFC 9112, 6.3), so the request within a chunk is part of the
    // body, which is no JSON.
    let chunk = format!("{length:x}\r\n{hidden}\r\n0\r\n\r\n");
    let both = "Connection: close\r\nContent-Length: 0\r\nTransfer-Encoding: chunked";
    let received = exchange(&service, &post(both, &chunk)).await;
    assert_eq!(statuses(&received), ["400"], "{}", head(&received));
    assert!(received.contains("INVALID_JSON"), "{}", head(&received));
}
