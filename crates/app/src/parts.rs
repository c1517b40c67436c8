//! The parts of the system, chosen by the settings: embedded in this process, or shared servers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use api::{InMemoryRateLimiter, RateLimiter, RedisRateLimiter};
use broker::embedded::Embedded;
use broker::rabbitmq::RabbitMq;
use broker::{Broker, Queue};
use database::resumable_uploads::RESUMABLE_LIFETIME;
use database::{Database, Quotas, Rules};
use egress::Policy;
use jobs::retry::RetryPolicy;
use jobs::{Clock, MEGABYTE};
use notifier::files::FileMailer;
use notifier::smtp::{Login, Server, SmtpMailer};
use notifier::{Mailer, Sender};
use secrecy::{SecretSlice, SecretString};
use storage::Storage;
use storage::disk::Disk;
use storage::s3::{DEFAULT_ASSEMBLY_TIMEOUT, DEFAULT_UPLOAD_MEMORY, S3, S3Settings};
use tracing::warn;
use worker::Isolation;
use worker::cell::{Cells, Program};
use worker::sweep::Sweeper;

use crate::roles::Roles;
use crate::settings::{self, Needs, Settings, VideosByUrl};
use crate::{data_dir, telemetry};

/// Largest random deviation of the pauses between attempts, as a share of them.
const RETRY_JITTER: f64 = 0.2;

/// Name of the SQLite database in the data directory.
const DATABASE_FILE: &str = "fiapx.db";

/// Context of the errors of the broker.
const BROKER_FAILED: &str = "RABBITMQ_URL: cannot use the broker";

/// Parts of a process.
pub struct Parts {
    /// Users and jobs.
    pub database: Database,
    /// Message broker.
    pub broker: Arc<dyn Broker>,
    /// Videos and archives, for the HTTP interface and workers.
    pub storage: Option<OpenStorage>,
    /// Parts that only the HTTP interface uses.
    pub interface: Option<InterfaceParts>,
}

/// Parts that only the HTTP interface uses.
pub struct InterfaceParts {
    /// Counters of rate limits.
    pub limits: Arc<dyn RateLimiter>,
    /// Key of access tokens.
    pub secret: SecretString,
}

impl Parts {
    /// Open the parts that these roles use.
    ///
    /// # Errors
    /// A part cannot be opened. The message names its setting.
    pub async fn open(settings: &Settings, roles: Roles, clock: &Clock) -> Result<Self> {
        let needs = roles.needs();
        let secret = needs.interface.then(|| settings::jwt_secret(settings)).transpose()?;
        let database = Self::database(settings, clock).await?;
        let storage = if needs.storage {
            Some(open_storage(settings, secret.as_ref(), clock).await?)
        } else {
            None
        };
        let interface = match secret {
            Some(secret) => Some(InterfaceParts { limits: open_limits(settings, clock)?, secret }),
            None => None,
        };
        Ok(Self { database, broker: open_broker(settings)?, storage, interface })
    }

    /// Return whether the storage is on the local disk.
    #[must_use]
    pub fn is_on_disk(&self) -> bool {
        self.storage.as_ref().is_some_and(|opened| opened.disk.is_some())
    }

    /// Open the configured database. A missing SQLite database is created.
    pub async fn database(settings: &Settings, clock: &Clock) -> Result<Database> {
        let pauses = settings.worker.retry_seconds.iter().copied().map(Duration::from_secs);
        let rules = Rules {
            retries: RetryPolicy { pauses: pauses.collect(), jitter: RETRY_JITTER },
            lease: Duration::from_secs(settings.worker.lease_seconds),
            retention: retention(settings),
            quotas: Quotas {
                unfinished_jobs: settings.limits.unfinished_jobs,
                jobs_per_hour: settings.limits.jobs_per_hour,
                stored_bytes: MEGABYTE * settings.limits.stored_mb,
            },
        };
        if let Some(url) = &settings.database.url {
            return Database::postgres(url, clock.clone(), rules)
                .await
                .context("DATABASE_URL: cannot connect to the database");
        }
        data_dir::create(&settings.data_dir)?;
        let file = settings.data_dir.join(DATABASE_FILE);
        Database::sqlite(&file, clock.clone(), rules)
            .await
            .with_context(|| format!("cannot open {}", file.display()))
    }

