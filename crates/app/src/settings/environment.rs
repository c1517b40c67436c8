//! Settings in environment variables. The variables of the original system keep their names and
//! meanings.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Result, anyhow};
use toml::Value;

use super::layers::Layers;
use super::needs::Needs;

/// Type of the value of a variable.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Number,
    Flag,
    /// Comma-separated texts, or a JSON array.
    Texts,
    /// Comma-separated numbers, or a JSON array.
    Numbers,
    /// IP address of a socket address.
    Host,
    /// Port of a socket address.
    Port,
    /// Address of a store, with an optional scheme.
    Store,
}

/// Variable that overrides a setting.
pub(super) struct Variable {
    pub name: &'static str,
    pub setting: &'static str,
    kind: Kind,
}

impl Variable {
    const fn new(name: &'static str, setting: &'static str, kind: Kind) -> Self {
        Self { name, setting, kind }
    }
}

/// All variables. If two variables for the same setting are set, the later one wins.
pub(super) const VARIABLES: &[Variable] = &[
    Variable::new("DATA_DIR", "data_dir", Kind::Text),
    Variable::new("GRACE_PERIOD_SECONDS", "grace_seconds", Kind::Number),
    Variable::new("NOTICE_PERIOD_SECONDS", "notice_seconds", Kind::Number),
    Variable::new("API_HOST", "server.listen", Kind::Host),
    Variable::new("API_PORT", "server.listen", Kind::Port),
    Variable::new("PUBLIC_URL", "server.public_url", Kind::Text),
    Variable::new("CORS_ORIGINS", "server.cors_origins", Kind::Texts),
    Variable::new("TRUSTED_PROXIES", "server.proxies", Kind::Number),
    Variable::new("API_MAX_CONNECTIONS", "server.max_connections", Kind::Number),
    Variable::new("API_CONNECTIONS_PER_ADDRESS", "server.connections_per_address", Kind::Number),
    Variable::new("DEBUG", "server.debug", Kind::Flag),
    Variable::new("JWT_SECRET", "accounts.jwt_secret", Kind::Text),
    Variable::new("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "accounts.access_minutes", Kind::Number),
    Variable::new("JWT_REFRESH_TOKEN_EXPIRE_DAYS", "accounts.refresh_days", Kind::Number),
    Variable::new("SESSION_DAYS", "accounts.session_days", Kind::Number),
    Variable::new("ACCOUNTS_CONFIRM", "accounts.confirm", Kind::Text),
    Variable::new("DATABASE_URL", "database.url", Kind::Text),
    Variable::new("JOB_HISTORY_AFTER_DAYS", "database.history_after_days", Kind::Number),
    Variable::new("JOB_HISTORY_DAYS", "database.history_days", Kind::Number),
    Variable::new("RABBITMQ_URL", "broker.url", Kind::Text),
    Variable::new("REDIS_URL", "limits.redis_url", Kind::Text),
    Variable::new("LIMIT_DOWNLOADS_PER_MINUTE", "limits.downloads_per_minute", Kind::Number),
    Variable::new("LIMIT_LOGINS_PER_MINUTE", "limits.logins_per_minute", Kind::Number),
    Variable::new("LIMIT_ATTEMPTS_PER_ADDRESS", "limits.attempts_per_address", Kind::Number),
    Variable::new("LIMIT_UPLOADS_AT_ONCE", "limits.uploads_at_once", Kind::Number),
    Variable::new("LIMIT_UNFINISHED_JOBS", "limits.unfinished_jobs", Kind::Number),
    Variable::new("LIMIT_JOBS_PER_HOUR", "limits.jobs_per_hour", Kind::Number),
    Variable::new("LIMIT_FRAMES_PER_JOB", "limits.frames_per_job", Kind::Number),
    Variable::new("LIMIT_EVENT_STREAMS_AT_ONCE", "limits.event_streams_at_once", Kind::Number),
    Variable::new("LIMIT_READS_AT_ONCE", "limits.reads_at_once", Kind::Number),
    Variable::new("LIMIT_STORED_MB", "limits.stored_mb", Kind::Number),
    Variable::new("MINIO_ENDPOINT", "storage.endpoint", Kind::Store),
    Variable::new("MINIO_ACCESS_KEY", "storage.access_key", Kind::Text),
    Variable::new("MINIO_SECRET_KEY", "storage.secret_key", Kind::Text),
    Variable::new("MINIO_BUCKET", "storage.bucket", Kind::Text),
    Variable::new("S3_ENDPOINT", "storage.endpoint", Kind::Text),
    Variable::new("S3_PUBLIC_ENDPOINT", "storage.public_endpoint", Kind::Text),
    Variable::new("S3_ACCESS_KEY", "storage.access_key", Kind::Text),
    Variable::new("S3_SECRET_KEY", "storage.secret_key", Kind::Text),
    Variable::new("S3_BUCKET", "storage.bucket", Kind::Text),
    Variable::new("S3_REGION", "storage.region", Kind::Text),
    Variable::new("VIDEO_RETENTION_DAYS", "storage.retention_days", Kind::Number),
    Variable::new("PRESIGNED_URL_EXPIRY_SECONDS", "storage.link_seconds", Kind::Number),
    Variable::new("MAX_VIDEO_SIZE_MB", "upload.max_video_mb", Kind::Number),
    Variable::new("UPLOAD_PATIENCE_SECONDS", "upload.patience_seconds", Kind::Number),
    Variable::new("UPLOAD_MIN_KB_PER_SECOND", "upload.min_kb_per_second", Kind::Number),
    Variable::new("WORKER_CONCURRENCY", "worker.concurrency", Kind::Number),
    Variable::new("WORKER_TIMEOUT_SECONDS", "worker.timeout_seconds", Kind::Number),
    Variable::new("WORKER_RETRY_SECONDS", "worker.retry_seconds", Kind::Numbers),
    Variable::new("WORKER_LEASE_SECONDS", "worker.lease_seconds", Kind::Number),
    Variable::new("WORKER_ISOLATION", "worker.isolation", Kind::Text),
    Variable::new("WORKER_REQUIRE_SANDBOX", "worker.require_sandbox", Kind::Flag),
    Variable::new("WORKER_CELL_PROGRAM", "worker.cell_program", Kind::Text),
    Variable::new("WORKER_MEMORY_MB", "worker.memory_mb", Kind::Number),
    Variable::new("WORKER_MAX_ARCHIVE_MB", "worker.max_archive_mb", Kind::Number),
    Variable::new("WORKER_MAX_FRAME_MEGAPIXELS", "worker.max_frame_megapixels", Kind::Number),
    Variable::new("SMTP_HOST", "mail.host", Kind::Text),
    Variable::new("SMTP_PORT", "mail.port", Kind::Number),
    Variable::new("SMTP_USER", "mail.user", Kind::Text),
    Variable::new("SMTP_PASSWORD", "mail.password", Kind::Text),
    Variable::new("EMAIL_FROM", "mail.from", Kind::Text),
    Variable::new("WEBHOOKS_ALLOW_PRIVATE", "webhooks.allow_private", Kind::Flag),
    Variable::new("VIDEOS_BY_URL", "videos_by_url.enabled", Kind::Flag),
    Variable::new("VIDEOS_BY_URL_ALLOW_PRIVATE", "videos_by_url.allow_private", Kind::Flag),
    Variable::new("LOG_LEVEL", "log.level", Kind::Text),
    Variable::new("LOG_FORMAT", "log.format", Kind::Text),
    Variable::new("METRICS_LISTEN", "metrics.listen", Kind::Text),
    Variable::new("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint", Kind::Text),
];

/// Variable that selects TLS for an address of a store without a scheme.
const SECURE: &str = "MINIO_SECURE";

/// Suffix of variables that name a file with the value. Secrets in files do not appear in process
/// lists and container descriptions.
const FILE_SUFFIX: &str = "_FILE";

/// Override settings by all variables that are set and not empty. Variables, and files that they
/// name, are not read if the process does not need them.
pub(super) fn add(
    layers: &mut Layers,
    environment: impl Fn(&str) -> Option<String>,
    needs: Needs,
) -> Result<()> {
    let variable = |name: &str| {
        environment(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let invalid =
        |name: &str, reason: String| anyhow!("{name} in the environment is invalid: {reason}");
    let lookup = |name: &str| {
        let file_variable = format!("{name}{FILE_SUFFIX}");
        match (variable(name), variable(&file_variable)) {
            (Some(_), Some(_)) => {
                Err(invalid(&file_variable, format!("{name} is set as well; remove one of them")))
            }
            (text, None) => Ok(text),
            (None, Some(path)) => {
                let text = fs::read_to_string(&path).map_err(|error| {
                    invalid(&file_variable, format!("cannot read `{path}`: {error}"))
                })?;
                Ok(Some(text.trim().to_owned()))
            }
        }
    };
    let secure = lookup(SECURE)?
        .map_or(Ok(false), |text| flag(&text))
        .map_err(|reason| invalid(SECURE, reason))?;
    for Variable { name, setting, kind } in VARIABLES.iter().filter(|v| needs.include(v.setting)) {
        let Some(text) = lookup(name)? else { continue };
        let value = value(*kind, &text, layers.settings().server.listen, secure)
            .map_err(|reason| invalid(name, reason))?;
        layers.set(setting, value, &format_args!("{name} in the environment"))?;
    }
    Ok(())
}

/// Convert the text of a variable to the value of its setting. `listen` is the current value of
/// `server.listen`, of which a variable changes one half.
fn value(kind: Kind, text: &str, listen: SocketAddr, secure: bool) -> Result<Value, String> {
    Ok(match kind {
        Kind::Text => text.into(),
        Kind::Number => number(text)?.into(),
        Kind::Flag => flag(text)?.into(),
        Kind::Texts => list(text, |item| Ok(item.to_owned()))?.into(),
        Kind::Numbers => list(text, number)?.into(),
        Kind::Host => SocketAddr::new(host(text)?, listen.port()).to_string().into(),
        Kind::Port => SocketAddr::new(listen.ip(), port(text)?).to_string().into(),
        Kind::Store if text.contains("://") => text.into(),
        Kind::Store => format!("{}://{text}", if secure { "https" } else { "http" }).into(),
    })
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("`{text}` is not an integer"))
}

fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(format!("`{text}` is not true or false")),
    }
}

fn host(text: &str) -> Result<IpAddr, String> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    text.parse().map_err(|_| format!("`{text}` is not an IP address"))
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("`{text}` is not a port (0 to 65535)"))
}

/// Parse a list, whose items are parsed by `parse`.
fn list<T>(text: &str, parse: fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    if text.starts_with('[') {
        let items: Vec<serde_json::Value> =
            serde_json::from_str(text).map_err(|error| format!("not a JSON array: {error}"))?;
        return items
            .iter()
            .map(|item| item.as_str().map_or_else(|| parse(&item.to_string()), parse))
            .collect();
    }
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(parse).collect()
}
