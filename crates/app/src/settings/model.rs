//! Types of the settings.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, bail};
use secrecy::SecretString;
use serde::Deserialize;

use super::needs::Needs;
use super::values;

/// All settings with their defaults, as a documented configuration file.
pub const DEFAULTS: &str = include_str!("../settings.default.toml");

/// All settings. [`DEFAULTS`] documents them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Data directory of embedded parts.
    #[serde(deserialize_with = "values::path")]
    pub data_dir: PathBuf,
    /// Time for running jobs and requests to finish when the process stops, in seconds.
    #[serde(deserialize_with = "values::within::<_, _, 0, { values::DAY }>")]
    pub grace_seconds: u64,
    /// Time for which a stopping `fiapx api` still accepts requests, in seconds.
    #[serde(deserialize_with = "values::within::<_, _, 0, { values::DAY }>")]
    pub notice_seconds: u64,
    /// The HTTP interface.
    pub server: Server,
    /// Access and refresh tokens.
    pub accounts: Accounts,
    /// Database of users and jobs.
    pub database: Database,
    /// Message broker.
    pub broker: Broker,
    /// Rate limits and quotas.
    pub limits: Limits,
    /// Storage of videos and archives.
    pub storage: Storage,
    /// Limits of uploads.
    pub upload: Upload,
    /// Processing of jobs.
    pub worker: Worker,
    /// Mails to users.
    pub mail: Mail,
    /// Events to servers of users.
    pub webhooks: Webhooks,
    /// Videos that workers read at addresses of users.
    pub videos_by_url: VideosByUrl,
    /// Log.
    pub log: Log,
    /// Metrics and health.
    pub metrics: Metrics,
    /// Traces.
    pub telemetry: Telemetry,
}

impl Settings {
    /// Forget the secrets that a process does not need, which may stand in the configuration file.
    pub(super) fn restrict(&mut self, needs: Needs) {
        if !needs.interface {
            self.accounts.jwt_secret = None;
            self.limits.redis_url = None;
        }
        if !needs.storage {
            self.storage.access_key = None;
            self.storage.secret_key = None;
        }
        if !needs.mail {
            self.mail.password = None;
        }
    }

    /// Check settings that depend on each other, as far as a process needs them.
    pub(super) fn check_combinations(&self, needs: Needs) -> Result<()> {
        let Storage { endpoint, public_endpoint, access_key, secret_key, .. } = &self.storage;
        if needs.storage && endpoint.is_some() && access_key.is_none() {
            bail!(
                "storage.access_key (S3_ACCESS_KEY) is missing: storage.endpoint (S3_ENDPOINT) \
                 requires it"
            );
        }
        if needs.storage && endpoint.is_some() && secret_key.is_none() {
            bail!(
                "storage.secret_key (S3_SECRET_KEY) is missing: storage.endpoint (S3_ENDPOINT) \
                 requires it"
            );
        }
        if endpoint.is_none() && public_endpoint.is_some() {
            bail!(
                "storage.endpoint (S3_ENDPOINT) is missing: storage.public_endpoint \
                 (S3_PUBLIC_ENDPOINT) requires it"
            );
        }
        match (&self.mail.user, &self.mail.password) {
            (Some(_), None) if needs.mail => {
                bail!("mail.password (SMTP_PASSWORD) is missing: mail.user (SMTP_USER) requires it")
            }
            (None, Some(_)) => {
                bail!("mail.user (SMTP_USER) is missing: mail.password (SMTP_PASSWORD) requires it")
            }
            _ => Ok(()),
        }
    }
}

/// The HTTP interface.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Base URL of links, without a trailing slash.
    #[serde(deserialize_with = "values::web_address")]
    pub public_url: Option<String>,
    /// Origins allowed by CORS; `*` allows all.
    #[serde(deserialize_with = "values::origins")]
    pub cors_origins: Vec<String>,
    /// Number of trusted proxies in front of the server.
    #[serde(deserialize_with = "values::within::<_, _, 0, 100>")]
    pub proxies: usize,
    /// Maximum number of open connections.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000>")]
    pub max_connections: usize,
    /// Maximum number of open connections of one network.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000>")]
    pub connections_per_address: usize,
    /// Whether the default log level is `debug`.
    pub debug: bool,
}

