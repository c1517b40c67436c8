mod example;
mod jwt_secret;

use std::fs;

use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;
use toml::{Table, Value};

use super::environment::{VARIABLES, Variable};
use super::*;

/// Load settings from the text of a file and an environment.
fn load_from(file: &str, environment: &[(&str, &str)]) -> Result<Settings> {
    let directory = TempDir::new()?;
    let path = directory.path().join("fiapx.toml");
    fs::write(&path, file)?;
    let lookup = |name: &str| {
        environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    load(Some(&path), lookup, Overrides::default())
}

/// Load invalid settings and return the error, which must be one line.
fn load_error(file: &str, environment: &[(&str, &str)]) -> String {
    let line = format!("{:#}", load_from(file, environment).expect_err("an error"));
    assert!(!line.contains('\n'), "{line:?} has several lines");
    line
}

fn exposed(secret: Option<&SecretString>) -> Option<&str> {
    secret.map(ExposeSecret::expose_secret)
}

#[test]
fn loads_the_defaults() {
    let settings = load(None, |_| None, Overrides::default()).expect("valid defaults");
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(settings.data_dir, Path::new("data"));
    assert_eq!((settings.accounts.access_minutes, settings.accounts.refresh_days), (60, 7));
    assert_eq!((settings.storage.retention_days, settings.storage.link_seconds), (7, 900));
    assert_eq!((settings.limits.downloads_per_minute, settings.limits.logins_per_minute), (10, 10));
    assert_eq!(settings.upload.max_video_mb, 500);
    assert_eq!(settings.worker.retry_seconds, [30, 60, 120]);
    assert_eq!((settings.worker.lease_seconds, settings.grace_seconds), (60, 30));
    assert_eq!(settings.log.format, LogFormat::Auto);
    assert_eq!((settings.worker.concurrency, &*settings.storage.bucket), (2, "fiapx-videos"));
    // All parts are embedded.
    assert!(
        settings.accounts.jwt_secret.is_none()
            && settings.database.url.is_none()
            && settings.broker.url.is_none()
    );
    assert!(
        settings.limits.redis_url.is_none()
            && settings.storage.endpoint.is_none()
            && settings.mail.host.is_none()
    );
    assert!(
        settings.server.public_url.is_none()
            && settings.metrics.listen.is_none()
            && settings.telemetry.otlp_endpoint.is_none()
    );
}

/// Collect the names of all settings in a table.
fn names(table: &Table, section: &str, into: &mut Vec<String>) {
    for (key, value) in table {
        match value {
            Value::Table(inner) => names(inner, &format!("{section}{key}."), into),
            _ => into.push(format!("{section}{key}")),
        }
    }
}

#[test]
fn documents_every_setting_and_its_variable() {
    let mut settings = Vec::new();
    names(&DEFAULTS.parse().expect("valid TOML"), "", &mut settings);
    for setting in &settings {
        assert!(
            VARIABLES.iter().any(|variable| variable.setting == setting),
            "{setting} has no variable"
        );
    }
    for Variable { name, setting, .. } in VARIABLES {
        assert!(
            settings.iter().any(|known| known == setting),
            "{name} overrides {setting}, which does not exist"
        );
        assert!(DEFAULTS.contains(name), "{name} is not documented");
    }
    for paragraph in DEFAULTS.split("\n\n") {
        let first = paragraph.lines().find(|line| !line.starts_with('['));
        assert!(first.is_some_and(|line| line.starts_with('#')), "not documented: {paragraph}");
    }
    assert!(DEFAULTS.lines().all(|line| line.len() <= 100), "a line is too long");
}

#[test]
fn accepts_its_own_defaults_as_a_file() {
    let settings = load_from(DEFAULTS, &[]).expect("valid settings");
    let defaults = load(None, |_| None, Overrides::default()).expect("valid defaults");
    assert_eq!(format!("{settings:?}"), format!("{defaults:?}"));
}

#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("fiapx.toml");
    fs::write(
        &path,
        "data_dir = \"from-file\"\n[server]\nlisten = \"1.1.1.1:1\"\n[upload]\nmax_video_mb = 7\n",
    )
    .expect("a file");
    let environment = |name: &str| match name {
        "DATA_DIR" => Some("from-environment".to_owned()),
        "API_PORT" => Some("2".to_owned()),
        // Equivalent to an unset variable.
        "MAX_VIDEO_SIZE_MB" => Some(" ".to_owned()),
        _ => None,
    };
    let flags = Overrides { listen: None, data_dir: Some("from-flag".into()) };
    let settings = load(Some(&path), environment, flags).expect("valid settings");
    assert_eq!(settings.data_dir, Path::new("from-flag"));
    assert_eq!(settings.server.listen.to_string(), "1.1.1.1:2");
    assert_eq!(settings.upload.max_video_mb, 7);
    let flags = Overrides { listen: "3.3.3.3:3".parse().ok(), data_dir: None };
    let settings = load(Some(&path), environment, flags).expect("valid settings");
    assert_eq!(settings.data_dir, Path::new("from-environment"));
    assert_eq!(settings.server.listen.to_string(), "3.3.3.3:3");
}

