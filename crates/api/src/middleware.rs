//! Processing common to all requests: id, log line, trace, metrics and security headers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use jobs::trace::CurrentTraceparent;
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, IntoResponse, PathPattern, Request, Response, Result};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field, info, info_span};
use uuid::Uuid;

use crate::client::{self, ClientAddress, Network};
use crate::fair_queue::FairQueue;
use crate::forwarded::Forwarded;
use crate::problem::ProblemCode;
use crate::request_turn::RequestTurn;
use crate::{drain, problem, tus};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Header for search engines, which list nothing that a link to a job leads to.
const ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");
/// Beginnings of the paths that links to jobs lead to.
const SHARED_PATHS: [&str; 2] = ["/shared", "/files/shared/"];

/// Headers of every response. HTML pages replace the content security policy with their own.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
    ),
];

/// Document of the page for a browser that opened an address with a problem, by the problem's code.
pub type ProblemPage = fn(&str) -> Response;

/// Context of all requests.
pub struct RequestContext {
    /// Methods of each path pattern, as the value of `Allow`.
    pub allowed_methods: HashMap<String, HeaderValue>,
    /// Number of trusted proxies in front of the service.
    pub trusted_proxies: usize,
    /// Position of the caller in a trace.
    pub current_traceparent: CurrentTraceparent,
    /// Cancelled when the process has to stop. Responses close their connections then, so that
    /// clients send the next request to another process.
    pub stop: CancellationToken,
    /// GET requests that are processed at a time, until the head of their response is complete.
    pub requests: Arc<FairQueue<Network>>,
    /// Document that states a problem to a user.
    pub problem_page: ProblemPage,
}

/// Paths that probes request, which must not wait for others.
const PROBES: [&str; 3] = ["/health", "/ready", "/metrics"];

/// Process a request with an endpoint.
pub async fn process<E: Endpoint>(
    endpoint: Arc<E>,
    mut request: Request,
    context: Arc<RequestContext>,
) -> Result<Response> {
    let close_connection = context.stop.is_cancelled();
    let forwarded = Forwarded::of(request.headers(), context.trusted_proxies);
    let client = ClientAddress::of(&request, &forwarded);
    request.set_data(client);
    request.set_data(forwarded);
    let id = Uuid::now_v7();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let is_navigation = is_navigation(&request);
    let span = span(&request, id, client, context.current_traceparent);
    let started = Instant::now();
    drain::drain_on_drop(&mut request);
    // Other requests have bodies, and a client that sends one slowly must not occupy a turn.
    let turn = if method == Method::GET && !PROBES.contains(&path.as_str()) {
        Some(context.requests.turn(client.network(), 0).await)
    } else {
        None
    };
    let turn = RequestTurn::new(turn);
    request.set_data(turn.clone());
    let result = endpoint.call(request).instrument(span.clone()).await;
    turn.end();
    let RoutedResponse { mut response, route } = routed_response(result, &span);
    record(&span, &method, &path, &route, &response, started);
    if is_navigation && let Some(ProblemCode(code)) = response.data::<ProblemCode>().copied() {
        show_page(&mut response, (context.problem_page)(code));
    }

    let status = response.status();
    let headers = response.headers_mut();
    tus::complete_response(&path, status, headers);
    if SHARED_PATHS.iter().any(|shared| path.starts_with(shared)) {
        headers.insert(ROBOTS_TAG, HeaderValue::from_static("noindex"));
    }
    if close_connection {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    set_default_headers(headers);
    if status == StatusCode::METHOD_NOT_ALLOWED
        && let Some(methods) = context.allowed_methods.get(&route)
    {
        response.headers_mut().insert(header::ALLOW, methods.clone());
    }
    Ok(response)
}

/// Return whether a browser opens an address: it prefers HTML to JSON (RFC 9110, 12.5.1), unlike
/// the clients of the API.
fn is_navigation(request: &Request) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    request.method() == Method::GET
        && accept.is_some_and(|accept| accept.contains("text/html") && !accept.contains("json"))
}

/// Replace the body of a response, and the headers that describe it, by those of the page.
fn show_page(response: &mut Response, page: Response) {
    let (parts, body) = page.into_parts();
    response.headers_mut().extend(parts.headers);
    response.set_body(body);
}

/// Span of a request, in the trace of its sender if it names one.
fn span(
    request: &Request,
    id: Uuid,
    client: ClientAddress,
    current_traceparent: CurrentTraceparent,
) -> Span {
    let sender = client::traceparent(request);
    let span = info_span!(
        "request",
        request_id = %id,
        method = %request.method(),
        client = client.address().map(field::display),
        traceparent = sender,
        user_id = field::Empty,
        key_id = field::Empty,
        share_id = field::Empty,
        route = field::Empty,
        status = field::Empty,
    );
    if sender.is_none() {
        span.record("traceparent", span.in_scope(current_traceparent));
    }
    span
}

/// Response of an endpoint.
struct RoutedResponse {
    response: Response,
    /// Pattern of the endpoint's path, or `none`.
    route: String,
}

fn routed_response<R: IntoResponse>(result: Result<R>, span: &Span) -> RoutedResponse {
    let (response, pattern) = match result {
        Ok(response) => {
            let response = response.into_response();
            let pattern = response.data::<PathPattern>().cloned();
            (response, pattern)
        }
        Err(error) => {
            let pattern = error.data::<PathPattern>().cloned();
            (span.in_scope(|| problem::from_framework(error)), pattern)
        }
    };
    let route = pattern.map(|PathPattern(pattern)| pattern.to_string());
    let route = route.filter(|pattern| !pattern.is_empty()).unwrap_or_else(|| "none".to_owned());
    RoutedResponse { response, route }
}

/// Record a response in the span, the metrics and the log.
fn record(
    span: &Span,
    method: &Method,
    path: &str,
    route: &str,
    response: &Response,
    started: Instant,
) {
    let (duration, status) = (started.elapsed(), response.status());
    let code = response.data::<ProblemCode>().map(|ProblemCode(code)| *code);
    span.record("route", route).record("status", status.as_u16());
    // The pattern instead of the path: ids would create a time series each.
    let labels = [
        ("method", method.to_string()),
        ("route", route.to_owned()),
        ("status", status.as_u16().to_string()),
    ];
    metrics::counter!("fiapx_requests_total", &labels).increment(1);
    metrics::histogram!("fiapx_request_seconds", &labels[..2]).record(duration.as_secs_f64());
    let (status, duration_ms) = (status.as_u16(), duration.as_millis() as u64);
    span.in_scope(|| info!(path, status, code, duration_ms, "request completed"));
}

/// Response of an endpoint outside of [`process`], with the same headers.
pub fn with_default_headers(result: Result<Response>) -> Response {
    let mut response = result.unwrap_or_else(problem::from_framework);
    set_default_headers(response.headers_mut());
    response
}

/// Set the security headers, and forbid caching: responses depend on user and time.
fn set_default_headers(headers: &mut HeaderMap) {
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
