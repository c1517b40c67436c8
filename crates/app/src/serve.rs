//! `fiapx serve`: the whole service in one process.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use api::{InMemory, Service};
use frames::source::Container;
use jobs::Clock;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use notifier::Notifier;
use poem::Server;
use poem::listener::TcpAcceptor;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use url::Url;
use worker::upkeep::{self, Upkeep};
use worker::{Worker, relay};

use crate::connection::Connections;
use crate::parts::{self, Parts};
use crate::settings::Settings;

/// A running service.
pub struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    upkeep: Upkeep,
    server: JoinHandle<std::io::Result<()>>,
    tasks: TaskTracker,
}

impl Running {
    /// Start the service on the settings' parts.
    ///
    /// # Errors
    /// A part cannot be opened, or the address is taken; each says which.
    pub async fn start(settings: Settings, clock: Clock) -> Result<Self> {
        let lock = parts::own(&settings.data_dir)?;
        let parts = Parts::embedded(&settings, &clock).await?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let upkeep = Upkeep {
            database: parts.database.clone(),
            storage: parts.storage.clone(),
            broker: parts.broker.clone(),
            settings: upkeep::Settings::default(),
        };
        recover(&parts, &upkeep).await?;

        let listen = settings.server.listen;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.local_addr()?;
        let public_url = settings.server.public_url.clone();
        let page = public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        let page = Url::parse(&page).with_context(|| format!("PUBLIC_URL is `{page}`, which is no URL"))?;

        let worker = Worker {
            database: parts.database.clone(),
            storage: parts.storage.clone(),
            broker: parts.broker.clone(),
            settings: worker_settings(&settings),
        };
        let (mailer, sender) = Parts::mailer(&settings)?;
        let notifier = Notifier::new(parts.database.clone(), parts.broker.clone(), mailer, sender, &page);
        tasks.spawn(worker.run(stop.clone()));
        tasks.spawn(notifier.run(stop.clone()));
        tasks.spawn(upkeep.clone().run(stop.clone()));
        let (database, broker, relay_stop) = (parts.database.clone(), parts.broker.clone(), stop.clone());
        tasks.spawn(async move { relay::run(&database, &*broker, &relay_stop).await });

        let figures = figures()?;
        tasks.spawn(stop.clone().run_until_cancelled_owned(tidy(figures.clone())));
        let render: api::Metrics = Arc::new(move || figures.render());
        if let Some(address) = settings.metrics.listen {
            let listener =
                TcpListener::bind(address).await.with_context(|| format!("METRICS_LISTEN: cannot listen on {address}"))?;
            let server = Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?);
            let (signal, endpoint) = (stop.clone().cancelled_owned(), api::metrics_endpoint(render.clone()));
            tasks.spawn(async move {
                if let Err(error) = server.run_with_graceful_shutdown(endpoint, signal, Some(Duration::ZERO)).await {
                    warn!(%error, "the figures are not served any more");
                }
            });
        }
        let metrics = settings.metrics.listen.is_none().then_some(render);
        let service = Service::new(
            api::Parts {
                database: parts.database.clone(),
                storage: parts.storage.clone(),
                disk: parts.disk.clone(),
                broker: parts.broker.clone(),
                limits: Arc::new(InMemory::new(clock)),
                recognise: |head| Container::of(head).map(Container::name),
                metrics,
                stop: stop.clone(),
            },
            api_settings(&settings, &parts, public_url),
        );
        let acceptor = Connections::of(listener)?;
        let signal = stop.clone().cancelled_owned();
        let grace = Duration::from_secs(settings.grace_seconds);
        let server = tokio::spawn(async move {
            /// Connections on which nothing happens any more.
            const IDLE: Duration = Duration::from_secs(75);
            // The data directory is this process's own for as long as anybody may use it.
            let _lock = lock;
            Server::new_with_acceptor(acceptor)
                .idle_timeout(IDLE)
                .run_with_graceful_shutdown(api::endpoint(service), signal, Some(grace))
                .await
        });
        info!(%address, "the service is ready");
        Ok(Self { address, stop, upkeep, server, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
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
        let served = self.server.await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        info!("the service has stopped");
        Ok(served.map_err(|panic| anyhow!("the HTTP server broke down: {panic}"))??)
    }
}

/// Take up what an earlier process left behind. The data directory is this process's own, so all earlier workers are gone, and whoever
/// was uploading, too.
async fn recover(parts: &Parts, upkeep: &Upkeep) -> Result<()> {
    parts.database.end_leases().await?;
    while parts.database.reap().await? > 0 {}
    parts.database.end_holds().await?;
    while parts.database.invite_again(Duration::ZERO).await? > 0 {}
    while parts.database.tell_again(Duration::ZERO).await? > 0 {}
    let orphans = upkeep.sweep(Duration::ZERO).await?;
    if orphans > 0 {
        warn!(files = orphans, "an earlier process was interrupted; what it left behind is removed");
    }
    Ok(())
}

fn worker_settings(settings: &Settings) -> worker::Settings {
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    let slots = if settings.worker.concurrency == 0 { cores } else { settings.worker.concurrency };
    worker::Settings {
        name: format!("{}@{}", std::process::id(), hostname()),
        slots,
        timeout: Duration::from_secs(settings.worker.timeout_seconds),
        grace: Duration::from_secs(settings.grace_seconds),
    }
}

fn api_settings(settings: &Settings, parts: &Parts, public_url: Option<String>) -> api::Settings {
    api::Settings {
        jwt_secret: parts.secret.clone(),
        access_valid_for: Duration::from_mins(settings.accounts.access_minutes),
        refresh_valid_for: Duration::from_hours(24 * settings.accounts.refresh_days),
        max_video_bytes: settings.upload.max_video_mb << 20,
        upload_patience: Duration::from_secs(settings.upload.patience_seconds),
        link_valid_for: Duration::from_secs(settings.storage.link_seconds),
        downloads_per_minute: settings.limits.downloads_per_minute,
        logins_per_minute: settings.limits.logins_per_minute,
        cors_origins: settings.server.cors_origins.clone(),
        public_url,
    }
}

/// The machine's name, as the kernel knows it.
fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}

/// Put what was measured since the last time into its histograms: until then, each value takes memory.
async fn tidy(figures: PrometheusHandle) {
    /// As often as the exporter does where it serves the figures itself.
    const EVERY: Duration = Duration::from_secs(5);
    loop {
        figures.run_upkeep();
        tokio::time::sleep(EVERY).await;
    }
}

/// The figures of this process, of which there is one set.
fn figures() -> Result<PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let installed = HANDLE.get_or_init(|| PrometheusBuilder::new().install_recorder().ok());
    installed.clone().context("the figures of this process are collected by something else")
}
