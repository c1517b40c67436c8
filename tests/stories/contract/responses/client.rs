//! Client that validates every response, and the requests that several topics send.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::contract::specification::Document;
use crate::harness::client::{User, form};
use crate::harness::service::Service;

/// Clip that is processed fast.
pub const SHORT: &str = "good/shorter_than_half_a_second.mp4";

/// Operations on a job. The last deletes it.
pub const ON_JOB: [(&str, &str); 14] = [
    ("GET", "/videos/{}"),
    ("GET", "/jobs/{}/status"),
    ("GET", "/jobs/{}/events"),
    ("GET", "/jobs/{}/download"),
    ("GET", "/jobs/{}/archive?frames=1"),
    ("GET", "/jobs/{}/frames"),
    ("GET", "/jobs/{}/frames/1"),
    ("GET", "/jobs/{}/thumbnail"),
    ("GET", "/videos/{}/forecast"),
    ("POST", "/videos/{}/jobs"),
    ("GET", "/jobs/{}/shares"),
    ("POST", "/jobs/{}/shares"),
    ("DELETE", "/jobs/{}/shares/0190a000-0000-7000-8000-0000000000aa"),
    ("DELETE", "/videos/{}"),
];

/// Operations on the previews of a job, which has them until it ends.
pub const PREVIEWS: [&str; 2] = ["/jobs/{}/previews", "/jobs/{}/previews/7"];

/// Request of a user for one of these operations. Bodies are empty objects.
pub fn on_job(user: &User<'_>, method: &Method, path: &str) -> RequestBuilder {
    with_body(user.request(method.clone(), path), method)
}

/// Request with the body that its method needs.
pub fn with_body(request: RequestBuilder, method: &Method) -> RequestBuilder {
    if *method == Method::POST { request.json(&serde_json::json!({})) } else { request }
}

/// Client that validates responses.
pub struct CheckedClient<'a> {
    pub service: &'a Service,
    pub document: Document,
    /// Operations and statuses of the responses so far.
    pub seen: Mutex<BTreeSet<(String, u16)>>,
}

impl CheckedClient<'_> {
    /// Send a request, whose response must have this status and match the document.
    pub async fn expect(&self, expected: u16, request: RequestBuilder) -> (HeaderMap, Value) {
        let request = request.build().expect("the request is valid");
        let operation = self.document.operation(request.method(), request.url().path());
        let response = reqwest::Client::new().execute(request).await.expect("the service responds");
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.expect("the response is complete");
        let name = &operation.name;
        assert_eq!(status, expected, "{name}: {}", String::from_utf8_lossy(&body));
        if let Err(error) = self.document.validate(&operation, status, &headers, &body) {
            panic!(
                "{name} returned {status}, but {error}: {headers:?} {}",
                String::from_utf8_lossy(&body)
            );
        }
        self.seen.lock().insert((name.clone(), expected));
        (headers, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Request without an access token.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.service.request(Method::GET, path)
    }

    /// Send JSON without an access token.
    pub async fn post(&self, expected: u16, path: &str, body: &Value) -> Value {
        self.expect(expected, self.service.request(Method::POST, path).json(body)).await.1
    }
}

/// Upload of a user.
pub fn upload(user: &User<'_>, files: &[(&str, Vec<u8>)]) -> RequestBuilder {
    user.request(Method::POST, "/videos/upload").multipart(form(files))
}
