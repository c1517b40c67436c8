//! What every request gets: an id, a line in the log, its figures, and headers that keep browsers from being used against their users.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use poem::http::{HeaderName, HeaderValue, StatusCode, header};
use poem::{Endpoint, IntoResponse, PathPattern, Request, Response, Result};
use tracing::{Instrument, field, info, info_span};
use uuid::Uuid;

use crate::{drain, problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers of every answer. A page of our own says more in its content security policy.
const SECURITY: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

/// Do a request, whatever comes of it. `methods` are those that each pattern of paths knows; a `last` answer closes its connection, so
/// that the client's next request goes to a process that stays.
pub async fn watched<E: Endpoint>(
    endpoint: Arc<E>,
    mut request: Request,
    methods: Arc<HashMap<String, HeaderValue>>,
    last: bool,
) -> Result<Response> {
    let id = Uuid::now_v7();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = info_span!("request", request_id = %id, %method, user_id = field::Empty);
    let started = Instant::now();
    drain::drained(&mut request);
    let result = endpoint.call(request).instrument(span.clone()).await;
    // The pattern, not the path: ids would make a series of figures each.
    let (mut response, route) = match result {
        Ok(response) => {
            let response = response.into_response();
            let route = response.data().cloned();
            (response, route)
        }
        Err(error) => {
            let route = error.data().cloned();
            (span.in_scope(|| problem::of_framework(error)), route)
        }
    };
    let route = route.map(|PathPattern(pattern)| pattern.to_string()).filter(|pattern| !pattern.is_empty());
    let route = route.unwrap_or_else(|| "none".to_owned());
    let (status, took) = (response.status(), started.elapsed());
    let allowed = methods.get(&route).filter(|_| status == StatusCode::METHOD_NOT_ALLOWED);
    let labels = [("method", method.to_string()), ("route", route.clone()), ("status", status.as_u16().to_string())];
    metrics::counter!("fiapx_requests_total", &labels).increment(1);
    metrics::histogram!("fiapx_request_seconds", &labels[..2]).record(took.as_secs_f64());
    span.in_scope(|| info!(path, status = status.as_u16(), duration_ms = took.as_millis() as u64, "answered"));

    let headers = response.headers_mut();
    if last {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(methods) = allowed {
        headers.insert(header::ALLOW, methods.clone());
    }
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    for (name, value) in SECURITY {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    // Answers are about one user and one moment.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    Ok(response)
}
