//! What an operator can set. The defaults stand in `settings.default.toml`, each with what it
//! means; a file, the environment and flags may change them, in this order.

mod layers;
mod environment;
mod values;
mod secret;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use secrecy::SecretString;
use serde::Deserialize;

use layers::Layers;
pub use secret::jwt_secret;

/// All settings with their defaults, as a configuration file that explains them.
pub const DEFAULTS: &str = include_str!("settings.default.toml");

/// What flags say, which goes before everything else.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Goes before `server.listen`.
    pub listen: Option<SocketAddr>,
    /// Goes before `data_dir`.
    pub data_dir: Option<PathBuf>,
}

/// All settings.
///
/// [`load`] brings the defaults, the file `config`, the `environment` and the flags together.
///
/// # Errors
/// One line that names the first setting that is wrong, unknown or missing, and where it stands.
pub fn load(
    config: Option<&Path>,
    environment: impl Fn(&str) -> Option<String>,
    overrides: Overrides,
) -> Result<Settings> {
    let mut layers = Layers::new()?;
    let default_level = layers.settings().log.level.clone();
    if let Some(file) = config {
        layers.add_file(file)?;
    }
    environment::add(&mut layers, environment)?;
    let mut settings = layers.into_settings();
    if let Some(listen) = overrides.listen {
        settings.server.listen = listen;
    }
    if let Some(data_dir) = overrides.data_dir {
        settings.data_dir = data_dir;
    }
    if settings.server.debug && settings.log.level == default_level {
        "debug".clone_into(&mut settings.log.level);
    }
    settings.complete()?;
    Ok(settings)
}

/// All settings. Units and meanings stand in [`DEFAULTS`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where embedded parts keep their data.
    #[serde(deserialize_with = "values::path")]
    pub data_dir: PathBuf,
    /// How long running work may go on when the process has to stop.
    #[serde(deserialize_with = "values::within::<_, _, 0, { values::DAY }>")]
    pub grace_seconds: u64,
    /// How long requests are still taken when a process that is one of several has to stop.
    #[serde(deserialize_with = "values::within::<_, _, 0, { values::DAY }>")]
    pub notice_seconds: u64,
    /// The HTTP interface.
    pub server: Server,
    /// Tokens.
    pub accounts: Accounts,
    /// Users and jobs.
    pub database: Database,
    /// Tasks.
    pub broker: Broker,
    /// How often something may be done.
    pub limits: Limits,
    /// Videos and archives.
    pub storage: Storage,
    /// What may be uploaded.
    pub upload: Upload,
    /// How jobs are done.
    pub worker: Worker,
    /// How users are told.
    pub mail: Mail,
    /// What is logged.
    pub log: Log,
    /// Figures.
    pub metrics: Metrics,
    /// Traces.
    pub telemetry: Telemetry,
}

impl Settings {
    /// Whether settings that need each other are there.
    fn complete(&self) -> Result<()> {
        let Storage { endpoint, public_endpoint, access_key, secret_key, .. } = &self.storage;
        if endpoint.is_some() && access_key.is_none() {
            bail!(
                "storage.access_key (S3_ACCESS_KEY) is missing: storage.endpoint (S3_ENDPOINT) needs one"
            );
        }
        if endpoint.is_some() && secret_key.is_none() {
            bail!(
                "storage.secret_key (S3_SECRET_KEY) is missing: storage.endpoint (S3_ENDPOINT) needs one"
            );
        }
        if endpoint.is_none() && public_endpoint.is_some() {
            bail!(
                "storage.endpoint (S3_ENDPOINT) is missing: storage.public_endpoint (S3_PUBLIC_ENDPOINT) is another way to it"
            );
        }
        match (&self.mail.user, &self.mail.password) {
            (Some(_), None) => {
                bail!("mail.password (SMTP_PASSWORD) is missing: there is a mail.user (SMTP_USER)")
            }
            (None, Some(_)) => {
                bail!("mail.user (SMTP_USER) is missing: there is a mail.password (SMTP_PASSWORD)")
            }
            _ => Ok(()),
        }
    }
}

/// The HTTP interface.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Base of links, without a slash at its end.
    #[serde(deserialize_with = "values::web_address")]
    pub public_url: Option<String>,
    /// Origins whose pages may use it; `*` is all.
    #[serde(deserialize_with = "values::origins")]
    pub cors_origins: Vec<String>,
    /// How many proxies of ours stand before it.
    #[serde(deserialize_with = "values::within::<_, _, 0, 100>")]
    pub proxies: usize,
    /// Whether to log more.
    pub debug: bool,
}

/// Tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// Key of access tokens, as it is configured. What to use is [`jwt_secret`].
    #[serde(deserialize_with = "values::secret")]
    pub jwt_secret: Option<SecretString>,
    /// How long an access token is valid.
    #[serde(deserialize_with = "values::within::<_, _, 1, { values::YEAR / values::MINUTE }>")]
    pub access_minutes: u64,
    /// How long a refresh token is valid.
    #[serde(deserialize_with = "values::within::<_, _, 1, { values::YEAR / values::DAY }>")]
    pub refresh_days: u64,
}

/// Users and jobs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// PostgreSQL; none is SQLite in the data directory.
    #[serde(deserialize_with = "values::postgres")]
    pub url: Option<SecretString>,
}

