//! The parts of the system as the settings choose them: embedded in this process, or servers shared by many.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use broker::Broker;
use broker::embedded::Embedded;
use database::{Database, Rules};
use jobs::Clock;
use jobs::retry::RetryPolicy;
use notifier::files::Files;
use notifier::smtp::{self, Smtp};
use notifier::{Mailer, Sender};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use storage::Storage;
use storage::disk::Disk;

use crate::settings::Settings;

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
    /// Key of access tokens and, on disk, of download links.
    pub secret: SecretString,
}

impl Parts {
    /// Open everything in the data directory.
    pub async fn embedded(settings: &Settings, clock: &Clock) -> Result<Self> {
        let directory = &settings.data_dir;
        make(directory)?;
        let secret = crate::settings::jwt_secret(settings)?;
        let database = Self::database(settings, clock).await?;
        database.migrate().await.with_context(|| format!("cannot bring the database in {} up to date", directory.display()))?;
        let key = SecretSlice::from(secret.expose_secret().as_bytes().to_vec());
        let disk = Arc::new(
            Disk::open(&directory.join("files"), &key, clock.clone())
                .with_context(|| format!("cannot keep files in {}", directory.display()))?,
        );
        Ok(Self { database, storage: disk.clone(), disk: Some(disk), broker: Arc::new(Embedded::new()), secret })
    }

    /// The configured database.
    pub async fn database(settings: &Settings, clock: &Clock) -> Result<Database> {
        let rules = Rules {
            retries: RetryPolicy { pauses: settings.worker.retry_seconds.iter().copied().map(Duration::from_secs).collect() },
            lease: Duration::from_secs(settings.worker.lease_seconds),
            retention: Duration::from_hours(24 * settings.storage.retention_days),
        };
        if let Some(url) = &settings.database.url {
            return Database::postgres(url, clock.clone(), rules).await.context("DATABASE_URL: cannot connect to the database");
        }
        make(&settings.data_dir)?;
        let file = settings.data_dir.join("fiapx.db");
        Database::sqlite(&file, clock.clone(), rules).await.with_context(|| format!("cannot open {}", file.display()))
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

    /// Whether every part answers, with the reason of the first that does not.
    pub async fn check(&self) -> Result<()> {
        self.database.check().await.context("the database is not ready")?;
        self.storage.check().await.context("the file store is not ready")?;
        self.broker.check().await.context("the broker is not ready")
    }
}

/// Make the data directory, for its owner alone: it holds other people's videos.
fn make(directory: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("cannot make the data directory {}", directory.display()))
}

/// Make the data directory and take it for this process, for as long as the file is open: two would give each other's jobs up for lost.
pub fn own(directory: &Path) -> Result<File> {
    make(directory)?;
    let path = directory.join("lock");
    let lock = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let lock = lock.with_context(|| format!("cannot open {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!("another fiapx works in {}: stop it, or choose another --data-dir", directory.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}
