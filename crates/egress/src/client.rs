//! Client that checks each address before it connects.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::error::Error;
use crate::network::{Connector, Network, Resolver};
use crate::target::{Policy, Target};

/// Maximum size of the body of a request, in bytes.
pub const MAX_BODY_BYTES: usize = 64 << 10;

/// Maximum number of addresses of a host to which connections are attempted.
const MAX_ADDRESSES: usize = 4;

/// Maximum time for a connection to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum size of the status line and the headers of an answer, in bytes, and their number.
const MAX_HEAD_BYTES: usize = 16 << 10;
const MAX_HEADERS: usize = 100;

/// Request with a body.
#[derive(Debug, Clone)]
pub struct Post {
    /// Headers besides `Host` and `Content-Length`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body of at most [`MAX_BODY_BYTES`].
    pub body: Bytes,
    /// Maximum time for everything, from the resolution to the end of the part of the answer that
    /// is read.
    pub within: Duration,
    /// Number of bytes of the answer's body to read. The connection is closed after them.
    pub keep: usize,
}

/// Answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Value of `Retry-After`.
    pub retry_after: Option<String>,
    /// First bytes of the body.
    pub body: Vec<u8>,
}

/// HTTP client for the targets of users. Each request has its own connection.
#[derive(Clone)]
pub struct Client {
    policy: Policy,
    resolver: Arc<dyn Resolver>,
    connector: Arc<dyn Connector>,
    tls: TlsConnector,
}

impl Client {
    /// Client on the network of the machine. Certificates are verified with the root certificates
    /// of the system. Without any, no request over HTTPS succeeds.
    ///
    /// # Errors
    /// The system's library of TLS supports no version of it.
    pub fn new(policy: Policy) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            warn!("the system has no root certificates; no request over HTTPS can succeed");
        }
        Self::with_network(policy, Arc::new(Network), Arc::new(Network), roots)
    }

    /// Client with this resolver, connector and roots.
    ///
    /// # Errors
    /// The system's library of TLS supports no version of it.
    pub fn with_network(
        policy: Policy,
        resolver: Arc<dyn Resolver>,
        connector: Arc<dyn Connector>,
        roots: RootCertStore,
    ) -> Result<Self, Error> {
        // Named, because several providers may be compiled in.
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Encryption(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { policy, resolver, connector, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Policy of the targets.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Send a request, and return its answer, whatever its status. The end of its body need not be
    /// received: what arrived within the time limit is returned.
    pub async fn post(&self, target: &Target, post: Post) -> Result<Answer, Error> {
        if post.body.len() > MAX_BODY_BYTES {
            return Err(Error::Request(format!("its body exceeds {MAX_BODY_BYTES} bytes")));
        }
        let (deadline, keep) = (Instant::now() + post.within, post.keep);
        let request = request(Method::POST, target, post.headers, post.body)?;
        let exchange = timeout_at(deadline, self.exchange(target, request));
        let (response, _connection) = exchange.await.map_err(|_| Error::Timeout)??;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = first_bytes(response.into_body(), keep, deadline).await;
        Ok(Answer { status, retry_after, body })
    }

    /// Ask for a target, and return the response, whose body is not read yet. The connection ends
    /// when the returned task is dropped.
    pub(crate) async fn get(
        &self,
        target: &Target,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Result<(Response<Incoming>, AbortOnDropHandle<()>), Error> {
        self.exchange(target, request(Method::GET, target, headers, Bytes::new())?).await
    }

    /// Connect to a target, and send it a request.
    async fn exchange(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, AbortOnDropHandle<()>), Error> {
        let stream = self.connect(target).await?;
        if !target.is_encrypted() {
            return send(stream, request).await;
        }
        let name = ServerName::try_from(target.host().trim_matches(['[', ']']).to_owned())
            .map_err(|error| Error::Encryption(error.to_string()))?;
        let stream = self.tls.connect(name, stream).await;
        send(stream.map_err(|error| Error::Encryption(error.to_string()))?, request).await
    }

    /// Name of the target's host, as it is looked up. The dot at its end keeps the resolver from
    /// trying the domains of its search list, which would tell users which names these have. A
    /// private installation may rely on them.
    fn name_to_resolve(&self, target: &Target) -> String {
        match self.policy {
            Policy::Public => format!("{}.", target.host()),
            Policy::Private => target.host().to_owned(),
        }
    }

    /// Connect to an address of the target's host, after all have been checked: a host that has a
    /// forbidden address is not what its user claims, so the others are not used either.
    async fn connect(&self, target: &Target) -> Result<TcpStream, Error> {
        let addresses = match target.literal() {
            Some(address) => vec![address],
            None if self.policy == Policy::Public && target.is_never_public() => Vec::new(),
            None => self
                .resolver
                .resolve(&self.name_to_resolve(target))
                .await
                .map_err(|error| Error::Unresolved(error.to_string()))?,
        };
        let is_permitted = |address: &IpAddr| self.policy.permits(*address, target.is_encrypted());
        if !addresses.iter().all(is_permitted) {
            return Err(Error::Forbidden);
        }
        let mut last = Error::Unresolved("the host has no address".to_owned());
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            let address = SocketAddr::new(address, target.port());
            let connecting = self.connector.connect(address);
            last = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => Error::Connection(error.to_string()),
                Err(_) => Error::Connection("no response".to_owned()),
            };
        }
        Err(last)
    }
}

/// Request in the form that a server expects.
fn request(
    method: Method,
    target: &Target,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, Error> {
    let host = match target.url().port() {
        Some(port) => format!("{}:{port}", target.host()),
        None => target.host().to_owned(),
    };
    let mut request = Request::builder()
        .method(method)
        .uri(target.origin_form())
        .header(header::HOST, host)
        .header(header::CONNECTION, "close")
        .body(Full::new(body))
        .map_err(|error| Error::Request(error.to_string()))?;
    request.headers_mut().extend(headers);
    Ok(request)
}

/// Send a request over a connection. The returned task drives the connection until it is dropped.
async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(Response<Incoming>, AbortOnDropHandle<()>), Error> {
    let invalid = |error: hyper::Error| Error::Answer(error.to_string());
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(invalid)?;
    // Its errors are those of the request.
    let driving = async { drop(connection.await) };
    let connection = AbortOnDropHandle::new(tokio::spawn(driving));
    let response = sender.send_request(request).await.map_err(invalid)?;
    Ok((response, connection))
}

/// Read the first bytes of a body, as far as they arrive before the deadline.
async fn first_bytes(mut body: Incoming, keep: usize, deadline: Instant) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < keep {
        let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await else { break };
        if let Some(data) = frame.data_ref() {
            let room = keep - bytes.len();
            bytes.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    bytes
}
