//! HTTP: accounts, uploads, jobs, downloads and live events, with an OpenAPI document that is
//! generated from the code below.
//!
//! [`Service`] holds what the operations need, [`endpoint`] is everything behind one port,
//! [`document`] is the document.

// In the order in which a request meets them.
mod endpoint;
mod access;
mod drain;
mod docs;
mod problem;
mod input;
mod limits;
mod passwords;
mod tokens;
mod accounts;
mod quotas;
mod uploads;
mod receive;
mod views;
mod videos;
mod watch;
mod events;
mod archives;
mod thumbnails;
mod frames;
mod downloads;
mod files;
mod health;

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use database::Database;
use secrecy::SecretString;
use storage::Storage;
use storage::disk::Disk;
use tokio_util::sync::CancellationToken;

pub use endpoint::{document, endpoint, operators_endpoint};
pub use health::Needs;
pub use limits::{InMemory, Limits, Shared, Verdict};

pub use quotas::Quotas;

use archives::Archives;
use passwords::Passwords;
use quotas::Uploading;
use tokens::Tokens;
use watch::Watch;

/// How the interface behaves.
#[derive(Clone)]
pub struct Settings {
    /// Key of the access tokens' signatures, at least 32 bytes (RFC 7518, 3.2).
    pub jwt_secret: SecretString,
    /// How long an access token is valid.
    pub access_valid_for: Duration,
    /// How long a refresh token is valid.
    pub refresh_valid_for: Duration,
    /// Bytes of the largest video.
    pub max_video_bytes: u64,
    /// How long an upload may stand still.
    pub upload_patience: Duration,
    /// How long a download link is valid.
    pub link_valid_for: Duration,
    /// Downloads that a user may begin in a minute.
    pub downloads_per_minute: u32,
    /// Attempts that may be made at an account in a minute.
    pub logins_per_minute: u32,
    /// Attempts to register, log in, refresh or change a password that may come from a network
    /// address in a minute.
    pub attempts_per_address: u32,
    /// Bounds of one user.
    pub quotas: Quotas,
    /// How many proxies of ours stand before the service, each of which adds to `X-Forwarded-For`.
    pub proxies: usize,
    /// Origins whose pages may use the interface (CORS); `*` is all.
    pub cors_origins: Vec<String>,
    /// Base of links, such as `https://videos.example.com`; without it the request's own host is
    /// used.
    pub public_url: Option<String>,
}

/// Tells by the first bytes of a file which container it is, in libav's name.
pub type Recognise = fn(&[u8]) -> Option<&'static str>;

/// Gives the figures of this process, as Prometheus reads them.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

/// The parts that the interface works with.
pub struct Parts {
    /// Users and jobs.
    pub database: Database,
    /// Videos and archives.
    pub storage: Arc<dyn Storage>,
    /// The same, if this process itself serves the links to it.
    pub disk: Option<Arc<Disk>>,
    /// Tasks; only asked whether it is there.
    pub broker: Arc<dyn Broker>,
    /// Who may do how much.
    pub limits: Arc<dyn Limits>,
    /// Knows containers.
    pub recognise: Recognise,
    /// The figures, if they are on this port.
    pub metrics: Option<Metrics>,
    /// Tells where in a trace a request is.
    pub here: jobs::trace::CurrentTraceparent,
    /// Turns when the process has to stop. Requests are still taken then, but no connection is kept
    /// for another.
    pub stop: CancellationToken,
    /// Turns when no request is taken any more: streams end.
    pub closing: CancellationToken,
}

/// Everything that an operation needs.
pub struct Service {
    pub(crate) parts: Parts,
    pub(crate) settings: Settings,
    pub(crate) passwords: Passwords,
    pub(crate) tokens: Tokens,
    pub(crate) watch: Watch,
    pub(crate) uploading: Arc<Uploading>,
    pub(crate) archives: Archives,
}

impl Service {
    /// Put it together.
    #[must_use]
    pub fn new(parts: Parts, settings: Settings) -> Arc<Self> {
        let tokens = Tokens::new(&settings, parts.database.clock().clone());
        let watch = Watch::new(parts.database.clone());
        let (passwords, uploading, archives) =
            (Passwords::default(), Arc::default(), Archives::default());
        Arc::new(Self { parts, settings, passwords, tokens, watch, uploading, archives })
    }

    pub(crate) fn database(&self) -> &Database {
        &self.parts.database
    }

    pub(crate) fn needs(&self) -> Needs {
        let Parts { database, storage, broker, stop, .. } = &self.parts;
        Needs {
            database: database.clone(),
            storage: Arc::clone(storage),
            broker: Arc::clone(broker),
            stop: stop.clone(),
        }
    }
}