/// Variables of the original system, with values as in its `.env`.
#[test]
fn loads_the_variables_of_the_original_system() {
    let settings = load_from(
        "",
        &[
            ("API_HOST", "0.0.0.0"),
            ("API_PORT", "8080"),
            ("PUBLIC_URL", "https://videos.example.com/"),
            ("CORS_ORIGINS", "http://localhost:3000, https://app.example.com/"),
            ("DEBUG", "true"),
            ("JWT_SECRET", "k"),
            ("DATABASE_URL", "postgresql+asyncpg://fiapx:p@db:5432/fiapx"),
            ("REDIS_URL", "redis://redis:6379/0"),
            ("RABBITMQ_URL", "amqp://guest:guest@rabbitmq:5672/"),
            ("MINIO_ENDPOINT", "minio:9000"),
            ("MINIO_ACCESS_KEY", "minioadmin"),
            ("MINIO_SECRET_KEY", "minioadmin"),
            ("MINIO_BUCKET", "videos"),
            ("SMTP_HOST", "mail"),
            ("SMTP_PORT", "1025"),
            ("SMTP_USER", ""),
            ("SMTP_PASSWORD", ""),
            ("EMAIL_FROM", "FIAP X <x@example.com>"),
            ("WORKER_CONCURRENCY", "4"),
            ("WORKER_RETRY_SECONDS", "1, 2"),
            ("METRICS_LISTEN", "0.0.0.0:9100"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/"),
            ("LOG_FORMAT", "json"),
            ("PATH", "/bin"),
        ],
    )
    .expect("valid settings");
    assert_eq!(settings.server.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(settings.server.public_url.as_deref(), Some("https://videos.example.com"));
    assert_eq!(settings.server.cors_origins, ["http://localhost:3000", "https://app.example.com"]);
    assert_eq!(settings.log.level, "debug");
    assert_eq!(exposed(settings.accounts.jwt_secret.as_ref()), Some("k"));
    assert_eq!(
        exposed(settings.database.url.as_ref()),
        Some("postgresql+asyncpg://fiapx:p@db:5432/fiapx")
    );
    assert_eq!(exposed(settings.limits.redis_url.as_ref()), Some("redis://redis:6379/0"));
    assert_eq!(exposed(settings.broker.url.as_ref()), Some("amqp://guest:guest@rabbitmq:5672/"));
    assert_eq!(settings.storage.endpoint.as_deref(), Some("http://minio:9000"));
    assert_eq!(exposed(settings.storage.access_key.as_ref()), Some("minioadmin"));
    assert_eq!(settings.storage.bucket, "videos");
    assert_eq!((settings.mail.host.as_deref(), settings.mail.port), (Some("mail"), 1025));
    assert!(settings.mail.user.is_none() && settings.mail.password.is_none());
    assert_eq!(settings.mail.from, "FIAP X <x@example.com>");
    assert_eq!((settings.worker.concurrency, settings.worker.retry_seconds), (4, vec![1, 2]));
    assert_eq!(settings.metrics.listen.map(|address| address.port()), Some(9100));
    assert_eq!(settings.telemetry.otlp_endpoint.as_deref(), Some("http://collector:4318"));
    assert_eq!(settings.log.format, LogFormat::Json);
}

#[test]
fn accepts_alternative_names_and_values_of_variables() {
    let keys = [("S3_ACCESS_KEY", "a"), ("S3_SECRET_KEY", "b")];
    let with =
        |more: &[(&str, &str)]| load_from("", &[&keys[..], more].concat()).expect("valid settings");
    let endpoint = |more: &[(&str, &str)]| with(more).storage.endpoint;
    assert_eq!(
        endpoint(&[("MINIO_ENDPOINT", "minio:9000"), ("MINIO_SECURE", "True")]).as_deref(),
        Some("https://minio:9000")
    );
    assert_eq!(
        endpoint(&[("MINIO_ENDPOINT", "http://minio:9000"), ("MINIO_SECURE", "1")]).as_deref(),
        Some("http://minio:9000")
    );
    // S3_* variables override MINIO_* variables.
    let both = with(&[
        ("MINIO_ENDPOINT", "minio:9000"),
        ("S3_ENDPOINT", "https://s3.example.com/"),
        ("MINIO_BUCKET", "m"),
        ("S3_BUCKET", "s"),
    ]);
    assert_eq!(
        (both.storage.endpoint.as_deref(), &*both.storage.bucket),
        (Some("https://s3.example.com"), "s")
    );
    assert_eq!(exposed(both.storage.access_key.as_ref()), Some("a"));

    let list = with(&[
        ("CORS_ORIGINS", r#"["http://a", "*"]"#),
        ("WORKER_RETRY_SECONDS", "[]"),
        ("API_HOST", "localhost"),
    ]);
    assert_eq!(
        (list.server.cors_origins, list.worker.retry_seconds),
        (vec!["http://a".to_owned(), "*".to_owned()], vec![])
    );
    assert!(list.server.listen.ip().is_loopback());
    assert_eq!(with(&[("API_HOST", "::")]).server.listen.to_string(), "[::]:8000");
    assert_eq!(with(&[("DEBUG", "1"), ("LOG_LEVEL", "warn")]).log.level, "warn");
    assert_eq!(with(&[("DEBUG", "off")]).log.level, "info");
}

#[test]
fn names_the_invalid_setting_of_a_file() {
    for (file, parts) in [
        (
            "[worker]\ntimeout_seconds = \"long\"",
            &["worker.timeout_seconds in ", "fiapx.toml is invalid", "long"][..],
        ),
        ("[worker]\ntimeout_seconds = 0", &["worker.timeout_seconds", "0 is not from 1 to"]),
        ("[worker]\ntimeout_secs = 1", &["worker.timeout_secs in ", "is not a setting"]),
        ("[wrker]\ntimeout_seconds = 1", &["wrker in ", "is not a setting"]),
        ("[wrker]", &["wrker in ", "is not a setting"]),
        ("worker = 3", &["worker in ", "must be a section"]),
        ("[data_dir]\nx = 1", &["data_dir in ", "is invalid"]),
        ("data_dir = \"\"", &["data_dir", "must not be empty"]),
        ("\n\n[worker\n", &["fiapx.toml, line 3"]),
        ("[server]\nlisten = \"localhost\"", &["server.listen", "is invalid"]),
        ("[log]\nformat = \"xml\"", &["log.format", "xml", "auto"]),
        ("[log]\nlevel = \"info,=?=\"", &["log.level", "is not a log level"]),
        ("[worker]\nretry_seconds = [1, -1]", &["worker.retry_seconds", "-1 is not from 0"]),
        ("[storage]\nlink_seconds = 604801", &["storage.link_seconds", "604800"]),
        ("[server]\ncors_origins = [\"example.com\"]", &["server.cors_origins", "example.com"]),
        ("[mail]\nport = 70000", &["mail.port", "70000"]),
    ] {
        let line = load_error(file, &[]);
        for part in parts {
            assert!(line.contains(part), "{line:?} should contain {part:?}");
        }
    }
    let line = format!(
        "{:#}",
        load(Some(Path::new("/nowhere/x.toml")), |_| None, Overrides::default())
            .expect_err("no such file")
    );
    assert!(line.contains("/nowhere/x.toml"), "{line}");
}

#[test]
fn names_the_invalid_variable() {
    for (name, value, part) in [
        ("API_PORT", "http", "`http` is not a port"),
        ("API_PORT", "70000", "70000"),
        ("API_HOST", "example.com", "`example.com` is not an IP address"),
        ("DEBUG", "perhaps", "is not true or false"),
        ("MINIO_SECURE", "perhaps", "is not true or false"),
        ("MAX_VIDEO_SIZE_MB", "500MB", "`500MB` is not an integer"),
        ("MAX_VIDEO_SIZE_MB", "-1", "-1 is not from 1"),
        ("WORKER_RETRY_SECONDS", "30,x", "`x` is not an integer"),
        ("CORS_ORIGINS", "[\"http://a\"", "JSON"),
        ("DATABASE_URL", "sqlite:///fiapx.db", "must start with postgresql://"),
        ("RABBITMQ_URL", "rabbitmq:5672", "must start with amqp://"),
        ("REDIS_URL", "http://redis", "must start with redis://"),
        ("S3_ENDPOINT", "minio:9000", "must have the form http://host:port"),
        ("PUBLIC_URL", "videos.example.com", "`videos.example.com`"),
        ("METRICS_LISTEN", "9100", "an IP address and a port"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "must have the form http://host:port"),
        ("LOG_FORMAT", "xml", "json"),
    ] {
        let line = load_error("", &[(name, value)]);
        assert!(
            line.starts_with(&format!("{name} in the environment is invalid: "))
                && line.contains(part),
            "{line:?}, {part:?}"
        );
    }
}

#[test]
fn rejects_incomplete_combinations() {
    let store = ("S3_ENDPOINT", "http://s3");
    for (environment, missing) in [
        (&[store][..], "S3_ACCESS_KEY"),
        (&[store, ("S3_ACCESS_KEY", "a")], "S3_SECRET_KEY"),
        (&[("S3_PUBLIC_ENDPOINT", "http://s3")], "S3_ENDPOINT"),
        (&[("SMTP_USER", "u")], "SMTP_PASSWORD"),
        (&[("SMTP_PASSWORD", "p")], "SMTP_USER"),
    ] {
        let line = load_error("", environment);
        assert!(line.contains(&format!("({missing}) is missing")), "{line}");
    }
}

#[test]
fn never_shows_secrets() {
    let variables = ["JWT_SECRET", "S3_ACCESS_KEY", "S3_SECRET_KEY", "SMTP_PASSWORD"]
        .map(|name| (name, "hush-hush"));
    let urls = [
        ("DATABASE_URL", "postgres://u:hush-hush@h/d"),
        ("RABBITMQ_URL", "amqp://u:hush-hush@h"),
        ("REDIS_URL", "redis://:hush-hush@h"),
    ];
    let user = [("SMTP_USER", "u"), ("S3_ENDPOINT", "http://s3")];
    let settings = load_from("", &[&variables[..], &urls, &user].concat()).expect("valid settings");
    let shown = format!("{settings:?} {settings:#?}");
    assert!(shown.contains("REDACTED") && !shown.contains("hush"), "{shown}");

    for name in ["DATABASE_URL", "RABBITMQ_URL", "REDIS_URL"] {
        assert!(!load_error("", &[(name, "ftp://u:hush-hush@h")]).contains("hush"));
    }
    for setting in [
        "accounts.jwt_secret",
        "mail.password",
        "storage.secret_key",
        "database.url",
        "broker.url",
        "limits.redis_url",
    ] {
        let line = load_error(&format!("{setting} = 20041231"), &[]);
        assert!(line.contains(setting) && !line.contains("20041231"), "{line}");
    }
}

#[test]
fn reads_the_value_of_a_variable_from_a_file() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("secret");
    fs::write(&path, "a secret of thirty-two bytes or more\n").expect("a written file");
    let path = path.to_str().expect("valid UTF-8");
    let settings =
        load_from("", &[("JWT_SECRET_FILE", path), ("API_PORT", "8123")]).expect("valid settings");
    assert_eq!(
        exposed(settings.accounts.jwt_secret.as_ref()),
        Some("a secret of thirty-two bytes or more")
    );
    assert_eq!(settings.server.listen.port(), 8123);

    let both = load_error(
        "",
        &[("JWT_SECRET_FILE", path), ("JWT_SECRET", "another secret of thirty-two bytes")],
    );
    assert!(
        both.contains("JWT_SECRET_FILE")
            && both.contains("remove one of them")
            && !both.contains("secret of"),
        "{both}"
    );
    let missing = load_error("", &[("DATABASE_URL_FILE", "/nowhere/url")]);
    assert!(missing.contains("DATABASE_URL_FILE") && missing.contains("/nowhere/url"), "{missing}");
}

#[test]
fn parses_the_documented_defaults() {
    let settings = load(None, |_| None, Overrides::default()).expect("valid defaults");
    insta::assert_debug_snapshot!("defaults", settings);
}
