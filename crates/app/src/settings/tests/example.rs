//! The file `.env.example`.

use super::super::Settings;
use super::{exposed, load_from};

/// Parse the variables of `.env.example`, which shells and Docker Compose can read, too: values
/// with special characters are quoted.
fn example_variables() -> Vec<(&'static str, &'static str)> {
    include_str!("../../../../../.env.example")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_once('=').expect("NAME=VALUE"))
        .map(|(name, value)| (name, unquoted(value)))
        .collect()
}

/// Return a value without its quotes.
fn unquoted(value: &'static str) -> &'static str {
    if let Some(quoted) = value.strip_prefix('"') {
        let text = quoted.strip_suffix('"').expect("a closing quote");
        assert!(!text.contains(['"', '$', '`', '\\']), "quotes do not protect {text}");
        return text;
    }
    assert!(!value.contains([' ', '<', '>', ';', '&', '$', '#', '\'']), "no quotes: {value}");
    value
}

/// Return a valid value that differs from the value of a variable in `.env.example`.
fn other_value(name: &str, value: &str) -> String {
    match name {
        "API_HOST" => "127.0.0.2".to_owned(),
        "MINIO_ENDPOINT" => "other:9000".to_owned(),
        "EMAIL_FROM" => "other@example.com".to_owned(),
        _ => match value.parse::<u64>() {
            Ok(number) => (number + 1).to_string(),
            Err(_) if value == "false" => "true".to_owned(),
            Err(_) => format!("{value}x"),
        },
    }
}

/// Settings as text, secrets included.
fn exposed_settings(settings: &Settings) -> String {
    let secrets = [
        &settings.accounts.jwt_secret,
        &settings.database.url,
        &settings.limits.redis_url,
        &settings.broker.url,
        &settings.storage.access_key,
        &settings.storage.secret_key,
        &settings.mail.password,
    ]
    .map(|secret| exposed(secret.as_ref()));
    format!("{settings:?} {secrets:?}")
}

#[test]
fn every_variable_of_the_example_changes_a_setting() {
    let example = example_variables();
    let original = load_from("", &example).expect("valid settings");
    for (index, (name, value)) in example.iter().enumerate() {
        let mut changed = example.clone();
        let other = other_value(name, value);
        changed[index].1 = &other;
        let settings = load_from("", &changed).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_ne!(
            exposed_settings(&settings),
            exposed_settings(&original),
            "{name} has no effect"
        );
    }
}

#[test]
fn the_example_has_every_variable_of_the_original_system() {
    let example = example_variables();
    for name in [
        "API_HOST",
        "API_PORT",
        "CORS_ORIGINS",
        "DATABASE_URL",
        "DEBUG",
        "EMAIL_FROM",
        "JWT_ACCESS_TOKEN_EXPIRE_MINUTES",
        "JWT_REFRESH_TOKEN_EXPIRE_DAYS",
        "JWT_SECRET",
        "MAX_VIDEO_SIZE_MB",
        "MINIO_ACCESS_KEY",
        "MINIO_BUCKET",
        "MINIO_ENDPOINT",
        "MINIO_SECRET_KEY",
        "PRESIGNED_URL_EXPIRY_SECONDS",
        "RABBITMQ_URL",
        "REDIS_URL",
        "SMTP_HOST",
        "SMTP_PASSWORD",
        "SMTP_PORT",
        "SMTP_USER",
        "VIDEO_RETENTION_DAYS",
        "WORKER_CONCURRENCY",
        "WORKER_TIMEOUT_SECONDS",
    ] {
        assert!(example.iter().any(|(known, _)| *known == name), "{name} is missing");
    }
}
