//! Requests to a service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::{Uri, request};
use hyper::{Method, Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, Problem};
use crate::server::Server;

/// Maximum time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum time without anything being received: four times the interval of the comments in event
/// streams.
pub const SILENCE_TIMEOUT: Duration = Duration::from_mins(1);

/// Maximum size of a JSON response, in bytes. A page of a hundred jobs is far below it.
const MAX_JSON_BYTES: usize = 16 << 20;

/// Maximum size of an error's body that is read, in bytes.
const MAX_PROBLEM_BYTES: usize = 64 << 10;

/// Body of a request.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Client of a service, with an API key or an access token.
#[derive(Clone)]
pub struct Client {
    http: HttpClient<HttpsConnector<HttpConnector>, Body>,
    server: Server,
    authorization: Option<HeaderValue>,
    reached: Arc<AtomicBool>,
}

impl Client {
    /// Client without a key. Certificates are verified with the root certificates of the system,
    /// or with those in `SSL_CERT_FILE`.
    ///
    /// # Errors
    /// The system's library of TLS supports no version of it.
    pub fn new(server: Server) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        // Without any certificate, HTTPS fails with the reason, and HTTP works.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        // Named, because several providers may be compiled in.
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Request(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let http = HttpClient::builder(TokioExecutor::new()).build(connector);
        Ok(Self { http, server, authorization: None, reached: Arc::default() })
    }

    /// The same client, with a key or an access token.
    ///
    /// # Errors
    /// The text has characters that no key has.
    pub fn with_key(&self, key: &SecretString) -> Result<Self, Error> {
        let invalid = |_| {
            Error::Request("the API key has characters that no key has: copy it again".to_owned())
        };
        let text = format!("Bearer {}", key.expose_secret().trim());
        let mut value = HeaderValue::from_str(&text).map_err(invalid)?;
        value.set_sensitive(true);
        Ok(Self { authorization: Some(value), ..self.clone() })
    }

    /// The service.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Return whether the service has responded to this client, so that later failures are those
    /// of the network and not of a wrong URL.
    pub(crate) fn was_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// Request to a path of the service, with the key.
    pub(crate) fn request(&self, method: Method, path: &str) -> request::Builder {
        self.authorize(method, &self.server.url(path))
    }

    /// Request to a URL of the service, with the key.
    pub(crate) fn authorize(&self, method: Method, url: &str) -> request::Builder {
        let request = external(method, url);
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        }
    }

    /// Send a request, and return the response if it is a success. Only its head has to arrive
    /// within a time limit.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Error> {
        let origin = origin(request.uri());
        let response = timeout(SILENCE_TIMEOUT, self.exchange(request)).await;
        response.map_err(|_| Error::Timeout { origin })?
    }

    /// Send a request without a time limit, and return the response if it is a success.
    pub(crate) async fn exchange(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Error> {
        let origin = origin(request.uri());
        let response = self.http.request(request).await;
        let response = response.map_err(|error| Error::of_exchange(origin.clone(), &error))?;
        self.reached.store(true, Ordering::Relaxed);
        if response.status().is_success() {
            return Ok(response);
        }
        Err(rejection(origin, response).await)
    }

    /// Send a request, and parse the JSON of its response.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        request: Request<Body>,
    ) -> Result<T, Error> {
        let origin = origin(request.uri());
        parse(origin, self.send(request).await?).await
    }
}

/// Parse the JSON of a response.
pub(crate) async fn parse<T: DeserializeOwned>(
    origin: String,
    response: Response<Incoming>,
) -> Result<T, Error> {
    let (head, body) = response.into_parts();
    if media_type(&head.headers) != "application/json" {
        return Err(unexpected(origin, head.status, &head.headers));
    }
    let bytes = read(&origin, body, MAX_JSON_BYTES).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::Invalid { origin, reason: error.to_string() })
}

/// Request to any URL, without the key.
pub(crate) fn external(method: Method, url: &str) -> request::Builder {
    const USER_AGENT: &str = concat!("fiapx/", env!("CARGO_PKG_VERSION"));
    Request::builder().method(method).uri(url).header(header::USER_AGENT, USER_AGENT)
}

/// Complete a request without a body.
pub(crate) fn empty(request: request::Builder) -> Result<Request<Body>, Error> {
    with_body(request, boxed(Bytes::new()))
}

/// Complete a request with a JSON body.
pub(crate) fn with_json(request: request::Builder, json: &Value) -> Result<Request<Body>, Error> {
    let request = request.header(header::CONTENT_TYPE, "application/json");
    with_body(request, boxed(Bytes::from(json.to_string())))
}

/// Complete a request.
pub(crate) fn with_body(request: request::Builder, body: Body) -> Result<Request<Body>, Error> {
    request.body(body).map_err(|error| Error::Request(error.to_string()))
}

fn boxed(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// Scheme, host and port of a URL, for messages: its path may contain a signature.
pub(crate) fn origin(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("http");
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{scheme}://{authority}")
}

/// Read a body of at most `limit` bytes.
async fn read(origin: &str, body: Incoming, limit: usize) -> Result<Bytes, Error> {
    let collected = timeout(SILENCE_TIMEOUT, Limited::new(body, limit).collect()).await;
    let collected = collected.map_err(|_| Error::Timeout { origin: origin.to_owned() })?;
    Ok(collected.map_err(|error| Error::of_exchange(origin.to_owned(), &*error))?.to_bytes())
}

/// Media type of a message, without parameters.
fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.split(';').next()).unwrap_or_default().trim()
}

/// Error of a response that is not a success.
async fn rejection(origin: String, response: Response<Incoming>) -> Error {
    let (head, body) = response.into_parts();
    if media_type(&head.headers) == "application/problem+json"
        && let Ok(bytes) = read(&origin, body, MAX_PROBLEM_BYTES).await
        && let Ok(problem) = serde_json::from_slice::<Problem>(&bytes)
    {
        let after = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = after.and_then(|value| value.parse().ok()).map(Duration::from_secs);
        return Error::Rejected(Problem { retry_after, ..problem });
    }
    unexpected(origin, head.status, &head.headers)
}

/// Error of a response that the service does not send.
fn unexpected(origin: String, status: StatusCode, headers: &HeaderMap) -> Error {
    let content = match media_type(headers) {
        "" => "without a media type",
        media_type => media_type,
    };
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    let advice = match location.filter(|_| status.is_redirection()) {
        Some(location) => format!("it redirects to {location}; use that URL as the server"),
        None if status.is_server_error() => {
            "a proxy in front of the service may report an error; try again later".to_owned()
        }
        None => "check the URL of the server".to_owned(),
    };
    Error::Unexpected { origin, status, content: content.to_owned(), advice }
}
