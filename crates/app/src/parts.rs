//! The parts of the system as the settings choose them: embedded in this process, or servers shared
//! by many.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use api::{InMemoryRateLimiter, RateLimiter, RedisRateLimiter};
use broker::embedded::Embedded;
use broker::rabbitmq::RabbitMq;
use broker::{Broker, Queue};
use database::{Database, Rules};
use jobs::Clock;
use jobs::retry::RetryPolicy;
use notifier::files::Files;
use notifier::smtp::{self, Smtp};
use notifier::{Mailer, Sender};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use storage::Storage;
use storage::disk::Disk;
use storage::s3::{DEFAULT_UPLOAD_MEMORY, S3, S3Settings};
use tracing::warn;
use worker::Isolation;
use worker::cell::{Cells, Program};

use crate::settings::{self, Settings};
use crate::telemetry;

/// What every role works with.
pub struct Parts {
    /// Users and jobs.
    pub database: Database,
    /// Videos and archives.
    pub storage: Arc<dyn Storage>,
    /// The same, where it is this machine's disk.
    pub disk: Option<Arc<Disk>>,
    /// Tasks.
    pub broker: Arc<dyn Broker>,
    /// Who may do how much.
    pub limits: Arc<dyn RateLimiter>,
    /// Key of access tokens and, on disk, of download links.
    pub secret: SecretString,
}

impl Parts {
    /// Open all parts.
    ///
    /// # Errors
    /// A part cannot be opened; the error names its setting.
    pub async fn open(settings: &Settings, clock: &Clock) -> Result<Self> {
        let secret = settings::jwt_secret(settings)?;
        let database = Self::database(settings, clock).await?;
        let (storage, disk) = storage(settings, &secret, clock).await?;
        Ok(Self {
            database,
            storage,
            disk,
            broker: broker(settings).await?,
            limits: limits(settings, clock)?,
            secret,
        })
    }

    /// The configured database.
    pub async fn database(settings: &Settings, clock: &Clock) -> Result<Database> {
        let rules = Rules {
            retries: RetryPolicy {
                pauses: settings
                    .worker
                    .retry_seconds
                    .iter()
                    .copied()
                    .map(Duration::from_secs)
                    .collect(),
            },
            lease: Duration::from_secs(settings.worker.lease_seconds),
            retention: retention(settings),
        };
        if let Some(url) = &settings.database.url {
            return Database::postgres(url, clock.clone(), rules)
                .await
                .context("DATABASE_URL: cannot connect to the database");
        }
        make(&settings.data_dir)?;
        let file = settings.data_dir.join("fiapx.db");
        Database::sqlite(&file, clock.clone(), rules)
            .await
            .with_context(|| format!("cannot open {}", file.display()))
    }

    /// The database of a service that is there, for a command beside it. Nothing is made, and
    /// whoever has the data directory keeps it: SQLite lets several processes write by turns.
    ///
    /// # Errors
    /// There is none, or its schema is older than this program.
    pub async fn existing_database(settings: &Settings, clock: &Clock) -> Result<Database> {
        if settings.database.url.is_none() && !settings.data_dir.join("fiapx.db").is_file() {
            bail!(
                "no service keeps its data in {}: set DATABASE_URL, or choose another --data-dir",
                settings.data_dir.display()
            );
        }
        let database = Self::database(settings, clock).await?;
        database.check().await?;
        Ok(database)
    }

    /// Where the files of a service are that is there.
    pub async fn store(settings: &Settings, clock: &Clock) -> Result<Arc<dyn Storage>> {
        Ok(storage(settings, &settings::jwt_secret(settings)?, clock).await?.0)
    }

    /// The dead letters of each queue. None if the broker is in the memory of another process.
    pub async fn dead_letters(settings: &Settings) -> Result<Option<Vec<(&'static str, u64)>>> {
        if settings.broker.url.is_none() {
            return Ok(None);
        }
        let (broker, mut letters) = (broker(settings).await?, Vec::new());
        for queue in Queue::ALL {
            letters.push((queue.dead_letter_name(), broker.dead_letter_count(queue).await?));
        }
        Ok(Some(letters))
    }

