//! The service, or one role of it, running in this process.

use std::fs::File;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use api::HealthChecks;
use database::Database;
use egress::{Fetcher, RemoteLimits};
use jobs::{Clock, MEGABYTE};
use metrics_exporter_prometheus::PrometheusHandle;
use notifier::Notifier;
use secrecy::SecretString;
use storage::Storage;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{field, info, warn};
use url::Url;
use worker::maintenance::Maintenance;
use worker::{EngineLimits, Isolation, Worker, relay};

use crate::api_server::{ApiServer, OPERATORS_LIMITS};
use crate::confirmation;
use crate::data_dir;
use crate::dependencies;
use crate::disk_reserve::DiskReserve;
use crate::http_server::HttpServer;
use crate::instance;
use crate::maintenance::{maintenance_of, recover};
use crate::metrics;
use crate::parts::{self, ConfiguredMailer, Parts};
use crate::settings::{Confirm, Settings};
use crate::telemetry;

pub use crate::roles::Roles;

/// A running service.
pub struct RunningService {
    address: Option<SocketAddr>,
    stop: CancellationToken,
    /// Cancelled after the HTTP server has stopped, so that the relay publishes what was accepted
    /// last.
    served: CancellationToken,
    /// Maintenance, if this process has the storage.
    maintenance: Option<Maintenance>,
    server: Option<JoinHandle<()>>,
    tasks: TaskTracker,
    /// Server of metrics and health. It responds until the service is dropped.
    _operators: Option<AbortOnDropHandle<()>>,
    /// Lock of the data directory. Held until the service is dropped.
    _lock: Option<File>,
}

/// Work in the background, until the service stops.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl RunningService {
    /// Start the service, or some roles of it.
    ///
    /// # Errors
    /// A part cannot be opened, an address is in use, or a role that runs alone has an embedded
    /// part that it would have to share. The message names the setting.
    pub async fn start(mut settings: Settings, roles: Roles, clock: Clock) -> Result<Self> {
        check_shared_parts(&settings, roles)?;
        confirmation::resolve(&mut settings, roles)?;
        // Installed first, because metrics recorded before are lost.
        let metrics = metrics::install()?;
        metrics::initialize_counters();
        let OpenParts { parts, lock } = open_parts(&settings, roles, &clock).await?;
        let maintenance = maintenance_of(&settings, &parts);
        recover(&settings, &parts, maintenance.as_ref()).await?;

        let listen = settings.server.listen;
        let listener = if roles.api { Some(bind(listen, "").await?) } else { None };
        let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let page = page_url(&settings, address.unwrap_or(listen))?;

        let (stop, served) = (CancellationToken::new(), CancellationToken::new());
        let tasks =
            spawn_tasks(&settings, roles, &parts, &page, maintenance.as_ref(), &stop).await?;
        if roles.api || roles.worker {
            spawn_relay(&tasks, &parts, served.clone());
        }
        let health = dependencies::health_checks(&settings, roles, &parts, stop.clone())?;
        for task in upkeep(&settings, roles, &parts, &metrics, &health) {
            tasks.spawn(stop.clone().run_until_cancelled_owned(task));
        }

        let render: api::RenderMetrics = Arc::new(move || metrics.render());
        let operators = match settings.metrics.listen {
            Some(address) => Some(serve_operators(address, health.clone(), render.clone()).await?),
            None => None,
        };
        let notice_seconds = if roles == Roles::ALL { 0 } else { settings.notice_seconds };
        let server = listener
            .map(|listener| {
                ApiServer {
                    listener,
                    parts,
                    health,
                    metrics: settings.metrics.listen.is_none().then_some(render),
                    stop: stop.clone(),
                    notice: Duration::from_secs(notice_seconds),
                }
                .start(&settings, |secret| api_settings(&settings, secret))
            })
            .transpose()?;
        info!(address = address.map(field::display), "the service is ready");
        Ok(Self {
            address,
            stop,
            served,
            maintenance,
            server,
            tasks,
            _operators: operators,
            _lock: lock,
        })
    }

    /// Return the address of the HTTP interface, if this process serves it.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Return the background maintenance, for running it on demand; `None` in a process without the
    /// storage.
    #[must_use]
    pub fn maintenance(&self) -> Option<&Maintenance> {
        self.maintenance.as_ref()
    }

    /// Return a token that stops the service when it is cancelled.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Run until the stop token is cancelled and every running job has finished or was released.
    ///
    /// # Errors
    /// The HTTP server panicked.
    pub async fn stopped(self) -> Result<()> {
        let served = if let Some(server) = self.server {
            server.await.map_err(|panic| anyhow!("the HTTP server panicked: {panic}"))
        } else {
            self.stop.cancelled().await;
            Ok(())
        };
        self.stop.cancel();
        self.served.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        info!("the service has stopped");
        served
    }
}

/// Opened parts of a service.
struct OpenParts {
    parts: Parts,
    /// Lock of the data directory, if a part is embedded.
    lock: Option<File>,
}

