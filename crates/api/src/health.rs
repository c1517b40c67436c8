//! Whether the service is well.

use std::sync::Arc;
use std::time::Duration;

use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};

use crate::Service;
use crate::accounts::Group;

/// The process is alive.
#[derive(Object)]
struct Health {
    /// Always `ok`.
    status: String,
    /// Version of the program.
    version: String,
}

/// Whether a part was reached.
#[derive(Object)]
struct Part {
    /// `database`, `storage` or `broker`.
    name: String,
    /// Whether it was reached.
    reached: bool,
}

/// Whether requests can be served.
#[derive(Object)]
struct Readiness {
    /// Whether all parts were reached and the process is not about to stop.
    ready: bool,
    /// The parts.
    parts: Vec<Part>,
}

#[derive(ApiResponse)]
enum Alive {
    /// It is.
    #[oai(status = 200)]
    Yes(Json<Health>),
}

#[derive(ApiResponse)]
enum Ready {
    /// All parts are reached.
    #[oai(status = 200)]
    Yes(Json<Readiness>),
    /// A part is not reached, or the process is about to stop.
    #[oai(status = 503)]
    No(Json<Readiness>),
}

/// The operations on the service itself.
pub struct Healths;

#[OpenApi(tag = "Group::Service")]
#[expect(clippy::unused_async, reason = "operations have to be async")]
impl Healths {
    /// Is the process alive?
    #[oai(path = "/health", method = "get")]
    async fn health(&self) -> Alive {
        Alive::Yes(Json(Health { status: "ok".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }))
    }

    /// Can requests be served?
    #[oai(path = "/ready", method = "get")]
    async fn ready(&self, service: Data<&Arc<Service>>) -> Ready {
        let parts = &service.parts;
        let (database, storage, broker) =
            tokio::join!(reached(parts.database.check()), reached(parts.storage.check()), reached(parts.broker.check()));
        let named = [("database", database), ("storage", storage), ("broker", broker)];
        let ready = database && storage && broker && !parts.stop.is_cancelled();
        let parts = named.into_iter().map(|(name, reached)| Part { name: name.to_owned(), reached }).collect();
        let readiness = Json(Readiness { ready, parts });
        if ready { Ready::Yes(readiness) } else { Ready::No(readiness) }
    }
}

/// Whether a part answers well and soon.
async fn reached<E>(check: impl Future<Output = Result<(), E>>) -> bool {
    const PATIENCE: Duration = Duration::from_secs(2);
    matches!(tokio::time::timeout(PATIENCE, check).await, Ok(Ok(())))
}