    /// Open the database of an existing service, for a command that runs at the same time. Nothing
    /// is created, and the lock of the data directory is not needed: SQLite serializes writers.
    ///
    /// # Errors
    /// There is no database, or its schema is older than this program.
    pub async fn existing_database(settings: &Settings, clock: &Clock) -> Result<Database> {
        if settings.database.url.is_none() && !settings.data_dir.join(DATABASE_FILE).is_file() {
            bail!(
                "there is no database in {}: set DATABASE_URL, or choose another --data-dir",
                settings.data_dir.display()
            );
        }
        let database = Self::database(settings, clock).await?;
        database.check().await?;
        Ok(database)
    }

    /// Open the configured storage, for a command that makes no download links.
    pub async fn store(settings: &Settings, clock: &Clock) -> Result<Arc<dyn Storage>> {
        Ok(open_storage(settings, None, clock).await?.storage)
    }

    /// Count the dead letters of each queue. Return `None` if the broker is embedded in another
    /// process.
    pub async fn dead_letters(settings: &Settings) -> Result<Option<Vec<(&'static str, u64)>>> {
        if settings.broker.url.is_none() {
            return Ok(None);
        }
        let (broker, mut counts) = (open_broker(settings)?, Vec::new());
        for queue in Queue::ALL {
            let count = broker.dead_letter_count(queue).await.context(BROKER_FAILED)?;
            counts.push((queue.dead_letter_name(), count));
        }
        Ok(Some(counts))
    }

    /// Test the connection to every part.
    pub async fn check(settings: &Settings, clock: &Clock) -> Vec<PartCheck> {
        let database = async {
            let database = Self::database(settings, clock).await?;
            if settings.database.url.is_none() {
                // An embedded database is migrated when the service starts, so an old schema is not
                // an error.
                database.migrate().await?;
            }
            Ok(database.check().await?)
        };
        let storage = async {
            settings::jwt_secret(settings)?;
            let storage = Self::store(settings, clock).await?;
            storage.check().await?;
            // Problems of the database are reported with the database.
            if let Ok(database) = Self::database(settings, clock).await
                && database.check().await.is_ok()
                && let Some(refusal) =
                    (Sweeper { database: &database, storage: &*storage }).check().await?
            {
                bail!("{refusal}");
            }
            Ok(())
        };
        let broker = async { open_broker(settings)?.check().await.context(BROKER_FAILED) };
        let limits = async {
            open_limits(settings, clock)?
                .check()
                .await
                .map_err(|error| anyhow!("REDIS_URL: cannot reach Redis: {error}"))
        };
        let mail = async { Ok(Self::mailer(settings)?.mailer.check().await?) };
        let decoders = async {
            let problem = match cell_program(&settings.worker) {
                Some(program) => confinement_problem(&program).await?,
                None => None,
            };
            problem.map_or(Ok(()), |problem| bail!("{problem}"))
        };
        let mut results = vec![
            PartCheck::run("database", database).await,
            PartCheck::run("file store", storage).await,
            PartCheck::run("broker", broker).await,
            PartCheck::run("limits", limits).await,
            PartCheck::run("mail", mail).await,
            PartCheck::run("decoders", decoders).await,
        ];
        if let Some(endpoint) = &settings.telemetry.otlp_endpoint {
            results.push(PartCheck::run("collector", telemetry::check(endpoint)).await);
        }
        results
    }

