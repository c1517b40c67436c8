//! Endpoints that a port serves.

use std::collections::HashMap;
use std::sync::Arc;

use poem::error::NotFoundError;
use poem::http::{HeaderMap, HeaderValue, Method, header};
use poem::middleware::Cors;
use poem::{Endpoint, EndpointExt, Request, Response, Route, endpoint::make_sync, get};
use poem_openapi::{OpenApi, OpenApiService};

use crate::document::{self, Operations};
use crate::fair_queue::FairQueue;
use crate::forwarded::Forwarded;
use crate::health::{HealthChecks, HealthOperations};
use crate::middleware::{self, ProblemPage, RequestContext};
use crate::operator_access::OperatorAccess;
use crate::service::{RenderMetrics, Service};
use crate::swagger_ui;
use crate::tus;
use crate::unsubscribing;

/// Maximum number of GET requests that are processed at a time. The others wait, those of the
/// network first that has used the least time lately: many requests of one client would otherwise
/// delay each query of the others. More would wait for a connection to the database, where the
/// order is that of arrival.
const REQUESTS_AT_ONCE: usize = database::SQLITE_READERS as usize;

/// All operations, the OpenAPI document at `/openapi.json`, Swagger UI at `/docs`, the link that
/// ends mails, metrics at `/metrics` for operators if they have no other port, and `page` at `/`
/// and below `/assets`. Browsers that open another address get `problem_page` in place of a problem
/// document.
pub fn endpoint(
    service: Arc<Service>,
    page: impl Endpoint<Output = Response> + 'static,
    problem_page: ProblemPage,
) -> impl Endpoint<Output = Response> + 'static {
    let json = document::document();
    let mut routes = Route::new()
        .at(
            "/openapi.json",
            get(make_sync(move |_| {
                Response::builder().content_type("application/json").body(json.clone())
            })),
        )
        .at("/docs", get(swagger_ui::page(document::swagger_ui_html())))
        .at(unsubscribing::PATH, unsubscribing::route());
    let metrics = service.parts.metrics.clone();
    let access = OperatorAccess::of_public_port(&service.settings, metrics.is_none());
    if let Some(metrics) = metrics.filter(|_| access != OperatorAccess::Nobody) {
        routes = routes.at("/metrics", get(metrics_endpoint(metrics, access)));
    }
    let cors = cors(&service.settings.cors_origins);
    let health = service.parts.health.clone();
    let context = Arc::new(request_context(&service, problem_page));
    let process =
        move |endpoint, request| middleware::process(endpoint, request, Arc::clone(&context));
    // A nested route at `/` would also match `/` itself, so the page is routed before it.
    let page = Arc::new(page);
    let with_page = move |routes: Arc<Route>, request: Request| {
        let page = Arc::clone(&page);
        async move {
            let path = request.uri().path();
            if path == "/" || path.starts_with("/assets/") {
                page.call(request).await
            } else {
                routes.call(request).await
            }
        }
    };
    let public_url = service.settings.public_url.clone();
    let prepared = move |mut request: Request| {
        tus::override_method(&mut request);
        let forwarded = request.data::<Forwarded>().and_then(|forwarded| forwarded.host.as_deref());
        if is_same_origin(request.headers(), forwarded, public_url.as_deref()) {
            request.headers_mut().remove(header::ORIGIN);
        }
        async { Ok(request) }
    };
    routes
        .nest("/", document::operations())
        .around(with_page)
        .data(health)
        .data(access)
        .data(service)
        .with(cors)
        .before(prepared)
        .around(process)
}

fn request_context(service: &Service, problem_page: ProblemPage) -> RequestContext {
    RequestContext {
        allowed_methods: allowed_methods(),
        trusted_proxies: service.settings.trusted_proxies,
        current_traceparent: service.parts.current_traceparent,
        stop: service.parts.stop.clone(),
        requests: FairQueue::new(REQUESTS_AT_ONCE, 0),
        problem_page,
    }
}

/// Return whether a request comes from a page of this service, by its `Origin` (Fetch, 3.1). Such
/// requests need no permission by CORS. `forwarded` is the host that a trusted proxy reports.
fn is_same_origin(headers: &HeaderMap, forwarded: Option<&str>, public_url: Option<&str>) -> bool {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = value(header::ORIGIN) else { return false };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some_and(|host| forwarded.or_else(|| value(header::HOST)) == Some(host))
        || public_url.is_some_and(|url| url.trim_end_matches('/') == origin)
}

