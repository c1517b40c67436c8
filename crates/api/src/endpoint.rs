//! Everything behind one port.

use std::collections::HashMap;
use std::sync::Arc;

use poem::http::{HeaderMap, HeaderValue, Method, header};
use poem::middleware::Cors;
use poem::{Endpoint, EndpointExt, Request, Response, Route, endpoint::make_sync};
use poem_openapi::{OpenApi, OpenApiService};

use crate::access::Surroundings;
use crate::accounts::Accounts;
use crate::downloads::Downloads;
use crate::events::JobEvents;
use crate::files::Files;
use crate::frames::Frames;
use crate::health::{Healths, Needs};
use crate::uploads::Uploads;
use crate::videos::Videos;
use crate::{Metrics, Service, access, docs};

type Operations = (Accounts, Uploads, Videos, JobEvents, Frames, Downloads, Files, Healths);

fn operations() -> OpenApiService<Operations, ()> {
    let all = (Accounts, Uploads, Videos, JobEvents, Frames, Downloads, Files, Healths);
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

/// All operations, the document at `/openapi.json`, Swagger UI at `/docs`, and the figures at
/// `/metrics` if they are on this port; together with the `page`, which has the path `/` and all
/// below `/assets`.
pub fn endpoint(
    service: Arc<Service>,
    page: impl Endpoint<Output = Response> + 'static,
) -> impl Endpoint<Output = Response> + 'static {
    let operations = operations();
    let document = operations.spec();
    let mut routes = Route::new()
        .at(
            "/openapi.json",
            make_sync(move |_| {
                Response::builder().content_type("application/json").body(document.clone())
            }),
        )
        .at("/docs", docs::page(operations.swagger_ui_html()));
    if let Some(metrics) = service.parts.metrics.clone() {
        routes = routes.at("/metrics", figures(metrics));
    }
    let cors = cors(&service.settings.cors_origins);
    let needs = service.needs();
    let surroundings = Arc::new(Surroundings {
        methods: methods(),
        proxies: service.settings.proxies,
        here: service.parts.here,
        stop: needs.stop.clone(),
    });
    let watched =
        move |endpoint, request| access::watched(endpoint, request, Arc::clone(&surroundings));
    // What is nested at `/` takes `/` itself, too, whatever else the router has there.
    let page = Arc::new(page);
    let joined = move |routes: Arc<Route>, request: Request| {
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
    let at_home = move |mut request: Request| {
        if is_at_home(request.headers(), public_url.as_deref()) {
            request.headers_mut().remove(header::ORIGIN);
        }
        async { Ok(request) }
    };
    routes
        .nest("/", operations)
        .around(joined)
        .data(needs)
        .data(service)
        .with(cors)
        .before(at_home)
        .around(watched)
}

/// Whether a request comes from a page of this service itself, as browsers tell it with whatever
/// may change something (Fetch, 3.1). Those are nobody else's to allow.
fn is_at_home(headers: &HeaderMap, public_url: Option<&str>) -> bool {
    let told = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = told(header::ORIGIN) else { return false };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some_and(|host| told(header::HOST) == Some(host))
        || public_url.is_some_and(|url| url.trim_end_matches('/') == origin)
}

/// The figures at `/metrics`, and `/health` and `/ready`, for a port of their own: what operators
/// ask every role.
pub fn operators_endpoint(
    needs: Needs,
    metrics: Metrics,
) -> impl Endpoint<Output = Response> + 'static {
    let healths = OpenApiService::new(Healths, "FIAP X", env!("CARGO_PKG_VERSION"));
    Route::new().at("/metrics", figures(metrics)).nest("/", healths).data(needs).map_to_response()
}

/// The figures in Prometheus's text format, version 0.0.4.
fn figures(metrics: Metrics) -> impl Endpoint<Output = Response> + 'static {
    make_sync(move |_| {
        Response::builder().content_type("text/plain; version=0.0.4; charset=utf-8").body(metrics())
    })
}

/// The methods that each pattern of paths knows, as the header `Allow` lists them (RFC 9110,
/// 10.2.1).
fn methods() -> HashMap<String, HeaderValue> {
    let mut methods: HashMap<String, Vec<String>> = HashMap::new();
    for path in Operations::meta().into_iter().flat_map(|group| group.paths) {
        let known = methods.entry(pattern(&path.path)).or_default();
        known.extend(path.operations.iter().map(|operation| operation.method.to_string()));
    }
    methods
        .into_iter()
        .filter_map(|(pattern, known)| {
            Some((pattern, HeaderValue::try_from(known.join(", ")).ok()?))
        })
        .collect()
}

/// The pattern of one of the document's paths, as the router tells it: parameters are counted, not
/// named.
fn pattern(path: &str) -> String {
    let mut count = 0..;
    let parts =
        path.split('/').map(|part| match part.strip_prefix('{').and_then(|_| count.next()) {
            Some(number) => format!(":param{number}"),
            None => part.to_owned(),
        });
    parts.collect::<Vec<_>>().join("/")
}

/// Who may use the interface from a page of another origin. Without an origin nobody may.
fn cors(origins: &[String]) -> Cors {
    let cors = Cors::new()
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::HeaderName::from_static("idempotency-key"),
        ])
        .expose_headers(["Link", "Location", "Retry-After", "X-Request-Id"]);
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
    fn the_page_of_the_service_itself_is_at_home() {
        let at_home = |origin: &str, host: &str, public_url| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::ORIGIN, origin), (header::HOST, host)] {
                headers.insert(name, value.parse().expect("it is a value"));
            }
            is_at_home(&headers, public_url)
        };
        assert!(at_home("http://localhost:8000", "localhost:8000", None));
        assert!(at_home(
            "https://videos.example.com",
            "10.0.0.7:8000",
            Some("https://videos.example.com/")
        ));
        for foreign in [
            "https://evil.example.com",
            "http://localhost:8001",
            "null",
            "http://localhost:8000.example.com",
        ] {
            assert!(
                !at_home(foreign, "localhost:8000", Some("https://videos.example.com")),
                "{foreign}"
            );
        }
        assert!(!is_at_home(&HeaderMap::new(), None));
    }
}
