//! What every request gets: an id, a line in the log, its place in a trace, its figures, and
//! headers that keep browsers from being used against their users.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use poem::http::{HeaderName, HeaderValue, StatusCode, header};
use poem::{Endpoint, IntoResponse, PathPattern, Request, Response, Result};
use tokio_util::sync::CancellationToken;
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

/// What is known about requests before they come.
pub struct Surroundings {
    /// The methods that each pattern of paths knows.
    pub methods: HashMap<String, HeaderValue>,
    /// How many proxies of ours stand before the service.
    pub proxies: usize,
    /// Tells where in a trace a request is.
    pub here: jobs::trace::CurrentTraceparent,
    /// Turns when the process has to stop. Answers close their connections then, so that the next
    /// request goes to a process that stays.
    pub stop: CancellationToken,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(Option<IpAddr>);

impl ClientAddress {
    /// The sender of a request, as the outermost of our proxies saw it. What a header says beyond
    /// that, anybody may have written.
    fn of(request: &Request, proxies: usize) -> Self {
        let told = || {
            let headers = request.headers().get_all("x-forwarded-for").iter();
            let hops: Vec<&str> = headers
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .collect();
            hops.get(hops.len().checked_sub(proxies)?)?.trim().parse().ok()
        };
        let peer = request.remote_addr().as_socket_addr().map(SocketAddr::ip);
        Self(if proxies > 0 { told() } else { peer })
    }

    /// What is one household's or company's: an IPv4 address, or the first 64 bits of an IPv6 one,
    /// which each has to itself (RFC 6177).
    pub fn network(self) -> Option<IpAddr> {
        match self.0?.to_canonical() {
            IpAddr::V6(address) => Some(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()),
            IpAddr::V4(address) => Some(address.into()),
        }
    }
}

/// Where in a trace a request comes from, as its sender says (W3C Trace Context, 3.2).
pub fn traceparent(request: &Request) -> Option<&str> {
    request.header("traceparent").filter(|traceparent| jobs::trace::trace_id(traceparent).is_some())
}

/// Do a request, whatever comes of it.
pub async fn watched<E: Endpoint>(
    endpoint: Arc<E>,
    mut request: Request,
    surroundings: Arc<Surroundings>,
) -> Result<Response> {
    let Surroundings { methods, proxies, here, stop } = &*surroundings;
    let (last, client) = (stop.is_cancelled(), ClientAddress::of(&request, *proxies));
    request.set_data(client);
    let id = Uuid::now_v7();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let sender = traceparent(&request);
    let span = info_span!(
        "request",
        request_id = %id,
        %method,
        client = client.0.map(field::display),
        traceparent = sender,
        user_id = field::Empty,
        route = field::Empty,
        status = field::Empty,
    );
    if sender.is_none() {
        span.record("traceparent", span.in_scope(here));
    }
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
    let route =
        route.map(|PathPattern(pattern)| pattern.to_string()).filter(|pattern| !pattern.is_empty());
    let route = route.unwrap_or_else(|| "none".to_owned());
    let (status, took) = (response.status(), started.elapsed());
    span.record("route", &route).record("status", status.as_u16());
    let allowed = methods.get(&route).filter(|_| status == StatusCode::METHOD_NOT_ALLOWED);
    let labels = [
        ("method", method.to_string()),
        ("route", route.clone()),
        ("status", status.as_u16().to_string()),
    ];
    metrics::counter!("fiapx_requests_total", &labels).increment(1);
    metrics::histogram!("fiapx_request_seconds", &labels[..2]).record(took.as_secs_f64());
    span.in_scope(|| {
        info!(path, status = status.as_u16(), duration_ms = took.as_millis() as u64, "answered");
    });

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