    /// Return how attempts are isolated. Logs a warning if decoders are not confined.
    ///
    /// # Errors
    /// `worker.require_sandbox` is set and decoders cannot be confined.
    pub async fn isolation(settings: &settings::Worker) -> Result<Isolation> {
        let Some(program) = cell_program(settings) else {
            if settings.require_sandbox {
                bail!(
                    "WORKER_REQUIRE_SANDBOX is set, but WORKER_ISOLATION is `none`: change one of \
                     them"
                );
            }
            warn!(
                "WORKER_ISOLATION is `none`: videos are decoded in the worker process, with all of \
                 its rights"
            );
            return Ok(Isolation::None);
        };
        if let Some(problem) = confinement_problem(&program).await? {
            if settings.require_sandbox {
                bail!("{problem}; WORKER_REQUIRE_SANDBOX is set");
            }
            warn!("{problem}: a hostile video may access everything that this worker can access");
        }
        Ok(Isolation::Cell(Cells::new(program)))
    }

    /// Return the targets that webhooks may have.
    #[must_use]
    pub fn webhook_targets(settings: &Settings) -> Policy {
        if settings.webhooks.allow_private { Policy::Private } else { Policy::Public }
    }

    /// Return the targets that videos by URL may have; `None` if they are turned off.
    #[must_use]
    pub fn video_targets(settings: &Settings) -> Option<Policy> {
        let VideosByUrl { enabled, allow_private } = settings.videos_by_url;
        enabled.then_some(if allow_private { Policy::Private } else { Policy::Public })
    }

    /// Return the configured mailer, an SMTP server or a directory, and the sender of mails.
    pub fn mailer(settings: &Settings) -> Result<ConfiguredMailer> {
        let mail = &settings.mail;
        let sender = Sender::parse(&mail.from)?;
        let mailer: Arc<dyn Mailer> = if let Some(host) = mail.host.clone() {
            let login = mail.user.clone().zip(mail.password.clone());
            let login = login.map(|(user, password)| Login { user, password });
            Arc::new(SmtpMailer::new(Server { host, port: mail.port, login }))
        } else {
            Arc::new(FileMailer::new(settings.data_dir.join("mails")))
        };
        Ok(ConfiguredMailer { mailer, sender })
    }
}

/// Mailer, and the sender of its mails.
pub struct ConfiguredMailer {
    /// SMTP server or directory.
    pub mailer: Arc<dyn Mailer>,
    /// Sender of all mails.
    pub sender: Sender,
}

/// Result of the check of a part.
pub struct PartCheck {
    /// Name of the part.
    pub part: &'static str,
    /// Error of the part, if it does not work.
    pub result: Result<()>,
}

impl PartCheck {
    /// Run the check of a part, with a time limit.
    async fn run(part: &'static str, check: impl Future<Output = Result<()>>) -> Self {
        const TIMEOUT: Duration = Duration::from_secs(20);
        // On the heap, because the checks are large.
        let result = tokio::time::timeout(TIMEOUT, Box::pin(check))
            .await
            .unwrap_or_else(|_| bail!("timed out after {} seconds", TIMEOUT.as_secs()));
        Self { part, result }
    }
}

/// Return the settings that choose a shared part that these roles use and are not set, so that the
/// part is embedded.
pub(crate) fn embedded(settings: &Settings, roles: Roles) -> Vec<&'static str> {
    let Needs { interface, storage, .. } = roles.needs();
    let parts = [
        ("DATABASE_URL", settings.database.url.is_some()),
        ("RABBITMQ_URL", settings.broker.url.is_some()),
        ("S3_ENDPOINT", settings.storage.endpoint.is_some() || !storage),
        ("REDIS_URL", settings.limits.redis_url.is_some() || !interface),
        ("JWT_SECRET", settings.accounts.jwt_secret.is_some() || !interface),
    ];
    parts.into_iter().filter(|(_, shared)| !shared).map(|(name, _)| name).collect()
}

/// Return the time for which files are kept.
fn retention(settings: &Settings) -> Duration {
    Duration::from_hours(24 * settings.storage.retention_days)
}

/// The configured storage.
pub struct OpenStorage {
    /// Videos and archives.
    pub storage: Arc<dyn Storage>,
    /// The same storage, if it is the local disk.
    pub disk: Option<Arc<Disk>>,
}