/// Endpoint for operators on a separate port: `/metrics`, `/health` and `/ready`.
pub fn operators_endpoint(
    health: HealthChecks,
    metrics: RenderMetrics,
) -> impl Endpoint<Output = Response> + 'static {
    let operations = OpenApiService::new(HealthOperations, "FIAP X", env!("CARGO_PKG_VERSION"));
    Route::new()
        .at("/metrics", get(metrics_endpoint(metrics, OperatorAccess::Everyone)))
        .nest("/", operations)
        .data(health)
        .data(OperatorAccess::Everyone)
        .map_to_response()
        .after(|result| async { Ok(middleware::with_default_headers(result)) })
}

/// Metrics in Prometheus's text format, version 0.0.4.
fn metrics_endpoint(
    render: RenderMetrics,
    access: OperatorAccess,
) -> impl Endpoint<Output = Response> + 'static {
    make_sync(move |request: Request| {
        if !access.permits(&request) {
            return Err(poem::Error::from(NotFoundError));
        }
        let response = Response::builder().content_type("text/plain; version=0.0.4; charset=utf-8");
        Ok(response.body(render()))
    })
}

/// Path patterns outside of the operations.
const DOCUMENTS: [&str; 5] = ["/", "/assets/:version/:name", "/docs", "/openapi.json", "/metrics"];

/// Methods of each path pattern, as the value of `Allow` (RFC 9110, 10.2.1).
fn allowed_methods() -> HashMap<String, HeaderValue> {
    let mut methods: HashMap<String, Vec<String>> = DOCUMENTS
        .map(|pattern| {
            (pattern.to_owned(), vec![Method::GET.to_string(), Method::HEAD.to_string()])
        })
        .into();
    let link = [Method::GET, Method::HEAD, Method::POST].map(|method| method.to_string());
    methods.insert(unsubscribing::PATH.to_owned(), link.into());
    for path in Operations::meta().into_iter().flat_map(|group| group.paths) {
        let allowed = methods.entry(route_pattern(&path.path)).or_default();
        allowed.extend(path.operations.iter().map(|operation| operation.method.to_string()));
    }
    methods
        .into_iter()
        .filter_map(|(pattern, allowed)| {
            Some((pattern, HeaderValue::try_from(allowed.join(", ")).ok()?))
        })
        .collect()
}

/// Pattern of a path of the document in the router's form, with numbered parameters.
fn route_pattern(path: &str) -> String {
    let mut count = 0..;
    let parts =
        path.split('/').map(|part| match part.strip_prefix('{').and_then(|_| count.next()) {
            Some(number) => format!(":param{number}"),
            None => part.to_owned(),
        });
    parts.collect::<Vec<_>>().join("/")
}

/// CORS for pages of other origins. Without origins, none is allowed.
fn cors(origins: &[String]) -> Cors {
    let cors = Cors::new()
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::HeaderName::from_static("idempotency-key"),
        ])
        .allow_headers(tus::REQUEST_HEADERS)
        .expose_headers([
            "Content-Disposition",
            "ETag",
            "Link",
            "Location",
            "RateLimit-Limit",
            "RateLimit-Remaining",
            "RateLimit-Reset",
            "Retry-After",
            "X-Request-Id",
        ])
        .expose_headers(tus::RESPONSE_HEADERS);
    if origins.iter().any(|origin| origin == "*") {
        return cors;
    }
    let origins = origins.to_vec();
    cors.allow_origins_fn(move |origin| origins.iter().any(|allowed| allowed == origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_its_own_origin() {
        let is_same = |origin: &str, host: &str, public_url| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::ORIGIN, origin), (header::HOST, host)] {
                headers.insert(name, value.parse().expect("a valid header value"));
            }
            is_same_origin(&headers, None, public_url)
        };
        assert!(is_same("http://localhost:8000", "localhost:8000", None));
        let public_url = Some("https://videos.example.com/");
        assert!(is_same("https://videos.example.com", "10.0.0.7:8000", public_url));
        for other in [
            "https://evil.example.com",
            "http://localhost:8001",
            "null",
            "http://localhost:8000.example.com",
        ] {
            assert!(!is_same(other, "localhost:8000", public_url), "{other}");
        }
        assert!(!is_same_origin(&HeaderMap::new(), None, None));
        let headers: HeaderMap = [
            (header::ORIGIN, HeaderValue::from_static("https://videos.example.com")),
            (header::HOST, HeaderValue::from_static("api:8000")),
        ]
        .into_iter()
        .collect();
        assert!(is_same_origin(&headers, Some("videos.example.com"), None));
        assert!(!is_same_origin(&headers, Some("api:8000"), None));
    }
}
