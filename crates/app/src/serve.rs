//! The service, or a role of it, as a running process.

use std::fs::File;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use api::{HealthChecks, Quotas, Service};
use frames::source::Container;
use jobs::Clock;
use notifier::Notifier;
use poem::Server;
use poem::listener::TcpAcceptor;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{field, info, warn};
use url::Url;
use worker::upkeep::{self, Upkeep};
use worker::{Isolation, Worker, relay};

use crate::connection::Connections;
use crate::figures;
use crate::parts::{self, Parts};
use crate::settings::Settings;
use crate::telemetry;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Serves the HTTP interface.
    pub api: bool,
    /// Makes archives.
    pub worker: bool,
    /// Sends mails.
    pub notifier: bool,
}

impl Roles {
    /// Everything.
    pub const ALL: Self = Self { api: true, worker: true, notifier: true };
    /// The HTTP interface alone.
    pub const API: Self = Self { api: true, worker: false, notifier: false };
    /// The making of archives alone.
    pub const WORKER: Self = Self { api: false, worker: true, notifier: false };
    /// The sending of mails alone.
    pub const NOTIFIER: Self = Self { api: false, worker: false, notifier: true };
}

/// A running service.
pub struct Running {
    address: Option<SocketAddr>,
    stop: CancellationToken,
    served: CancellationToken,
    upkeep: Upkeep,
    server: Option<JoinHandle<std::io::Result<()>>>,
    tasks: TaskTracker,
    /// Answers operators to the last.
    _operators: Option<AbortOnDropHandle<()>>,
    /// The data directory is this process's own for as long as anybody may use it.
    _lock: Option<File>,
}

impl Running {
    /// Start the service, or roles of it, on the settings' parts.
    ///
    /// # Errors
    /// A part cannot be opened, the address is taken, or a role that runs alone has a part that it
    /// would have to share with the others; each says which.
    #[expect(clippy::too_many_lines, reason = "puts the parts together, one after another")]
    pub async fn start(settings: Settings, roles: Roles, clock: Clock) -> Result<Self> {
        let embedded: Vec<&str> = parts::shared(&settings)
            .into_iter()
            .filter(|(_, shared)| !shared)
            .map(|(name, _)| name)
            .collect();
        if roles != Roles::ALL && !embedded.is_empty() {
            bail!(
                "a role that runs alone shares its parts with the others: set {}, or run `fiapx serve`",
                embedded.join(", ")
            );
        }
        // Before anything counts.
        let figures = figures::install()?;
        let lock = (!embedded.is_empty()).then(|| parts::own(&settings.data_dir)).transpose()?;
        let parts = Parts::open(&settings, &clock).await?;
        if roles == Roles::ALL {
            parts.database.migrate().await.context("cannot bring the database up to date")?;
        } else {
            parts.database.check().await.context("the database is not ready")?;
        }
        let (stop, served, tasks) =
            (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let upkeep = Upkeep {
            database: parts.database.clone(),
            storage: parts.storage.clone(),
            broker: parts.broker.clone(),
            settings: upkeep::Settings::default(),
        };
        recover(&settings, &parts, &upkeep).await?;

        let listen = settings.server.listen;
        let mut listener = None;
        if roles.api {
            listener = Some(
                TcpListener::bind(listen)
                    .await
                    .with_context(|| format!("cannot listen on {listen}"))?,
            );
        }
        let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let public_url = settings.server.public_url.clone();
        let page =
            public_url.clone().unwrap_or_else(|| format!("http://{}", address.unwrap_or(listen)));
        let page = Url::parse(&page)
            .with_context(|| format!("PUBLIC_URL is `{page}`, which is no URL"))?;

        if roles.worker {
            let isolation = Parts::isolation(&settings.worker).await?;
            let worker = Worker {
                database: parts.database.clone(),
                storage: parts.storage.clone(),
                broker: parts.broker.clone(),
                settings: worker_settings(&settings, isolation),
            };
            tasks.spawn(worker.run(stop.clone()));
            tasks.spawn(upkeep.clone().run(stop.clone()));
        }
        if roles.notifier {
            let (mailer, sender) = Parts::mailer(&settings)?;
            let notifier =
                Notifier::new(parts.database.clone(), parts.broker.clone(), mailer, sender, &page);
            tasks.spawn(notifier.run(stop.clone()));
        }
        if roles.api || roles.worker {
            // What is accepted last is published, too.
            let (database, broker, served) =
                (parts.database.clone(), parts.broker.clone(), served.clone());
            tasks.spawn(
                async move { relay::run(&database, &*broker, telemetry::here, &served).await },
            );
        }

        let files = parts.disk.as_ref().map(|_| settings.data_dir.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(figures::keep(figures.clone(), files)));
        let render: api::RenderMetrics = Arc::new(move || figures.render());
        let mut operators = None;
        if let Some(address) = settings.metrics.listen {
            let listener = TcpListener::bind(address)
                .await
                .with_context(|| format!("METRICS_LISTEN: cannot listen on {address}"))?;
            let server = Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?);
            let health = HealthChecks {
                database: parts.database.clone(),
                storage: parts.storage.clone(),
                broker: parts.broker.clone(),
                stop: stop.clone(),
            };
            let endpoint = api::operators_endpoint(health, render.clone());
            operators = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                if let Err(error) = server.run(endpoint).await {
                    warn!(%error, "figures and health are not served any more");
                }
            })));
        }
        let metrics = settings.metrics.listen.is_none().then_some(render);
        let notice =
            Duration::from_secs(if roles == Roles::ALL { 0 } else { settings.notice_seconds });
        let server = listener
            .map(|listener| {
                serve(listener, &settings, parts, public_url, metrics, stop.clone(), notice)
            })
            .transpose()?;
        info!(address = address.map(field::display), "the service is ready");
        Ok(Self {
            address,
            stop,
            served,
            upkeep,
            server,
            tasks,
            _operators: operators,
            _lock: lock,
        })
    }

    /// Where its HTTP interface listens, if it has one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What looks after leftovers; it can be asked to do so at once.
    #[must_use]
    pub fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    /// Turns when the service has to stop.
    #[must_use]
    pub fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Run until the service is told to stop and every running job has ended or been given back.
    pub async fn ended(self) -> Result<()> {
        let served = if let Some(server) = self.server {
            server.await.map_err(|panic| anyhow!("the HTTP server broke down: {panic}"))
        } else {
            self.stop.cancelled().await;
            Ok(Ok(()))
        };
        self.stop.cancel();
        self.served.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        info!("the service has stopped");
        Ok(served??)
    }
}

