//! Everything behind one port.

use std::collections::HashMap;
use std::sync::Arc;

use poem::http::{HeaderValue, Method, header};
use poem::middleware::Cors;
use poem::{Endpoint, EndpointExt, Response, Route, endpoint::make_sync};
use poem_openapi::{OpenApi, OpenApiService};

use crate::access::Surroundings;
use crate::accounts::Accounts;
use crate::downloads::Downloads;
use crate::events::JobEvents;
use crate::files::Files;
use crate::health::{Healths, Needs};
use crate::uploads::Uploads;
use crate::videos::Videos;
use crate::{Metrics, Service, access, docs};

type Operations = (Accounts, Uploads, Videos, JobEvents, Downloads, Files, Healths);

fn operations() -> OpenApiService<Operations, ()> {
    let all = (Accounts, Uploads, Videos, JobEvents, Downloads, Files, Healths);
    OpenApiService::new(all, "FIAP X", env!("CARGO_PKG_VERSION")).description(
        "Turns videos into ZIP archives of one picture a second. Register, log in, upload, watch, download. Errors are problem documents \
         (RFC 9457) whose `code` never changes.",
    )
}

/// The OpenAPI document of all operations, as JSON.
#[must_use]
pub fn document() -> String {
    operations().spec()
}

/// All operations, the document at `/openapi.json`, Swagger UI at `/docs`, and the figures at `/metrics` if they are on this port.
pub fn endpoint(service: Arc<Service>) -> impl Endpoint<Output = Response> + 'static {
    let operations = operations();
    let document = operations.spec();
    let mut routes = Route::new()
        .at("/openapi.json", make_sync(move |_| Response::builder().content_type("application/json").body(document.clone())))
        .at("/docs", docs::page(operations.swagger_ui_html()));
    if let Some(metrics) = service.parts.metrics.clone() {
        routes = routes.at("/metrics", figures(metrics));
    }
    let cors = cors(&service.settings.cors_origins);
    let needs = service.needs();
    let surroundings = Surroundings { methods: methods(), proxies: service.settings.proxies, stop: needs.stop.clone() };
    let surroundings = Arc::new(surroundings);
    let watched = move |endpoint, request| access::watched(endpoint, request, Arc::clone(&surroundings));
    routes.nest("/", operations).data(needs).data(service).with(cors).around(watched)
}

/// The figures at `/metrics`, and `/health` and `/ready`, for a port of their own: what operators ask every role.
pub fn operators_endpoint(needs: Needs, metrics: Metrics) -> impl Endpoint<Output = Response> + 'static {
    let healths = OpenApiService::new(Healths, "FIAP X", env!("CARGO_PKG_VERSION"));
    Route::new().at("/metrics", figures(metrics)).nest("/", healths).data(needs).map_to_response()
}

/// The figures in Prometheus's text format, version 0.0.4.
fn figures(metrics: Metrics) -> impl Endpoint<Output = Response> + 'static {
    make_sync(move |_| Response::builder().content_type("text/plain; version=0.0.4; charset=utf-8").body(metrics()))
}

/// The methods that each pattern of paths knows, as the header `Allow` lists them (RFC 9110, 10.2.1).
fn methods() -> HashMap<String, HeaderValue> {
    let mut methods: HashMap<String, Vec<String>> = HashMap::new();
    for path in Operations::meta().into_iter().flat_map(|group| group.paths) {
        let known = methods.entry(pattern(&path.path)).or_default();
        known.extend(path.operations.iter().map(|operation| operation.method.to_string()));
    }
    methods.into_iter().filter_map(|(pattern, known)| Some((pattern, HeaderValue::try_from(known.join(", ")).ok()?))).collect()
}

/// The pattern of one of the document's paths, as the router tells it: parameters are counted, not named.
fn pattern(path: &str) -> String {
    let mut count = 0..;
    let parts = path.split('/').map(|part| match part.strip_prefix('{').and_then(|_| count.next()) {
        Some(number) => format!(":param{number}"),
        None => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Who may use the interface from a page of another origin. Without an origin nobody may.
fn cors(origins: &[String]) -> Cors {
    let cors = Cors::new()
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::HeaderName::from_static("idempotency-key")])
        .expose_headers(["Link", "Location", "Retry-After", "X-Request-Id"]);
    if origins.iter().any(|origin| origin == "*") {
        return cors;
    }
    let origins = origins.to_vec();
    cors.allow_origins_fn(move |origin| origins.iter().any(|allowed| allowed == origin))
}