/// Open the configured storage. `secret` is the key of access tokens, from which the key of
/// download links is derived; without it, links are not valid elsewhere.
async fn open_storage(
    settings: &Settings,
    secret: Option<&SecretString>,
    clock: &Clock,
) -> Result<OpenStorage> {
    let configured = &settings.storage;
    let (Some(endpoint), Some(access_key), Some(secret_key)) =
        (&configured.endpoint, &configured.access_key, &configured.secret_key)
    else {
        let disk = open_disk(&settings.data_dir, secret, clock)?;
        return Ok(OpenStorage { storage: disk.clone(), disk: Some(disk) });
    };
    let s3 = S3::connect(S3Settings {
        endpoint: endpoint.clone(),
        public_endpoint: configured.public_endpoint.clone(),
        region: configured.region.clone(),
        bucket: configured.bucket.clone(),
        access_key: access_key.clone(),
        secret_key: secret_key.clone(),
        path_style: true,
        upload_memory: DEFAULT_UPLOAD_MEMORY,
        assembly_timeout: DEFAULT_ASSEMBLY_TIMEOUT,
    })?;
    // The bucket's lifecycle rule does not know which objects are in use, so it expires them a day
    // later than the service does. The age of the object of a multipart upload is the time since
    // the beginning of the upload (Amazon S3 user guide, "Uploading and copying objects using
    // multipart upload").
    let kept = retention(settings) + RESUMABLE_LIFETIME + Duration::from_hours(24);
    match s3.configure_lifecycle(kept).await {
        Ok(missing) => missing.into_iter().for_each(|missing| warn!("{missing}")),
        Err(error) => {
            warn!(
                %error,
                "cannot set the lifecycle rules of the bucket; the service still removes expired \
                 files"
            );
        }
    }
    Ok(OpenStorage { storage: Arc::new(s3), disk: None })
}

fn open_disk(data_dir: &Path, secret: Option<&SecretString>, clock: &Clock) -> Result<Arc<Disk>> {
    data_dir::create(data_dir)?;
    let directory = data_dir.join("files");
    let random = || SecretSlice::from(rand::random::<[u8; 32]>().to_vec());
    let key = secret.map_or_else(random, settings::link_key);
    let disk = Disk::open(&directory, &key, clock.clone())
        .with_context(|| format!("cannot store files in {}", directory.display()))?;
    Ok(Arc::new(disk))
}

/// Open the configured broker. Makes no connection yet, so that a process starts, and accepts
/// videos, while the broker is down.
fn open_broker(settings: &Settings) -> Result<Arc<dyn Broker>> {
    /// Maximum time for a publisher confirmation.
    const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);
    Ok(match &settings.broker.url {
        Some(url) => Arc::new(RabbitMq::new(url, CONFIRM_TIMEOUT).context(BROKER_FAILED)?),
        None => Arc::new(Embedded::new()),
    })
}

/// Return the program that cells are started from, or `None` if attempts are not isolated.
fn cell_program(settings: &settings::Worker) -> Option<Program> {
    // The running program itself, even if its file has been replaced since (proc(5)).
    let path = settings.cell_program.clone().unwrap_or_else(|| "/proc/self/exe".into());
    let program = Program {
        path,
        arguments: vec!["cell".into()],
        require_confinement: settings.require_sandbox,
    };
    (settings.isolation == settings::Isolation::Cell).then_some(program)
}

/// Describe what the kernel lacks to confine cells. Return `None` if it lacks nothing.
async fn confinement_problem(program: &Program) -> Result<Option<String>> {
    let missing = program.check().await.map_err(|failure| {
        anyhow!("{}; WORKER_ISOLATION=none runs without cells", failure.message)
    })?;
    let problem = || format!("the kernel cannot confine decoders: {}", missing.join("; "));
    Ok((!missing.is_empty()).then(problem))
}

/// Open the configured counters of rate limits.
fn open_limits(settings: &Settings, clock: &Clock) -> Result<Arc<dyn RateLimiter>> {
    Ok(match &settings.limits.redis_url {
        Some(url) => Arc::new(
            RedisRateLimiter::connect(url, clock.clone())
                .context("REDIS_URL: not an address of Redis")?,
        ),
        None => Arc::new(InMemoryRateLimiter::new(clock.clone())),
    })
}