    /// Reach every part, and say of each what is wrong with it.
    pub async fn check(settings: &Settings, clock: &Clock) -> Vec<(&'static str, Result<()>)> {
        /// How long a part may take to answer.
        const PATIENCE: Duration = Duration::from_secs(20);
        let database = async {
            let database = Self::database(settings, clock).await?;
            if settings.database.url.is_none() {
                // Nobody else would bring it up to date.
                database.migrate().await?;
            }
            Ok(database.check().await?)
        };
        let storage = async {
            let secret = settings::jwt_secret(settings)?;
            Ok(storage(settings, &secret, clock).await?.0.check().await?)
        };
        let broker = async { Ok(broker(settings).await?.check().await?) };
        let limits = async {
            limits(settings, clock)?
                .check()
                .await
                .map_err(|error| anyhow!("REDIS_URL: Redis does not answer: {error}"))
        };
        let mail = async { Ok(Self::mailer(settings)?.0.check().await?) };
        let decoders = async {
            let lacking = match cell(&settings.worker) {
                Some(program) => lacking(&program).await?,
                None => None,
            };
            lacking.map_or(Ok(()), |lacking| bail!("{lacking}"))
        };
        let in_time = async |check: Pin<Box<dyn Future<Output = Result<()>> + '_>>| {
            tokio::time::timeout(PATIENCE, check)
                .await
                .unwrap_or_else(|_| bail!("no answer within {} seconds", PATIENCE.as_secs()))
        };
        let mut checked = vec![
            ("database", in_time(Box::pin(database)).await),
            ("file store", in_time(Box::pin(storage)).await),
            ("broker", in_time(Box::pin(broker)).await),
            ("limits", in_time(Box::pin(limits)).await),
            ("mail", in_time(Box::pin(mail)).await),
            ("decoders", in_time(Box::pin(decoders)).await),
        ];
        if let Some(endpoint) = &settings.telemetry.otlp_endpoint {
            checked.push(("collector", in_time(Box::pin(telemetry::check(endpoint))).await));
        }
        checked
    }

    /// What attempts run in. Warns of what decoders could reach.
    pub async fn isolation(settings: &settings::Worker) -> Result<Isolation> {
        let Some(program) = cell(settings) else {
            if settings.require_sandbox {
                bail!(
                    "WORKER_ISOLATION is `none`, but WORKER_REQUIRE_SANDBOX is set: one of them has to change"
                );
            }
            warn!(
                "videos are decoded in the worker itself, with all of its rights: WORKER_ISOLATION is `none`"
            );
            return Ok(Isolation::None);
        };
        if let Some(lacking) = lacking(&program).await? {
            if settings.require_sandbox {
                bail!("{lacking}; WORKER_REQUIRE_SANDBOX is set");
            }
            warn!("{lacking}: a hostile video may reach what this worker reaches");
        }
        Ok(Isolation::Cell(Cells::of(program)))
    }

    /// What sends mails: the configured server, or a directory of files.
    pub fn mailer(settings: &Settings) -> Result<(Arc<dyn Mailer>, Sender)> {
        let mail = &settings.mail;
        let sender = Sender::parse(&mail.from)?;
        let Some(host) = mail.host.clone() else {
            return Ok((Arc::new(Files::new(settings.data_dir.join("mails"))), sender));
        };
        let login = mail.user.clone().zip(mail.password.clone());
        Ok((Arc::new(Smtp::new(smtp::Server { host, port: mail.port, login })), sender))
    }
}

/// How long files are kept.
fn retention(settings: &Settings) -> Duration {
    Duration::from_hours(24 * settings.storage.retention_days)
}

