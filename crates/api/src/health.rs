//! Whether the service is well.

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use database::Database;
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use storage::Storage;
use tokio_util::sync::CancellationToken;

use crate::accounts::Group;

/// What a process needs to be of any use. Clones are the same.
#[derive(Clone)]
pub struct Needs {
    /// Users and jobs.
    pub database: Database,
    /// Videos and archives.
    pub storage: Arc<dyn Storage>,
    /// Tasks.
    pub broker: Arc<dyn Broker>,
    /// Turns when the process has to stop: whoever shares out work should turn elsewhere.
    pub stop: CancellationToken,
}

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

/// Whether the process can do its work.
#[derive(Object)]
struct Readiness {
    /// Whether all parts were reached and the process is not about to stop.
    ready: bool,
    /// The parts; none is asked by a process that is about to stop.
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
        Alive::Yes(Json(Health {
            status: "ok".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }

    /// Can it do its work?
    #[oai(path = "/ready", method = "get")]
    async fn ready(&self, needs: Data<&Needs>) -> Ready {
        if needs.stop.is_cancelled() {
            return Ready::No(Json(Readiness { ready: false, parts: Vec::new() }));
        }
        let (database, storage, broker) = tokio::join!(
            reached(needs.database.check()),
            reached(needs.storage.check()),
            reached(needs.broker.check())
        );
        let named = [("database", database), ("storage", storage), ("broker", broker)];
        let ready = database && storage && broker;
        let parts = named
            .into_iter()
            .map(|(name, reached)| Part { name: name.to_owned(), reached })
            .collect();
        let readiness = Json(Readiness { ready, parts });
        if ready { Ready::Yes(readiness) } else { Ready::No(readiness) }
    }
}

/// Whether a part answers well and soon.
async fn reached<E>(check: impl Future<Output = Result<(), E>>) -> bool {
    const PATIENCE: Duration = Duration::from_secs(2);
    matches!(tokio::time::timeout(PATIENCE, check).await, Ok(Ok(())))
}
