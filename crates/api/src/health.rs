//! Health of the process.

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use database::Database;
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use storage::Storage;
use tokio_util::sync::CancellationToken;

use crate::tags::Tag;

/// Dependencies whose health is checked. Clones share them.
#[derive(Clone)]
pub struct HealthChecks {
    /// Users and jobs.
    pub database: Database,
    /// Videos and archives.
    pub storage: Arc<dyn Storage>,
    /// Messages.
    pub broker: Arc<dyn Broker>,
    /// Cancelled when the process has to stop: load balancers should send requests elsewhere.
    pub stop: CancellationToken,
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
#[oai(example)]
struct Dependency {
    /// `database`, `storage` or `broker`.
    name: String,
    /// Whether the dependency is reachable.
    reached: bool,
}

impl Dependency {
    fn new(name: &str, reached: bool) -> Self {
        Self { name: name.to_owned(), reached }
    }
}

impl Example for Dependency {
    fn example() -> Self {
        Self::new("database", true)
    }
}

/// Readiness of the process.
#[derive(Object)]
#[oai(example)]
pub struct Readiness {
    /// Whether all dependencies are reachable and the process is not about to stop.
    ready: bool,
    /// Dependencies. Empty if the process is about to stop.
    parts: Vec<Dependency>,
}

impl Readiness {
    fn new(database: bool, storage: bool, broker: bool) -> Self {
        let checks = [("database", database), ("storage", storage), ("broker", broker)];
        Self {
            ready: database && storage && broker,
            parts: checks.map(|(name, reached)| Dependency::new(name, reached)).into(),
        }
    }

    /// Example of a process whose broker is unreachable.
    pub fn not_ready_example() -> Self {
        Self::new(true, true, false)
    }
}

impl Example for Readiness {
    fn example() -> Self {
        Self::new(true, true, true)
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
    /// All dependencies are reachable.
    #[oai(status = 200)]
    Ready(Json<Readiness>),
    /// A dependency is unreachable, or the process is about to stop.
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
    /// Checks whether the database, the file store and the broker are reachable.
    #[oai(path = "/ready", method = "get", operation_id = "getReadiness")]
    async fn ready(&self, checks: Data<&HealthChecks>) -> ReadinessResponse {
        if checks.stop.is_cancelled() {
            let readiness = Readiness { ready: false, parts: Vec::new() };
            return ReadinessResponse::NotReady(Json(readiness));
        }
        let (database, storage, broker) = tokio::join!(
            is_reachable(checks.database.check()),
            is_reachable(checks.storage.check()),
            is_reachable(checks.broker.check())
        );
        let readiness = Readiness::new(database, storage, broker);
        if readiness.ready {
            ReadinessResponse::Ready(Json(readiness))
        } else {
            ReadinessResponse::NotReady(Json(readiness))
        }
    }
}

/// Return whether a check succeeds within the timeout.
async fn is_reachable<E>(check: impl Future<Output = Result<(), E>>) -> bool {
    const TIMEOUT: Duration = Duration::from_secs(2);
    matches!(tokio::time::timeout(TIMEOUT, check).await, Ok(Ok(())))
}