/// Check that roles that run alone share all parts with others.
fn check_shared_parts(settings: &Settings, roles: Roles) -> Result<()> {
    let embedded = parts::embedded(settings, roles);
    if roles != Roles::ALL && !embedded.is_empty() {
        bail!(
            "a role that runs alone needs parts that it shares with the other roles: set {}, or \
             run `fiapx serve`",
            embedded.join(", ")
        );
    }
    Ok(())
}

/// Open the parts, and migrate or check the database.
async fn open_parts(settings: &Settings, roles: Roles, clock: &Clock) -> Result<OpenParts> {
    let embedded = parts::embedded(settings, roles);
    let lock = (!embedded.is_empty()).then(|| data_dir::lock(&settings.data_dir)).transpose()?;
    // On a full disk, the database needs the reserve to open.
    if let Some(reserve) = disk_reserve(settings) {
        reserve.adjust();
    }
    let parts = Parts::open(settings, roles, clock).await?;
    if roles == Roles::ALL {
        parts.database.migrate().await.context("cannot migrate the database")?;
    } else {
        parts.database.check().await.context("the database is not ready")?;
    }
    Ok(OpenParts { parts, lock })
}

/// Return the reserve of disk space, which a database in the data directory needs.
fn disk_reserve(settings: &Settings) -> Option<DiskReserve> {
    settings.database.url.is_none().then(|| DiskReserve::new(&settings.data_dir))
}

/// Start the tasks of the worker, with its maintenance, and of the notifier, which run until `stop`
/// is cancelled.
async fn spawn_tasks(
    settings: &Settings,
    roles: Roles,
    parts: &Parts,
    page: &Url,
    maintenance: Option<&Maintenance>,
    stop: &CancellationToken,
) -> Result<TaskTracker> {
    let tasks = TaskTracker::new();
    if let Some(maintenance) = maintenance.filter(|_| roles.worker) {
        maintenance.sweeper().identify().await?;
        let worker = worker_of(settings, parts, maintenance.storage.clone()).await?;
        tasks.spawn(worker.run(stop.clone()));
        tasks.spawn(maintenance.clone().run(stop.clone()));
    }
    if roles.notifier {
        tasks.spawn(notifier_of(settings, parts, page)?.run(stop.clone()));
    }
    Ok(tasks)
}

/// Publish the outbox to the broker until `served` is cancelled.
fn spawn_relay(tasks: &TaskTracker, parts: &Parts, served: CancellationToken) {
    let (database, broker) = (parts.database.clone(), parts.broker.clone());
    tasks.spawn(async move {
        relay::run(&database, &*broker, telemetry::current_traceparent, &served).await;
    });
}

/// Work that keeps the process itself in order, until the service stops.
fn upkeep(
    settings: &Settings,
    roles: Roles,
    parts: &Parts,
    metrics: &PrometheusHandle,
    health: &HealthChecks,
) -> Vec<Task> {
    let data_dir = parts.is_on_disk().then(|| settings.data_dir.clone());
    let mut tasks: Vec<Task> = vec![
        Box::pin(keep_clock_synchronized(parts.database.clone())),
        Box::pin(metrics::maintain(metrics.clone(), data_dir)),
        Box::pin(health.clone().monitor()),
        Box::pin(dependencies::retire_earlier_queues(parts.broker.clone(), roles)),
    ];
    if let Some(reserve) = disk_reserve(settings) {
        tasks.push(Box::pin(reserve.maintain()));
    }
    tasks
}

/// Keep the clock of the process synchronized with that of the database.
async fn keep_clock_synchronized(database: Database) {
    const INTERVAL: Duration = Duration::from_secs(10);
    loop {
        tokio::time::sleep(INTERVAL).await;
        if let Err(error) = database.synchronize_clock().await {
            warn!(%error, "cannot read the clock of the database; the own clock goes on");
        }
    }
}

/// Bind an address. `setting` is a prefix of the error message.
async fn bind(address: SocketAddr, setting: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{setting}cannot listen on {address}"))
}

/// Return the URL of the page: `server.public_url`, or else the address of the listener.
fn page_url(settings: &Settings, listen: SocketAddr) -> Result<Url> {
    let url = settings.server.public_url.clone().unwrap_or_else(|| format!("http://{listen}"));
    Url::parse(&url).with_context(|| format!("PUBLIC_URL: `{url}` is not a URL"))
}

async fn worker_of(
    settings: &Settings,
    parts: &Parts,
    storage: Arc<dyn Storage>,
) -> Result<Worker> {
    let isolation = Parts::isolation(&settings.worker).await?;
    let fetcher = fetcher_of(settings)?;
    let settings = worker_settings(settings, isolation);
    Ok(Worker::new(parts.database.clone(), storage, parts.broker.clone(), settings, fetcher))
}