/// Access and refresh tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// Configured key of access tokens. Use [`super::jwt_secret`] to get the effective one.
    #[serde(deserialize_with = "values::secret")]
    pub jwt_secret: Option<SecretString>,
    /// Lifetime of an access token, in minutes.
    #[serde(deserialize_with = "values::within::<_, _, 1, { values::YEAR / values::MINUTE }>")]
    pub access_minutes: u64,
    /// Lifetime of a refresh token, in days.
    #[serde(deserialize_with = "values::within::<_, _, 1, { values::YEAR / values::DAY }>")]
    pub refresh_days: u64,
    /// Maximum lifetime of a session, in days.
    #[serde(deserialize_with = "values::within::<_, _, 1, { 10 * values::YEAR / values::DAY }>")]
    pub session_days: u64,
    /// Whether new users have to confirm their address.
    #[serde(deserialize_with = "values::word")]
    pub confirm: Confirm,
}

/// Whether new users have to confirm their address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirm {
    /// Unless everything runs on a loopback address without a mail server.
    Auto,
    /// Always.
    #[serde(rename = "true")]
    Always,
    /// Never.
    #[serde(rename = "false")]
    Never,
}

/// Database of users and jobs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// PostgreSQL URL; SQLite in the data directory if unset.
    #[serde(deserialize_with = "values::postgres")]
    pub url: Option<SecretString>,
    /// Time from the end of a job's retention to its move to the history, in days.
    #[serde(deserialize_with = "values::within::<_, _, 0, { 10 * values::YEAR / values::DAY }>")]
    pub history_after_days: u64,
    /// Time for which the history is kept, in days; for ever if 0.
    #[serde(deserialize_with = "values::within::<_, _, 0, { 100 * values::YEAR / values::DAY }>")]
    pub history_days: u64,
}

/// Message broker.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// RabbitMQ URL; an in-process queue if unset.
    #[serde(deserialize_with = "values::amqp")]
    pub url: Option<SecretString>,
}

/// Rate limits and quotas.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Redis URL; in-process counters if unset.
    #[serde(deserialize_with = "values::redis")]
    pub redis_url: Option<SecretString>,
    /// Maximum downloads per user and minute.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000>")]
    pub downloads_per_minute: u32,
    /// Maximum password checks per minute from one network at one account, and in one session.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000>")]
    pub logins_per_minute: u32,
    /// Maximum attempts to register, log in or out, or refresh per network address and minute.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000>")]
    pub attempts_per_address: u32,
    /// Maximum concurrent uploads per user and process.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000>")]
    pub uploads_at_once: u32,
    /// Maximum queued and running jobs per user.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000_000>")]
    pub unfinished_jobs: u64,
    /// Maximum jobs per user that are accepted within an hour.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000_000>")]
    pub jobs_per_hour: u64,
    /// Maximum number of frames in one archive. The interface reads manifests of twice the frames
    /// of a day at one per second.
    #[serde(deserialize_with = "values::within::<_, _, 1, { 2 * values::DAY }>")]
    pub frames_per_job: u64,
    /// Maximum open event streams per user and process.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000>")]
    pub event_streams_at_once: u32,
    /// Maximum concurrent reads of archives per user and process.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000>")]
    pub reads_at_once: u32,
    /// Maximum size of stored files per user, in megabytes (10^6 bytes).
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000_000_000>")]
    pub stored_mb: u64,
}

/// Storage of videos and archives.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// URL of the S3 store, without a trailing slash; the data directory if unset.
    #[serde(deserialize_with = "values::web_address")]
    pub endpoint: Option<String>,
    /// URL of the same store for browsers.
    #[serde(deserialize_with = "values::web_address")]
    pub public_endpoint: Option<String>,
    /// Access key. Set if `endpoint` is set.
    #[serde(deserialize_with = "values::secret")]
    pub access_key: Option<SecretString>,
    /// Secret key. Set if `endpoint` is set.
    #[serde(deserialize_with = "values::secret")]
    pub secret_key: Option<SecretString>,
    /// Bucket.
    #[serde(deserialize_with = "values::text")]
    pub bucket: String,
    /// Region for signatures.
    #[serde(deserialize_with = "values::text")]
    pub region: String,
    /// Time for which videos and archives are kept, in days.
    #[serde(deserialize_with = "values::within::<_, _, 1, { 10 * values::YEAR / values::DAY }>")]
    pub retention_days: u64,
    /// Lifetime of a download link, in seconds. Presigned requests expire after a week at most (AWS
    /// Signature Version 4, X-Amz-Expires).
    #[serde(deserialize_with = "values::within::<_, _, 1, { 7 * values::DAY }>")]
    pub link_seconds: u64,
}

