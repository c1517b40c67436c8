//! Remote files, from servers on loopback addresses that misbehave, and over a network that refuses
//! every connection.

use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_rustls::rustls::RootCertStore;

use super::file_server::{FileServer, Then, ranged, redirect, requested, status, whole};
use super::{PUBLIC, Recorder, certificate, loopback};
use crate::client::Client;
use crate::error::Error;
use crate::remote::{Fetcher, RangedFile, Remote, RemoteLimits, WholeFile};
use crate::remote_error::RemoteError;
use crate::target::{InvalidTarget, Policy, Target};

const LIMITS: RemoteLimits =
    RemoteLimits { max_bytes: 1 << 20, patience: Duration::from_secs(30), min_bytes_per_second: 0 };

/// A patience that tests wait for, longer than a busy machine needs for the steps that succeed.
const SHORT: RemoteLimits = RemoteLimits { patience: Duration::from_secs(2), ..LIMITS };

/// The file that servers have.
fn content() -> Vec<u8> {
    (0..100_000_u32).map(|position| (position.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

async fn open_at(client: Client, url: &str, limits: RemoteLimits) -> Result<Remote, RemoteError> {
    let target = Target::parse(url, client.policy()).expect("a target");
    Fetcher::new(client, limits).open(&target).await
}

async fn open(server: &FileServer, limits: RemoteLimits) -> Result<Remote, RemoteError> {
    open_at(loopback(), &server.url(), limits).await
}

/// The file of a server with ranges.
async fn by_ranges(server: &FileServer) -> RangedFile {
    match open(server, LIMITS).await {
        Ok(Remote::Ranged(file)) => file,
        Ok(Remote::Whole(_)) => panic!("it has ranges"),
        Err(error) => panic!("{error}"),
    }
}

/// The file of a server without ranges.
async fn as_whole(server: &FileServer, limits: RemoteLimits) -> WholeFile {
    match open(server, limits).await {
        Ok(Remote::Whole(file)) => file,
        Ok(Remote::Ranged(_)) => panic!("it has no ranges"),
        Err(error) => panic!("{error}"),
    }
}

async fn read(mut file: WholeFile) -> Result<Vec<u8>, RemoteError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = file.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

const TAG: &str = "ETag: \"one\"\r\n";

#[tokio::test]
async fn files_are_read_by_ranges() {
    let date = "Last-Modified: Fri, 27 Nov 2026 08:00:00 GMT\r\n";
    for (headers, validator) in [
        (TAG, "\"one\""),
        // A weak one does not name the bytes.
        (&format!("ETag: W/\"one\"\r\n{date}"), "Fri, 27 Nov 2026 08:00:00 GMT"),
    ] {
        let sent = headers.to_owned();
        let server =
            FileServer::start(move |request| (ranged(request, &content(), &sent), Then::Close));
        let server = server.await;
        let file = by_ranges(&server).await;
        assert_eq!((file.size(), file.validator()), (100_000, validator));
        assert_eq!(file.head()[..], content()[..1024]);
        for range in [0..1, 99_999..100_000, 500..70_000, 7..7] {
            let bytes = file.read(range.clone()).await.expect("a range");
            assert_eq!(bytes, content()[range.start as usize..range.end as usize]);
        }
        let requests = server.requests.lock();
        assert_eq!(requests.len(), 4, "the empty range needs no request");
        let expected = format!("if-range: {validator}\r\n");
        assert!(requests[1..].iter().all(|request| request.contains(&expected)), "{requests:?}");
        assert!(requests[0].starts_with("GET /a.mp4?key=value HTTP/1.1\r\n"), "{requests:?}");
        assert!(requests.iter().all(|it| it.contains("accept-encoding: identity\r\n")));
    }
}

#[tokio::test]
async fn files_without_ranges_are_read_as_a_whole() {
    type Response = fn(&str) -> Vec<u8>;
    let responses: [Response; 5] = [
        |_| whole(&content(), TAG),
        |_| [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".as_slice(), &content()].concat(),
        // Ranges of a file whose version has no name.
        |request| ranged(request, &content(), ""),
        |request| ranged(request, &content(), "ETag: W/\"one\"\r\n"),
        |request| match requested(request) {
            Some(_) => status(416),
            None => whole(&content(), ""),
        },
    ];
    for respond in responses {
        let server = FileServer::start(move |request| (respond(request), Then::Close)).await;
        let bytes = read(as_whole(&server, LIMITS).await).await.expect("a file");
        assert!(bytes == content());
    }
}

/// Response after the first one.
type Changed = Box<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

#[tokio::test]
async fn a_change_is_noticed() {
    let other: Vec<u8> = content().into_iter().rev().collect();
    let longer = [content(), vec![0]].concat();
    let cases: [(&str, Changed); 5] = [
        ("a server that knows If-Range", Box::new(|_| whole(&content(), "ETag: \"two\"\r\n"))),
        ("another tag", Box::new(move |request| ranged(request, &other, "ETag: \"two\"\r\n"))),
        ("another size", Box::new(move |request| ranged(request, &longer, TAG))),
        ("no tag", Box::new(|request| ranged(request, &content(), ""))),
        ("a shorter file", Box::new(|_| status(416))),
    ];
    for (name, changed) in cases {
        let server = FileServer::start(move |request| {
            let is_first = requested(request) == Some((0, 1023));
            let response =
                if is_first { ranged(request, &content(), TAG) } else { changed(request) };
            (response, Then::Close)
        });
        let server = server.await;
        let result = by_ranges(&server).await.read(50..60).await;
        assert!(matches!(result, Err(RemoteError::Changed)), "{name}: {result:?}");
    }
}

/// The second request for a range may succeed.
#[tokio::test]
async fn failures_of_a_moment_are_repeated() {
    let failures = Mutex::new(vec![b"HTTP/1.1 206 Part\r\n".to_vec(), status(503)]);
    let server = FileServer::start(move |request| {
        let is_first = requested(request) == Some((0, 1023));
        let failure = if is_first { None } else { failures.lock().pop() };
        (failure.unwrap_or_else(|| ranged(request, &content(), TAG)), Then::Close)
    });
    let server = server.await;
    let bytes = by_ranges(&server).await.read(50..60).await.expect("a range");
    assert_eq!(bytes, content()[50..60]);
    assert_eq!(server.requests.lock().len(), 4);
}

#[tokio::test]
async fn other_ranges_than_requested_are_errors() {
    for (range, length) in [("bytes 51-60/100000", 10), ("bytes 50-59/100000", 9), ("none", 10)] {
        let server = FileServer::start(move |request| {
            if requested(request) == Some((0, 1023)) {
                return (ranged(request, &content(), TAG), Then::Close);
            }
            let head = format!("HTTP/1.1 206 Part\r\nContent-Range: {range}\r\n{TAG}\r\n");
            let body = &content()[50..50 + length];
            ([head.as_bytes(), body].concat(), Then::Close)
        });
        let server = server.await;
        let result = by_ranges(&server).await.read(50..60).await;
        let is_expected = matches!(result, Err(RemoteError::Request(Error::Answer(_))));
        assert!(is_expected, "{range}: {result:?}");
    }
}

#[tokio::test]
async fn the_size_is_limited() {
    let limits = RemoteLimits { max_bytes: 99_999, ..LIMITS };
    for headers in [TAG, ""] {
        let server =
            FileServer::start(move |request| (ranged(request, &content(), headers), Then::Close));
        let opened = open(&server.await, limits).await.err();
        assert!(matches!(opened, Some(RemoteError::TooLarge { limit: 99_999 })), "{opened:?}");
    }
    // A stated size is not even begun, and an endless body is left.
    let server = FileServer::start(|_| {
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n".to_vec(), Then::Hang)
    });
    let opened = open(&server.await, limits).await.err();
    assert!(matches!(opened, Some(RemoteError::TooLarge { .. })), "{opened:?}");
    let server = FileServer::start(|_| {
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec(), Then::Flood)
    });
    let bytes = read(as_whole(&server.await, limits).await).await;
    assert!(matches!(bytes, Err(RemoteError::TooLarge { .. })), "{bytes:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
    ] {
        let server = FileServer::start(move |_| (head.as_bytes().to_vec(), Then::Close)).await;
        let bytes = read(as_whole(&server, LIMITS).await).await;
        assert!(matches!(bytes, Err(RemoteError::Request(Error::Answer(_)))), "{bytes:?}");
    }
}

#[tokio::test]
async fn servers_that_hang_or_trickle_are_left() {
    let server = FileServer::start(|_| (Vec::new(), Then::Hang)).await;
    let opened = open(&server, SHORT).await.err();
    assert!(matches!(opened, Some(RemoteError::Request(Error::Timeout))), "{opened:?}");

    let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nstart".to_vec();
    let server = FileServer::start({
        let head = head.clone();
        move |_| (head.clone(), Then::Hang)
    });
    let bytes = read(as_whole(&server.await, SHORT).await).await;
    assert!(matches!(bytes, Err(RemoteError::Slow)), "{bytes:?}");

    let trickle = Then::Trickle(Duration::from_millis(20));
    let server = FileServer::start(move |_| (head.clone(), trickle)).await;
    let limits = RemoteLimits { min_bytes_per_second: 10_000, ..SHORT };
    let bytes = read(as_whole(&server, limits).await).await;
    assert!(matches!(bytes, Err(RemoteError::Slow)), "{bytes:?}");
}

#[tokio::test]
async fn statuses_of_failure_are_errors() {
    for (code, is_refusal) in [
        (401, true),
        (403, true),
        (404, true),
        (204, true),
        (304, true),
        (429, false),
        (500, false),
    ] {
        let server = FileServer::start(move |_| (status(code), Then::Close)).await;
        let opened = open(&server, LIMITS).await.err().expect("an error");
        assert!(matches!(opened, RemoteError::Status(it) if it == code), "{opened:?}");
        assert_eq!(opened.is_refusal(), is_refusal, "{code}");
    }
}

#[tokio::test]
async fn a_few_redirects_are_followed() {
    let server = FileServer::start(|request| {
        let path = request.split(' ').nth(1).expect("a path");
        let response = match path {
            "/a.mp4?key=value" => redirect("/b?c#fragment"),
            "/b?c" => redirect("d/e"),
            "/d/e" => ranged(request, &content(), TAG),
            other => panic!("{other}"),
        };
        (response, Then::Close)
    });
    let server = server.await;
    let file = by_ranges(&server).await;
    assert_eq!(file.read(5..9).await.expect("a range"), content()[5..9]);
    // Further ranges are those of the server that the first request led to.
    assert_eq!(server.requests.lock().len(), 4);

    let server = FileServer::start(|_| (redirect("/again"), Then::Close)).await;
    let opened = open(&server, LIMITS).await.err();
    assert!(matches!(opened, Some(RemoteError::Redirects)), "{opened:?}");
    assert_eq!(server.requests.lock().len(), 6);
}

#[tokio::test]
async fn redirects_to_targets_that_are_not_permitted_are_not_followed() {
    for (location, expected) in [
        ("ftp://example.com/a.mp4", InvalidTarget::Scheme),
        ("file:///etc/passwd", InvalidTarget::Scheme),
        ("http://169.254.169.254/latest/meta-data/", InvalidTarget::Host),
        ("http://10.0.0.1/", InvalidTarget::Host),
        ("https://[fe80::1]/", InvalidTarget::Host),
        ("https://ana:secret@example.com/", InvalidTarget::Parts),
        ("http://[", InvalidTarget::Malformed),
    ] {
        let server = FileServer::start(move |_| (redirect(location), Then::Close)).await;
        let opened = open(&server, LIMITS).await.err().expect("an error");
        let is_expected = matches!(&opened, RemoteError::Redirect(it) if *it == expected);
        assert!(is_expected && opened.is_refusal(), "{location}: {opened:?}");
        assert!(!opened.to_string().contains("secret"), "{opened}");
    }
}

/// A name in a redirect is checked when it is resolved, like the first one.
#[tokio::test]
async fn redirects_into_private_networks_are_not_followed() {
    let server = FileServer::start(|_| (redirect("http://internal.example.com/"), Then::Close));
    let server = server.await;
    for address in ["10.0.0.1", "169.254.169.254", PUBLIC] {
        let recorder = Recorder {
            receiver: Some(server.address),
            ..Recorder::resolving(&[&["127.0.0.1"], &[address]])
        };
        let (recorder, client) = recorder.client(Policy::Private, RootCertStore::empty());
        let opened = open_at(client, "http://first.example.com/a.mp4", LIMITS).await.err();
        // HTTP is permitted to this machine only.
        let is_forbidden = matches!(opened, Some(RemoteError::Request(Error::Forbidden)));
        assert!(is_forbidden, "{address}: {opened:?}");
        assert_eq!(recorder.resolved.lock().len(), 2);
        assert_eq!(recorder.connected.lock().len(), 1);
    }
}

#[tokio::test]
async fn no_file_is_read_from_addresses_that_are_not_public() {
    for addresses in [["127.0.0.1"].as_slice(), &["169.254.169.254"], &[PUBLIC, "10.0.0.1"]] {
        let recorder = Recorder::resolving(&[addresses]);
        let (recorder, client) = recorder.client(Policy::Public, RootCertStore::empty());
        let opened = open_at(client, "https://videos.example.com/a.mp4", LIMITS).await.err();
        let is_forbidden = matches!(opened, Some(RemoteError::Request(Error::Forbidden)));
        assert!(is_forbidden, "{addresses:?}: {opened:?}");
        assert_eq!(*recorder.connected.lock(), []);
    }
    let recorder = Recorder::resolving(&[&[PUBLIC]]);
    let (recorder, client) = recorder.client(Policy::Public, RootCertStore::empty());
    let opened = open_at(client, "https://videos.example.com:8443/a.mp4", LIMITS).await.err();
    let is_refused = matches!(opened, Some(RemoteError::Request(Error::Connection(_))));
    assert!(is_refused, "{opened:?}");
    let public: SocketAddr = format!("{PUBLIC}:8443").parse().expect("an address");
    assert_eq!(*recorder.connected.lock(), [public]);
}

/// Also where HTTP to this machine is permitted.
#[tokio::test]
async fn no_redirect_leads_from_https_to_http() {
    let directory = tempfile::tempdir().expect("a directory");
    let (certificate, acceptor) = certificate(directory.path(), "videos.example.com");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a root");
    let plain = FileServer::start(|request| (ranged(request, &content(), TAG), Then::Close)).await;
    let to = plain.url();
    let server = FileServer::with(Some(acceptor), move |_| (redirect(&to), Then::Close)).await;
    let recorder =
        Recorder { receiver: Some(server.address), ..Recorder::resolving(&[&["127.0.0.1"]]) };
    let (_, client) = recorder.client(Policy::Private, roots);
    let opened = open_at(client, "https://videos.example.com/a.mp4", LIMITS).await.err();
    assert!(matches!(opened, Some(RemoteError::Downgrade)), "{opened:?}");
    assert_eq!(plain.requests.lock().len(), 0);
}
