//! Requests over a network that records what it is asked for. Nothing leaves the machine: a
//! connection is refused, or led to a receiver on a loopback address.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_util::task::AbortOnDropHandle;

use crate::client::{Answer, Client, MAX_BODY_BYTES, Post};
use crate::error::Error;
use crate::network::{Connector, Network, Resolver};
use crate::target::{Policy, Target};

mod file_server;
mod remote_files;

/// Time limit of requests that are not meant to reach it.
const WITHIN: Duration = Duration::from_secs(30);

/// A public address. No test connects to it.
const PUBLIC: &str = "93.184.215.14";

/// Network that records every name and address it is asked for.
#[derive(Default)]
struct Recorder {
    /// Responses to the next requests for names.
    addresses: Mutex<VecDeque<Vec<IpAddr>>>,
    resolved: Mutex<Vec<String>>,
    connected: Mutex<Vec<SocketAddr>>,
    /// Receiver to which connections lead; they are refused without one.
    receiver: Option<SocketAddr>,
}

#[async_trait]
impl Resolver for Recorder {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.resolved.lock().push(name.to_owned());
        self.addresses.lock().pop_front().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[async_trait]
impl Connector for Recorder {
    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.connected.lock().push(address);
        match self.receiver {
            Some(receiver) => Network.connect(receiver).await,
            None => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

impl Recorder {
    /// Recorder that resolves names to these addresses, in turn.
    fn resolving(responses: &[&[&str]]) -> Self {
        let address = |text: &&str| text.parse().expect("an address");
        let response = |texts: &&[&str]| texts.iter().map(address).collect();
        Self { addresses: Mutex::new(responses.iter().map(response).collect()), ..Self::default() }
    }

    fn client(self, policy: Policy, roots: RootCertStore) -> (Arc<Self>, Client) {
        let this = Arc::new(self);
        let client = Client::with_network(policy, this.clone(), this.clone(), roots);
        (this, client.expect("a client"))
    }
}

fn post(within: Duration) -> Post {
    Post { headers: Vec::new(), body: Bytes::from_static(b"{}"), within, keep: 1024 }
}

async fn send(client: &Client, url: &str) -> Result<Answer, Error> {
    let target = Target::parse(url, client.policy()).expect("a target");
    client.post(&target, post(WITHIN)).await
}

/// What a receiver does after it has received a request.
#[derive(Clone)]
enum Behavior {
    /// Send these bytes, and close the connection.
    Send(&'static str),
    /// Send these bytes and nothing more, and leave the connection open.
    Hang(&'static str),
    /// Send these bytes, and then others without end.
    Flood(&'static str),
    /// Reset the connection.
    Reset,
}

/// Receiver on a loopback address.
struct Receiver {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl Receiver {
    async fn start(behavior: Behavior, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let received = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (behavior, received) = (behavior.clone(), Arc::clone(&received));
                let tls = tls.clone();
                tokio::spawn(async move {
                    match (behavior, tls) {
                        (Behavior::Reset, _) => {
                            stream.set_zero_linger().expect("an option of the socket");
                        }
                        (behavior, None) => respond(stream, behavior, &received).await,
                        (behavior, Some(tls)) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                respond(stream, behavior, &received).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, requests, _task: AbortOnDropHandle::new(task) }
    }

    /// URL of the receiver.
    fn url(&self) -> String {
        format!("http://{}/hooks?key=value", self.address)
    }
}

async fn respond(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    behavior: Behavior,
    received: &Mutex<Vec<String>>,
) {
    let mut request = Vec::new();
    while !request.ends_with(b"{}") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    received.lock().push(String::from_utf8(request).expect("text"));
    let (Behavior::Send(text) | Behavior::Hang(text) | Behavior::Flood(text)) = behavior else {
        return;
    };
    let _ = stream.write_all(text.as_bytes()).await;
    match behavior {
        Behavior::Hang(_) => std::future::pending().await,
        Behavior::Flood(_) => while stream.write_all(&[b'a'; 1 << 12]).await.is_ok() {},
        _ => drop(stream.shutdown().await),
    }
}

#[tokio::test]
async fn no_connection_is_made_to_addresses_that_are_not_public() {
    for addresses in [
        ["127.0.0.1"].as_slice(),
        &["169.254.169.254"],
        &["::ffff:10.0.0.1"],
        &["::1"],
        &["fe80::1"],
        &["100.64.0.1"],
        &["64:ff9b::a00:1"],
        // One that is public does not make up for another one.
        &[PUBLIC, "10.0.0.1"],
        &["192.168.0.1", PUBLIC],
    ] {
        let recorder = Recorder::resolving(&[addresses]);
        let (recorder, client) = recorder.client(Policy::Public, RootCertStore::empty());
        let sent = send(&client, "https://receiver.example.com/").await;
        assert!(matches!(sent, Err(Error::Forbidden)), "{addresses:?}: {sent:?}");
        assert_eq!(*recorder.connected.lock(), []);
    }
}

/// A name that resolves to a public address, and to a private one when it is asked for again.
#[tokio::test]
async fn the_checked_address_is_the_one_connected_to() {
    let recorder = Recorder::resolving(&[&[PUBLIC], &["127.0.0.1"]]);
    let (recorder, client) = recorder.client(Policy::Public, RootCertStore::empty());
    let sent = send(&client, "https://receiver.example.com:8443/").await;
    assert!(matches!(sent, Err(Error::Connection(_))), "{sent:?}");
    assert_eq!(*recorder.resolved.lock(), ["receiver.example.com."], "one look-up a request");
    let public: SocketAddr = format!("{PUBLIC}:8443").parse().expect("an address");
    assert_eq!(*recorder.connected.lock(), [public]);

    let sent = send(&client, "https://receiver.example.com:8443/").await;
    assert!(matches!(sent, Err(Error::Forbidden)), "{sent:?}");
    assert_eq!(*recorder.connected.lock(), [public]);
}

#[tokio::test]
async fn literal_addresses_are_not_resolved() {
    let (recorder, client) = Recorder::default().client(Policy::Public, RootCertStore::empty());
    for (url, address) in [
        ("https://93.184.215.14/", "93.184.215.14:443"),
        ("https://[2606:4700::1111]:8443/", "[2606:4700::1111]:8443"),
    ] {
        let sent = send(&client, url).await;
        assert!(matches!(sent, Err(Error::Connection(_))), "{sent:?}");
        let address: SocketAddr = address.parse().expect("an address");
        assert_eq!(recorder.connected.lock().last(), Some(&address));
    }
    assert_eq!(*recorder.resolved.lock(), [""; 0]);
}

/// Private networks may have such names.
#[tokio::test]
async fn names_outside_of_the_public_dns_are_not_looked_up() {
    let (recorder, client) = Recorder::default().client(Policy::Public, RootCertStore::empty());
    for name in ["hooks.example", "metadata.google.internal", "printer.local.", "a.home.arpa"] {
        let sent = send(&client, &format!("https://{name}/")).await;
        assert!(matches!(sent, Err(Error::Unresolved(_))), "{sent:?}");
    }
    assert_eq!(*recorder.resolved.lock(), [""; 0]);
}

/// The search list of the resolver would tell which names a private network has.
#[tokio::test]
async fn public_names_are_looked_up_as_absolute() {
    for (policy, expected) in [(Policy::Public, "example.com."), (Policy::Private, "example.com")] {
        for url in ["https://example.com/", "https://example.com./"] {
            let (recorder, client) = Recorder::default().client(policy, RootCertStore::empty());
            let sent = send(&client, url).await;
            assert!(matches!(sent, Err(Error::Unresolved(_))), "{sent:?}");
            assert_eq!(*recorder.resolved.lock(), [expected], "{url}");
        }
    }
}

#[tokio::test]
async fn http_is_permitted_to_this_machine_only() {
    let recorder = Recorder::resolving(&[&[PUBLIC], &["10.0.0.1"], &["127.0.0.1"]]);
    let (recorder, client) = recorder.client(Policy::Private, RootCertStore::empty());
    for _ in 0..2 {
        let sent = send(&client, "http://receiver.example.com/").await;
        assert!(matches!(sent, Err(Error::Forbidden)), "{sent:?}");
    }
    assert_eq!(*recorder.connected.lock(), []);
    let sent = send(&client, "http://receiver.example.com/").await;
    assert!(matches!(sent, Err(Error::Connection(_))), "{sent:?}");
    let unknown = send(&client, "http://receiver.example.com/").await;
    assert!(matches!(unknown, Err(Error::Unresolved(_))), "{unknown:?}");
}

/// Client on the network of the machine, for receivers on loopback addresses.
fn loopback() -> Client {
    let roots = RootCertStore::empty();
    let network = Arc::new(Network);
    Client::with_network(Policy::Private, network.clone(), network, roots).expect("a client")
}

#[tokio::test]
async fn an_answer_is_its_status_and_the_first_bytes_of_its_body() {
    let receiver = Receiver::start(
        Behavior::Send("HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nhello"),
        None,
    );
    let receiver = receiver.await;
    let answer = send(&loopback(), &receiver.url()).await.expect("an answer");
    let retry_after = Some("7".to_owned());
    assert_eq!(answer, Answer { status: 503, retry_after, body: b"hello".to_vec() });
    let request = &receiver.requests.lock()[0];
    assert!(request.starts_with("POST /hooks?key=value HTTP/1.1\r\n"), "{request}");
    let host = format!("host: {}\r\n", receiver.address);
    assert!(request.contains(&host) && request.contains("content-length: 2\r\n"), "{request}");
}

#[tokio::test]
async fn an_endless_answer_is_not_read() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
    for head in [head, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"] {
        let receiver = Receiver::start(Behavior::Flood(head), None).await;
        let answer = send(&loopback(), &receiver.url()).await.expect("an answer");
        assert_eq!((answer.status, answer.body), (200, vec![b'a'; 1024]));
    }
    let receiver = Receiver::start(Behavior::Flood("HTTP/1.1 200 OK\r\nX-Long: "), None).await;
    let answer = send(&loopback(), &receiver.url()).await;
    assert!(matches!(answer, Err(Error::Answer(_))), "{answer:?}");
}

#[tokio::test]
async fn a_receiver_that_hangs_is_left_at_the_time_limit() {
    let limit = Duration::from_millis(300);
    let receiver = Receiver::start(Behavior::Hang(""), None).await;
    let target = Target::parse(&receiver.url(), Policy::Private).expect("a target");
    let answer = loopback().post(&target, post(limit)).await;
    assert!(matches!(answer, Err(Error::Timeout)), "{answer:?}");

    // The status arrives in time, on a busy machine too.
    let limit = Duration::from_secs(2);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel";
    let receiver = Receiver::start(Behavior::Hang(head), None).await;
    let target = Target::parse(&receiver.url(), Policy::Private).expect("a target");
    let answer = loopback().post(&target, post(limit)).await.expect("an answer");
    assert_eq!((answer.status, answer.body), (200, b"hel".to_vec()));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Receiver::start(Behavior::Send("HTTP/1.1 200 OK\r\n\r\n"), None).await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        elsewhere.url()
    );
    let receiver = Receiver::start(Behavior::Send(redirect.leak()), None).await;
    let answer = send(&loopback(), &receiver.url()).await.expect("an answer");
    assert_eq!(answer.status, 307);
    assert_eq!(*elsewhere.requests.lock(), [""; 0]);
}

#[tokio::test]
async fn receivers_that_do_not_answer_are_errors() {
    for behavior in [Behavior::Reset, Behavior::Send(""), Behavior::Send("no HTTP\r\n\r\n")] {
        let receiver = Receiver::start(behavior, None).await;
        let answer = send(&loopback(), &receiver.url()).await;
        assert!(matches!(answer, Err(Error::Answer(_))), "{answer:?}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = closed.local_addr().expect("an address");
    drop(closed);
    let answer = send(&loopback(), &format!("http://{address}/")).await;
    assert!(matches!(answer, Err(Error::Connection(_))), "{answer:?}");
}

#[tokio::test]
async fn large_bodies_are_not_sent() {
    let target = Target::parse("http://127.0.0.1:9/", Policy::Private).expect("a target");
    let body = Bytes::from(vec![0; MAX_BODY_BYTES + 1]);
    let answer = loopback().post(&target, Post { body, ..post(WITHIN) }).await;
    assert!(matches!(answer, Err(Error::Request(_))), "{answer:?}");
}

/// Make a certificate for a name, and return the acceptor of a server with it.
fn certificate(directory: &Path, name: &str) -> (CertificateDer<'static>, TlsAcceptor) {
    let [key, certificate] = ["key.pem", "certificate.pem"].map(|file| directory.join(file));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=test", "-addext"])
        .arg(format!("subjectAltName=DNS:{name}"))
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a certificate with its key");
    (certificate, TlsAcceptor::from(Arc::new(config)))
}

/// The certificate has to be that of the name in the URL, and of a known authority, whatever
/// address the name resolves to.
#[tokio::test]
async fn certificates_are_verified() {
    let directory = tempfile::tempdir().expect("a directory");
    let (certificate, acceptor) = certificate(directory.path(), "receiver.example.com");
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let receiver = Receiver::start(Behavior::Send(ok), Some(acceptor)).await;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a root");
    for (url, roots, verified) in [
        ("https://receiver.example.com/", roots.clone(), true),
        ("https://receiver.example.com./", roots.clone(), true),
        ("https://other.example.com/", roots, false),
        ("https://receiver.example.com/", RootCertStore::empty(), false),
    ] {
        let mut recorder = Recorder::resolving(&[&[PUBLIC]]);
        recorder.receiver = Some(receiver.address);
        let (_, client) = recorder.client(Policy::Public, roots);
        let answer = send(&client, url).await;
        if verified {
            assert_eq!(answer.expect("an answer").status, 200);
        } else {
            assert!(matches!(answer, Err(Error::Encryption(_))), "{url}: {answer:?}");
        }
    }
}
