//! Deserialization and validation of single settings. No error message contains a secret.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IntoDeserializer};
use tracing_subscriber::EnvFilter;
use url::Url;

/// Seconds of a minute.
pub(super) const MINUTE: u64 = 60;
/// Seconds of a day.
pub(super) const DAY: u64 = 24 * 60 * MINUTE;
/// Seconds of a year.
pub(super) const YEAR: u64 = 365 * DAY;

/// Maximum number of pauses between attempts.
const MAX_PAUSES: usize = 20;

/// Deserialize an integer from `MIN` to `MAX`.
pub(super) fn within<'de, D: Deserializer<'de>, T: TryFrom<u64>, const MIN: u64, const MAX: u64>(
    from: D,
) -> Result<T, D::Error> {
    let number = i64::deserialize(from)?;
    let fitting = u64::try_from(number).ok().filter(|number| (MIN..=MAX).contains(number));
    let fitting = fitting.and_then(|number| T::try_from(number).ok());
    fitting.ok_or_else(|| Error::custom(format_args!("{number} is not from {MIN} to {MAX}")))
}

/// Deserialize pauses between attempts, in seconds.
pub(super) fn pauses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
    let numbers = Vec::<i64>::deserialize(from)?;
    if numbers.len() > MAX_PAUSES {
        return Err(Error::custom(format_args!("there are more than {MAX_PAUSES} pauses")));
    }
    let pause = |number: i64| {
        let fitting = u64::try_from(number).ok().filter(|number| *number <= DAY);
        fitting.ok_or_else(|| Error::custom(format_args!("{number} is not from 0 to {DAY}")))
    };
    numbers.into_iter().map(pause).collect()
}

/// Deserialize a text that must not be empty.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    optional(from)?.ok_or_else(|| Error::custom("it must not be empty"))
}

/// Deserialize a text; `None` if it is empty.
pub(super) fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Some(String::deserialize(from)?.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// Deserialize a path that must not be empty.
pub(super) fn path<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    text(from).map(PathBuf::from)
}

/// Deserialize a path; `None` if it is empty.
pub(super) fn optional_path<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<PathBuf>, D::Error> {
    Ok(optional(from)?.map(PathBuf::from))
}

/// Deserialize a secret; `None` if it is empty.
pub(super) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    // The message of serde contains the value, which may be a secret.
    let text =
        optional(from).map_err(|_| Error::custom("it must be a string in quotation marks"))?;
    Ok(text.map(SecretString::from))
}

/// Deserialize a socket address; `None` if it is empty.
pub(super) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let parse = |text: String| {
        text.parse().map_err(|_| {
            Error::custom("it must be an IP address and a port, such as 127.0.0.1:9100")
        })
    };
    optional(from)?.map(parse).transpose()
}

/// Deserialize an HTTP URL, without a trailing slash; `None` if it is empty.
pub(super) fn web_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    optional(from)?.map(|text| http_url(&text).map_err(Error::custom)).transpose()
}

/// Deserialize origins (RFC 6454); `*` stands for all origins.
pub(super) fn origins<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let origin = |text: &String| {
        if text.trim() == "*" { Ok("*".to_owned()) } else { http_url(text).map_err(Error::custom) }
    };
    Vec::<String>::deserialize(from)?.iter().map(origin).collect()
}

/// Parse an HTTP URL without user, query and fragment.
fn http_url(text: &str) -> Result<String, String> {
    let text = text.trim().trim_end_matches('/');
    let url = Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    let valid =
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty();
    if !valid || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("`{text}` must have the form http://host:port or https://host"));
    }
    Ok(text.to_owned())
}

/// Deserialize one of several words, of which TOML reads `true` and `false` as booleans.
pub(super) fn word<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Word {
        Flag(bool),
        Text(String),
    }
    let word = match Word::deserialize(from) {
        Ok(Word::Flag(flag)) => flag.to_string(),
        Ok(Word::Text(text)) => text.trim().to_ascii_lowercase(),
        Err(_) => return Err(Error::custom("it must be a word in quotation marks")),
    };
    T::deserialize(word.into_deserializer())
}

/// Deserialize directives of `tracing_subscriber::EnvFilter`.
pub(super) fn directives<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let directives = text(from)?;
    EnvFilter::try_new(&directives).map_err(|error| {
        Error::custom(format_args!("`{directives}` is not a log level: {error}"))
    })?;
    Ok(directives)
}

/// Deserialize a PostgreSQL URL. URLs of SQLAlchemy have a driver name after a plus sign.
pub(super) fn postgres<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<SecretString>, D::Error> {
    server(
        from,
        |scheme| matches!(scheme.split('+').next(), Some("postgres" | "postgresql")),
        "postgresql://",
    )
}

/// Deserialize an AMQP URL.
pub(super) fn amqp<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    server(from, |scheme| matches!(scheme, "amqp" | "amqps"), "amqp:// or amqps://")
}

/// Deserialize a Redis URL.
pub(super) fn redis<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    server(from, |scheme| matches!(scheme, "redis" | "rediss"), "redis:// or rediss://")
}

/// Deserialize the URL of a server, which may contain a password; `None` if it is empty.
/// `is_scheme` accepts its schemes, and `schemes` lists them for errors.
fn server<'de, D: Deserializer<'de>>(
    from: D,
    is_scheme: fn(&str) -> bool,
    schemes: &str,
) -> Result<Option<SecretString>, D::Error> {
    let text =
        optional(from).map_err(|_| Error::custom("it must be a string in quotation marks"))?;
    match text {
        Some(text) if !text.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme)) => {
            Err(Error::custom(format_args!("it must start with {schemes}")))
        }
        text => Ok(text.map(SecretString::from)),
    }
}