/// Return what reads videos at addresses, if that is permitted. The limits are those of uploads.
fn fetcher_of(settings: &Settings) -> Result<Option<Fetcher>> {
    let Some(policy) = Parts::video_targets(settings) else { return Ok(None) };
    let limits = RemoteLimits {
        max_bytes: megabytes(settings.upload.max_video_mb),
        patience: Duration::from_secs(settings.upload.patience_seconds),
        min_bytes_per_second: KILOBYTE * settings.upload.min_kb_per_second,
    };
    Ok(Some(Fetcher::new(egress::Client::new(policy)?, limits)))
}

fn notifier_of(settings: &Settings, parts: &Parts, page: &Url) -> Result<Notifier> {
    let ConfiguredMailer { mailer, sender } = Parts::mailer(settings)?;
    let client = egress::Client::new(Parts::webhook_targets(settings))?;
    let (database, broker) = (parts.database.clone(), parts.broker.clone());
    Ok(Notifier::new(database, broker, mailer, sender, client, page))
}

/// Serve metrics and health on a separate address.
async fn serve_operators(
    address: SocketAddr,
    health: HealthChecks,
    render: api::RenderMetrics,
) -> Result<AbortOnDropHandle<()>> {
    /// Maximum time for which a client may read nothing.
    const OPERATORS_STALL: Duration = Duration::from_secs(10);
    let listener = bind(address, "METRICS_LISTEN: ").await?;
    let server = HttpServer::new(listener, OPERATORS_LIMITS, OPERATORS_STALL, Duration::ZERO);
    let endpoint = api::operators_endpoint(health, render);
    let serving = server.run(endpoint, std::future::pending());
    Ok(AbortOnDropHandle::new(tokio::spawn(serving)))
}

/// Bytes of a kilobyte.
const KILOBYTE: u64 = 1000;

/// Bytes of a number of megabytes (10^6 bytes).
const fn megabytes(count: u64) -> u64 {
    count * MEGABYTE
}

/// Number of slots of a worker for the configured number, where 0 is one per core. While a video is
/// received or an archive is sent, its slot needs no core, so there may be several per core. Each
/// slot runs a process with a thread per core.
fn slots(configured: usize, cores: NonZeroUsize) -> usize {
    const MAX_PER_CORE: usize = 4;
    let maximum = MAX_PER_CORE * cores.get();
    if configured > maximum {
        warn!(
            configured,
            reduced_to = maximum,
            "WORKER_CONCURRENCY is reduced to four jobs per core"
        );
    }
    match configured {
        0 => cores.get(),
        slots => slots.min(maximum),
    }
}

fn worker_settings(settings: &Settings, isolation: Isolation) -> worker::Settings {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let slots = slots(settings.worker.concurrency, cores);
    worker::Settings {
        name: instance::name(),
        slots,
        timeout: Duration::from_secs(settings.worker.timeout_seconds),
        threads: cores,
        engine: EngineLimits {
            archive_bytes: megabytes(settings.worker.max_archive_mb),
            frame_pixels: settings.worker.max_frame_megapixels * 1_000_000,
            frames: settings.limits.frames_per_job,
        },
        memory_bytes: megabytes(settings.worker.memory_mb),
        isolation,
        grace: Duration::from_secs(settings.grace_seconds),
    }
}

fn api_settings(settings: &Settings, jwt_secret: SecretString) -> api::Settings {
    api::Settings {
        jwt_secret,
        access_token_lifetime: Duration::from_mins(settings.accounts.access_minutes),
        refresh_token_lifetime: Duration::from_hours(24 * settings.accounts.refresh_days),
        session_lifetime: Duration::from_hours(24 * settings.accounts.session_days),
        confirm_addresses: settings.accounts.confirm == Confirm::Always,
        max_video_bytes: megabytes(settings.upload.max_video_mb),
        stall_timeout: Duration::from_secs(settings.upload.patience_seconds),
        min_upload_rate: KILOBYTE * settings.upload.min_kb_per_second,
        link_lifetime: Duration::from_secs(settings.storage.link_seconds),
        downloads_per_minute: settings.limits.downloads_per_minute,
        logins_per_minute: settings.limits.logins_per_minute,
        attempts_per_address: settings.limits.attempts_per_address,
        frames_per_job: settings.limits.frames_per_job,
        max_frame_pixels: settings.worker.max_frame_megapixels * 1_000_000,
        event_streams_at_once: settings.limits.event_streams_at_once,
        reads_at_once: settings.limits.reads_at_once,
        uploads_at_once: settings.limits.uploads_at_once,
        webhook_targets: Parts::webhook_targets(settings),
        video_targets: Parts::video_targets(settings),
        trusted_proxies: settings.server.proxies,
        cors_origins: settings.server.cors_origins.clone(),
        public_url: settings.server.public_url.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_bounded_by_cores() {
        let two = NonZeroUsize::new(2).unwrap_or(NonZeroUsize::MIN);
        assert_eq!([0, 1, 2, 8, 9, 1024].map(|count| slots(count, two)), [2, 1, 2, 8, 8, 8]);
        assert_eq!(slots(2, NonZeroUsize::MIN), 2, "the default is valid on one core");
    }
}