/// Limits of uploads.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// Maximum size of a video, in megabytes (10^6 bytes). S3 objects are limited to 5 TiB (Amazon
    /// S3 User Guide, multipart upload limits).
    #[serde(deserialize_with = "values::within::<_, _, 1, 5_000_000>")]
    pub max_video_mb: u64,
    /// Time for which an upload may stall, in seconds.
    #[serde(deserialize_with = "values::within::<_, _, 1, { values::DAY }>")]
    pub patience_seconds: u64,
    /// Minimum rate of an upload, in kilobytes (10^3 bytes) per second, over each period of
    /// `patience_seconds`; 0 is none.
    #[serde(deserialize_with = "values::within::<_, _, 0, 1_000_000>")]
    pub min_kb_per_second: u64,
}

/// Processing of jobs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Maximum concurrent jobs; 0 is one per core.
    #[serde(deserialize_with = "values::within::<_, _, 0, 1024>")]
    pub concurrency: usize,
    /// Maximum duration of an attempt, in seconds.
    #[serde(deserialize_with = "values::within::<_, _, 1, { 30 * values::DAY }>")]
    pub timeout_seconds: u64,
    /// Pauses before further attempts, in seconds.
    #[serde(deserialize_with = "values::pauses")]
    pub retry_seconds: Vec<u64>,
    /// Isolation of attempts.
    pub isolation: Isolation,
    /// Whether to refuse to start if the kernel cannot confine cells.
    pub require_sandbox: bool,
    /// Program that cells are started from; the running program if unset.
    #[serde(deserialize_with = "values::optional_path")]
    pub cell_program: Option<PathBuf>,
    /// Memory limit of a cell, in megabytes (10^6 bytes). Valid videos fail with less than a few
    /// hundred.
    #[serde(deserialize_with = "values::within::<_, _, 256, { 1 << 24 }>")]
    pub memory_mb: u64,
    /// Maximum size of an archive, in megabytes (10^6 bytes). S3 objects are limited to 5 TiB
    /// (Amazon S3 User Guide, multipart upload limits).
    #[serde(deserialize_with = "values::within::<_, _, 1, 5_000_000>")]
    pub max_archive_mb: u64,
    /// Maximum area of a frame, in megapixels. One of 100 needs about 1 GB of memory.
    #[serde(deserialize_with = "values::within::<_, _, 1, 1_000>")]
    pub max_frame_megapixels: u64,
    /// Duration of a lease, in seconds. Leases are renewed every 500 milliseconds, and some
    /// renewals may fail.
    #[serde(deserialize_with = "values::within::<_, _, 5, { values::DAY }>")]
    pub lease_seconds: u64,
}

/// Isolation of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Each attempt runs in a process without rights.
    Cell,
    /// Attempts run in the worker process.
    None,
}

/// Mails to users.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// Host of the mail server; files in the data directory if unset.
    #[serde(deserialize_with = "values::optional")]
    pub host: Option<String>,
    /// Port of the mail server.
    #[serde(deserialize_with = "values::within::<_, _, 1, 65_535>")]
    pub port: u16,
    /// User name at the mail server.
    #[serde(deserialize_with = "values::optional")]
    pub user: Option<String>,
    /// Password at the mail server. Set if and only if `user` is set.
    #[serde(deserialize_with = "values::secret")]
    pub password: Option<SecretString>,
    /// Sender of mails.
    #[serde(deserialize_with = "values::text")]
    pub from: String,
}

/// Events to servers of users.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// Whether webhooks may lead into private networks.
    pub allow_private: bool,
}

/// Videos that workers read at addresses of users.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VideosByUrl {
    /// Whether users may add videos by their URLs.
    pub enabled: bool,
    /// Whether the URLs may lead into private networks.
    pub allow_private: bool,
}

/// Log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Level, or directives of `tracing_subscriber::EnvFilter`.
    #[serde(deserialize_with = "values::directives")]
    pub level: String,
    /// Format.
    pub format: LogFormat,
}

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One object per line.
    Json,
    /// Text for people.
    Text,
}

/// Metrics and health.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Separate address for metrics and health; the address of the server if unset.
    #[serde(deserialize_with = "values::address")]
    pub listen: Option<SocketAddr>,
}

/// Traces.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// URL of a collector for OTLP over HTTP, without a trailing slash; no traces if unset.
    #[serde(deserialize_with = "values::web_address")]
    pub otlp_endpoint: Option<String>,
}