/// Serve the HTTP interface until it has to stop, and for the time of the `notice` after that.
fn serve(
    listener: TcpListener,
    settings: &Settings,
    parts: Parts,
    public_url: Option<String>,
    metrics: Option<api::RenderMetrics>,
    stop: CancellationToken,
    notice: Duration,
) -> Result<JoinHandle<std::io::Result<()>>> {
    /// Connections on which nothing happens any more.
    const IDLE: Duration = Duration::from_secs(75);
    let settings_of_api = api_settings(settings, &parts, public_url);
    let closing = CancellationToken::new();
    let service = Service::new(
        api::Parts {
            database: parts.database,
            storage: parts.storage,
            disk: parts.disk,
            broker: parts.broker,
            rate_limiter: parts.limits,
            detect_container: |head| Container::of(head).map(Container::name),
            metrics,
            current_traceparent: telemetry::here,
            stop: stop.clone(),
            closing: closing.clone(),
        },
        settings_of_api,
    );
    let acceptor =
        Connections::of(listener, Duration::from_secs(settings.upload.patience_seconds))?;
    let grace = Duration::from_secs(settings.grace_seconds);
    let signal = async move {
        stop.cancelled().await;
        tokio::time::sleep(notice).await;
        closing.cancel();
    };
    Ok(tokio::spawn(async move {
        Server::new_with_acceptor(acceptor)
            .idle_timeout(IDLE)
            .run_with_graceful_shutdown(api::endpoint(service, web::routes()), signal, Some(grace))
            .await
    }))
}

/// Take up what an earlier process left behind, as far as nobody else can be at it: what embedded
/// parts hold is this process's own.
async fn recover(settings: &Settings, parts: &Parts, upkeep: &Upkeep) -> Result<()> {
    if settings.database.url.is_none() {
        parts.database.recover_after_restart().await?;
    }
    if settings.broker.url.is_none() {
        while parts.database.republish_invitations(Duration::ZERO).await? > 0 {}
        while parts.database.republish_outcomes(Duration::ZERO).await? > 0 {}
    }
    if parts.disk.is_some() {
        let orphans = upkeep.sweep(Duration::ZERO).await?;
        if orphans > 0 {
            warn!(
                files = orphans,
                "an earlier process was interrupted; what it left behind is removed"
            );
        }
    }
    Ok(())
}

fn worker_settings(settings: &Settings, isolation: Isolation) -> worker::Settings {
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    let slots = if settings.worker.concurrency == 0 { cores } else { settings.worker.concurrency };
    worker::Settings {
        name: instance(),
        slots,
        timeout: Duration::from_secs(settings.worker.timeout_seconds),
        threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        archive_bytes: settings.worker.max_archive_mb * 1_000_000,
        memory_bytes: settings.worker.memory_mb << 20,
        isolation,
        grace: Duration::from_secs(settings.grace_seconds),
    }
}

fn api_settings(settings: &Settings, parts: &Parts, public_url: Option<String>) -> api::Settings {
    api::Settings {
        jwt_secret: parts.secret.clone(),
        access_token_lifetime: Duration::from_mins(settings.accounts.access_minutes),
        refresh_token_lifetime: Duration::from_hours(24 * settings.accounts.refresh_days),
        max_video_bytes: settings.upload.max_video_mb * 1_000_000,
        stall_timeout: Duration::from_secs(settings.upload.patience_seconds),
        link_lifetime: Duration::from_secs(settings.storage.link_seconds),
        downloads_per_minute: settings.limits.downloads_per_minute,
        logins_per_minute: settings.limits.logins_per_minute,
        attempts_per_address: settings.limits.attempts_per_address,
        quotas: Quotas {
            uploads_at_once: settings.limits.uploads_at_once,
            unfinished_jobs: settings.limits.unfinished_jobs,
            stored_bytes: settings.limits.stored_mb * 1_000_000,
        },
        trusted_proxies: settings.server.proxies,
        cors_origins: settings.server.cors_origins.clone(),
        public_url,
    }
}

/// This process among all of the service.
pub(crate) fn instance() -> String {
    format!("{}@{}", std::process::id(), hostname())
}

/// The machine's name, as the kernel knows it.
fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}