/// The configured store; if it is this machine's disk, also as such.
async fn storage(
    settings: &Settings,
    secret: &SecretString,
    clock: &Clock,
) -> Result<(Arc<dyn Storage>, Option<Arc<Disk>>)> {
    let chosen = &settings.storage;
    let (Some(endpoint), Some(access_key), Some(secret_key)) =
        (&chosen.endpoint, &chosen.access_key, &chosen.secret_key)
    else {
        make(&settings.data_dir)?;
        let directory = settings.data_dir.join("files");
        let key = SecretSlice::from(secret.expose_secret().as_bytes().to_vec());
        let disk = Disk::open(&directory, &key, clock.clone());
        let disk = Arc::new(
            disk.with_context(|| format!("cannot keep files in {}", directory.display()))?,
        );
        return Ok((disk.clone(), Some(disk)));
    };
    let s3 = S3::connect(S3Settings {
        endpoint: endpoint.clone(),
        public_endpoint: chosen.public_endpoint.clone(),
        region: chosen.region.clone(),
        bucket: chosen.bucket.clone(),
        access_key: access_key.clone(),
        secret_key: secret_key.clone(),
        path_style: true,
        upload_memory: DEFAULT_UPLOAD_MEMORY,
    })?;
    // A day more than ours: the bucket does not know which objects are in use.
    match s3.configure_lifecycle(retention(settings) + Duration::from_hours(24)).await {
        Ok(missing) => missing.into_iter().for_each(|missing| warn!("{missing}")),
        Err(error) => {
            warn!(%error, "the bucket's rules for old objects cannot be set; the service's own retention goes on");
        }
    }
    Ok((Arc::new(s3), None))
}

/// The configured broker.
async fn broker(settings: &Settings) -> Result<Arc<dyn Broker>> {
    /// How long the broker may take to confirm.
    const PATIENCE: Duration = Duration::from_secs(10);
    Ok(match &settings.broker.url {
        Some(url) => Arc::new(
            RabbitMq::connect(url, PATIENCE)
                .await
                .context("RABBITMQ_URL: the broker cannot be used")?,
        ),
        None => Arc::new(Embedded::new()),
    })
}

/// What cells are started from, unless there are none.
fn cell(settings: &settings::Worker) -> Option<Program> {
    // The very program that runs, whatever has taken its place in the file system since (proc(5)).
    let path = settings.cell_program.clone().unwrap_or_else(|| "/proc/self/exe".into());
    let program =
        Program { path, arguments: vec!["cell".into()], confined: settings.require_sandbox };
    (settings.isolation == settings::Isolation::Cell).then_some(program)
}

/// What the kernel lacks to confine cells, in words.
async fn lacking(program: &Program) -> Result<Option<String>> {
    let lacking = program
        .check()
        .await
        .map_err(|failure| anyhow!("{}; WORKER_ISOLATION=none does without", failure.message))?;
    let words =
        || format!("the kernel cannot confine decoders as it should: {}", lacking.join("; "));
    Ok((!lacking.is_empty()).then(words))
}

/// What counts who does how much.
fn limits(settings: &Settings, clock: &Clock) -> Result<Arc<dyn RateLimiter>> {
    Ok(match &settings.limits.redis_url {
        Some(url) => Arc::new(
            RedisRateLimiter::connect(url, clock.clone())
                .context("REDIS_URL: it is no address of Redis")?,
        ),
        None => Arc::new(InMemoryRateLimiter::new(clock.clone())),
    })
}

/// The settings that choose a part which other processes share, and whether it is chosen.
pub fn shared(settings: &Settings) -> [(&'static str, bool); 5] {
    [
        ("DATABASE_URL", settings.database.url.is_some()),
        ("RABBITMQ_URL", settings.broker.url.is_some()),
        ("S3_ENDPOINT", settings.storage.endpoint.is_some()),
        ("REDIS_URL", settings.limits.redis_url.is_some()),
        ("JWT_SECRET", settings.accounts.jwt_secret.is_some()),
    ]
}

/// Make the data directory, for its owner alone: it holds other people's videos.
fn make(directory: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("cannot make the data directory {}", directory.display()))
}

/// Make the data directory and take it for this process, for as long as the file is open: two would
/// give each other's jobs up for lost.
pub fn own(directory: &Path) -> Result<File> {
    make(directory)?;
    let path = directory.join("lock");
    let lock = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let lock = lock.with_context(|| format!("cannot open {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!(
                "another fiapx works in {}: stop it, or choose another --data-dir",
                directory.display()
            )
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}
