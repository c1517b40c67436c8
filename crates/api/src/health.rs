//! Health of the process.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jobs::backoff::jittered;
use poem::Request;
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use tokio_util::sync::CancellationToken;

use crate::dependency::Dependency;
use crate::operator_access::OperatorAccess;
use crate::tags::Tag;

/// Dependencies whose health is checked. Clones share them and the results of their checks.
#[derive(Clone)]
pub struct HealthChecks {
    dependencies: Arc<[Dependency]>,
    stop: CancellationToken,
}

impl HealthChecks {
    /// Checks of these dependencies. `stop` is cancelled when the process has to stop: load
    /// balancers should send requests elsewhere then.
    #[must_use]
    pub fn new(dependencies: Vec<Dependency>, stop: CancellationToken) -> Self {
        Self { dependencies: dependencies.into(), stop }
    }

    /// Check the dependencies again and again, so that their metrics are up to date even if nobody
    /// asks for the readiness. Runs until it is dropped.
    pub async fn monitor(self) {
        /// Maximum time between two checks.
        const INTERVAL: Duration = Duration::from_secs(10);
        loop {
            self.readiness().await;
            tokio::time::sleep(jittered(INTERVAL, rand::random())).await;
        }
    }

    async fn readiness(&self) -> Readiness {
        let views = self.dependencies.iter().map(|dependency| async {
            DependencyView {
                name: dependency.name().to_owned(),
                reached: dependency.is_reached().await,
                required: dependency.is_required(),
            }
        });
        Readiness::of(join_all(views).await)
    }
}

/// Liveness of the process.
#[derive(Object)]
#[oai(example)]
struct Health {
    /// Always `ok`.
    status: String,
    /// Version of the program.
    version: String,
}

impl Health {
    fn new() -> Self {
        Self { status: "ok".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

impl Example for Health {
    fn example() -> Self {
        Self::new()
    }
}

/// Result of the check of a dependency.
#[derive(Object)]
#[oai(rename = "Dependency", example)]
struct DependencyView {
    /// `database`, `storage`, `broker`, `limits` (the counters of rate limits) or `mail`.
    name: String,
    /// Whether the dependency was reachable, at most a few seconds ago; for `mail`, at most five
    /// minutes.
    reached: bool,
    /// Whether the process is not ready while it cannot reach the dependency.
    required: bool,
}

impl DependencyView {
    fn new(name: &str, reached: bool, required: bool) -> Self {
        Self { name: name.to_owned(), reached, required }
    }
}

impl Example for DependencyView {
    fn example() -> Self {
        Self::new("database", true, true)
    }
}

/// Readiness of the process.
#[derive(Object)]
#[oai(example)]
pub struct Readiness {
    /// Whether all required dependencies are reachable and the process is not about to stop.
    ready: bool,
    /// Dependencies. Empty if the process is about to stop, and in responses to others than
    /// operators.
    parts: Vec<DependencyView>,
}

impl Readiness {
    fn of(parts: Vec<DependencyView>) -> Self {
        Self { ready: parts.iter().all(|part| part.reached || !part.required), parts }
    }

    /// Example of a process that reaches its database, and its store or not. A lost broker alone
    /// leaves it ready.
    fn with_storage(reached: bool) -> Self {
        Self::of(vec![
            DependencyView::new("database", true, true),
            DependencyView::new("storage", reached, true),
            DependencyView::new("broker", false, false),
        ])
    }

    /// Example of a process whose store is unreachable.
    pub fn not_ready_example() -> Self {
        Self::with_storage(false)
    }
}

impl Example for Readiness {
    fn example() -> Self {
        Self::with_storage(true)
    }
}

#[derive(ApiResponse)]
enum HealthResponse {
    /// The process is alive.
    #[oai(status = 200)]
    Alive(Json<Health>),
}

#[derive(ApiResponse)]
enum ReadinessResponse {
    /// All required dependencies are reachable.
    #[oai(status = 200)]
    Ready(Json<Readiness>),
    /// A required dependency is unreachable, or the process is about to stop.
    #[oai(status = 503)]
    NotReady(Json<Readiness>),
}

/// Operations on the health of the process.
pub struct HealthOperations;

#[OpenApi(tag = "Tag::Service")]
#[expect(clippy::unused_async, reason = "operations must be async")]
impl HealthOperations {
    /// Liveness
    ///
    /// Returns 200 while the process runs. No dependency is checked.
    #[oai(path = "/health", method = "get", operation_id = "getHealth")]
    async fn health(&self) -> HealthResponse {
        HealthResponse::Alive(Json(Health::new()))
    }

    /// Readiness
    ///
    /// Checks the dependencies of the process, such as the database, the file store and the broker.
    /// The process is ready if it reaches those that its work requires; an API accepts uploads
    /// without the broker, and publishes them later. Concurrent requests share one check, whose
    /// result is valid for two seconds. Only operators see the dependencies.
    #[oai(path = "/ready", method = "get", operation_id = "getReadiness")]
    async fn ready(
        &self,
        request: &Request,
        checks: Data<&HealthChecks>,
        access: Data<&OperatorAccess>,
    ) -> ReadinessResponse {
        let mut readiness = if checks.stop.is_cancelled() {
            Readiness { ready: false, parts: Vec::new() }
        } else {
            checks.readiness().await
        };
        if !access.permits(request) {
            readiness.parts.clear();
        }
        if readiness.ready {
            ReadinessResponse::Ready(Json(readiness))
        } else {
            ReadinessResponse::NotReady(Json(readiness))
        }
    }
}