/// Tasks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// RabbitMQ; none is a queue inside the process.
    #[serde(deserialize_with = "values::amqp")]
    pub url: Option<SecretString>,
}

/// How often something may be done.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Redis; none is counting inside the process.
    #[serde(deserialize_with = "values::redis")]
    pub redis_url: Option<SecretString>,
    /// Downloads of a user.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000>")]
    pub downloads_per_minute: u32,
    /// Attempts at an account.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000>")]
    pub logins_per_minute: u32,
    /// Attempts from a network address.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000>")]
    pub attempts_per_address: u32,
    /// Uploads of a user at once.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000>")]
    pub uploads_at_once: u32,
    /// Jobs of a user that wait or run.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000_000>")]
    pub unfinished_jobs: u64,
    /// What a user may store.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000_000>")]
    pub stored_mb: u64,
}

/// Videos and archives.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// The S3 store, without a slash at its end; none is the data directory.
    #[serde(deserialize_with = "values::web_address")]
    pub endpoint: Option<String>,
    /// The same as browsers reach it.
    #[serde(deserialize_with = "values::web_address")]
    pub public_endpoint: Option<String>,
    /// Name of our key; always there with an endpoint.
    #[serde(deserialize_with = "values::secret")]
    pub access_key: Option<SecretString>,
    /// Our key; always there with an endpoint.
    #[serde(deserialize_with = "values::secret")]
    pub secret_key: Option<SecretString>,
    /// Where objects lie.
    #[serde(deserialize_with = "values::text")]
    pub bucket: String,
    /// What signatures name as the region.
    #[serde(deserialize_with = "values::text")]
    pub region: String,
    /// How long objects are kept.
    #[serde(deserialize_with = "values::within::<_, _, 1, { 10 * values::YEAR / values::DAY }>")]
    pub retention_days: u64,
    /// How long links are valid. Presigned requests end after a week at most (AWS Signature Version
    /// 4, X-Amz-Expires).
    #[serde(deserialize_with = "values::within::<_, _, 1, { 7 * values::DAY }>")]
    pub link_seconds: u64,
}

/// What may be uploaded.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// MiB of the largest video. No S3 object is larger than 5 TiB (Amazon S3 User Guide, multipart
    /// upload limits).
    #[serde(deserialize_with = "values::within::<_, _, 1, { 5 << 20 }>")]
    pub max_video_mb: u64,
    /// How long an upload may stand still.
    #[serde(deserialize_with = "values::within::<_, _, 1, { values::DAY }>")]
    pub patience_seconds: u64,
}

/// How jobs are done.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Jobs at a time; 0 is one for each core.
    #[serde(deserialize_with = "values::within::<_, _, 0, 1024>")]
    pub concurrency: usize,
    /// How long an attempt may take.
    #[serde(deserialize_with = "values::within::<_, _, 1, { 30 * values::DAY }>")]
    pub timeout_seconds: u64,
    /// Pauses between attempts.
    #[serde(deserialize_with = "values::pauses")]
    pub retry_seconds: Vec<u64>,
    /// Where attempts run.
    pub isolation: Isolation,
    /// Whether a kernel that cannot confine cells is of no use.
    pub require_sandbox: bool,
    /// What cells are started from; none is this program.
    #[serde(deserialize_with = "values::optional_path")]
    pub cell_program: Option<PathBuf>,
    /// MiB of memory that a cell may have. Below a few hundred, good videos fail.
    #[serde(deserialize_with = "values::within::<_, _, 256, { 1 << 24 }>")]
    pub memory_mb: u64,
    /// Megabytes of the largest archive. No S3 object is larger than 5 TiB (Amazon S3 User Guide,
    /// multipart upload limits).
    #[serde(deserialize_with = "values::within::<_, _, 1, 5_000_000>")]
    pub max_archive_mb: u64,
    /// How long a silent worker keeps its job. Renewals come every second, and some must be able to
    /// fail.
    #[serde(deserialize_with = "values::within::<_, _, 5, { values::DAY }>")]
    pub lease_seconds: u64,
}

/// Where attempts run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Each in a process without rights.
    Cell,
    /// In the worker itself.
    None,
}

/// How users are told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// The mail server; none is files in the data directory.
    #[serde(deserialize_with = "values::optional")]
    pub host: Option<String>,
    /// Its port.
    #[serde(deserialize_with = "values::within::<_, _, 1, 65_535>")]
    pub port: u16,
    /// Who we are to it.
    #[serde(deserialize_with = "values::optional")]
    pub user: Option<String>,
    /// Always there with a user, and never without.
    #[serde(deserialize_with = "values::secret")]
    pub password: Option<SecretString>,
    /// Whom mails come from.
    #[serde(deserialize_with = "values::text")]
    pub from: String,
}

/// What is logged.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Directives of `tracing_subscriber::EnvFilter`.
    #[serde(deserialize_with = "values::directives")]
    pub level: String,
    /// How it looks.
    pub format: LogFormat,
}

/// How a log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One object a line.
    Json,
    /// For people.
    Text,
}

/// Figures.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// An address of their own; none is the server's.
    #[serde(deserialize_with = "values::address")]
    pub listen: Option<SocketAddr>,
}

/// Traces.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// A collector that takes OTLP by HTTP, without a slash at its end; none is no traces.
    #[serde(deserialize_with = "values::web_address")]
    pub otlp_endpoint: Option<String>,
}
