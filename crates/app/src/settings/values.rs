//! How single settings are read, and what is wrong with them if they are. No message repeats a
//! secret.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::de::{Deserialize, Deserializer, Error};
use tracing_subscriber::EnvFilter;
use url::Url;

/// Seconds.
pub(super) const MINUTE: u64 = 60;
/// Seconds.
pub(super) const DAY: u64 = 24 * 60 * MINUTE;
/// Seconds.
pub(super) const YEAR: u64 = 365 * DAY;

/// Most pauses between attempts.
const MOST_PAUSES: usize = 20;

/// A whole number from `LEAST` to `MOST`, which must fit its type.
pub(super) fn within<
    'de,
    D: Deserializer<'de>,
    T: TryFrom<u64>,
    const LEAST: u64,
    const MOST: u64,
>(
    from: D,
) -> Result<T, D::Error> {
    let number = i64::deserialize(from)?;
    let fitting = u64::try_from(number).ok().filter(|number| (LEAST..=MOST).contains(number));
    let fitting = fitting.and_then(|number| T::try_from(number).ok());
    fitting.ok_or_else(|| Error::custom(format_args!("{number} is not from {LEAST} to {MOST}")))
}

/// Pauses between attempts, in seconds.
pub(super) fn pauses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
    let numbers = Vec::<i64>::deserialize(from)?;
    if numbers.len() > MOST_PAUSES {
        return Err(Error::custom(format_args!("there are more than {MOST_PAUSES} pauses")));
    }
    let pause = |number: i64| {
        let fitting = u64::try_from(number).ok().filter(|number| *number <= DAY);
        fitting.ok_or_else(|| Error::custom(format_args!("{number} is not from 0 to {DAY}")))
    };
    numbers.into_iter().map(pause).collect()
}

/// A text that must be there.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    optional(from)?.ok_or_else(|| Error::custom("it must not be empty"))
}

/// A text; an empty one is none.
pub(super) fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Some(String::deserialize(from)?.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// A directory.
pub(super) fn path<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    text(from).map(PathBuf::from)
}

/// A file; an empty path is none.
pub(super) fn optional_path<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<PathBuf>, D::Error> {
    Ok(optional(from)?.map(PathBuf::from))
}

/// A secret; an empty one is none.
pub(super) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    // Serde's own message would show what stands there instead of a text.
    let text = optional(from).map_err(|_| Error::custom("it must be a text in quotation marks"))?;
    Ok(text.map(SecretString::from))
}

/// An address and a port; an empty text is none.
pub(super) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let parse = |text: String| {
        text.parse().map_err(|_| {
            Error::custom("it must be an IP address and a port, such as 127.0.0.1:9100")
        })
    };
    optional(from)?.map(parse).transpose()
}

/// Where something is on the web, without a slash at its end; an empty text is nowhere.
pub(super) fn web_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    optional(from)?.map(|text| web(&text).map_err(Error::custom)).transpose()
}

/// Origins (RFC 6454); `*` is all.
pub(super) fn origins<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let origin = |text: &String| {
        if text.trim() == "*" { Ok("*".to_owned()) } else { web(text).map_err(Error::custom) }
    };
    Vec::<String>::deserialize(from)?.iter().map(origin).collect()
}

fn web(text: &str) -> Result<String, String> {
    let text = text.trim().trim_end_matches('/');
    let url = Url::parse(text).map_err(|error| format!("`{text}` is no URL: {error}"))?;
    let named =
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty();
    if !named || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("`{text}` must be like http://host:port or https://host"));
    }
    Ok(text.to_owned())
}

/// What to log, in the words of `tracing_subscriber`.
pub(super) fn directives<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let directives = text(from)?;
    EnvFilter::try_new(&directives)
        .map_err(|error| Error::custom(format_args!("`{directives}` is no level: {error}")))?;
    Ok(directives)
}

/// Where the database is. SQLAlchemy's URLs name their driver behind a plus sign.
pub(super) fn postgres<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<SecretString>, D::Error> {
    server(
        from,
        |scheme| matches!(scheme.split('+').next(), Some("postgres" | "postgresql")),
        "postgresql://",
    )
}

/// Where RabbitMQ is.
pub(super) fn amqp<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    server(from, |scheme| matches!(scheme, "amqp" | "amqps"), "amqp:// or amqps://")
}

/// Where Redis is.
pub(super) fn redis<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    server(from, |scheme| matches!(scheme, "redis" | "rediss"), "redis:// or rediss://")
}

/// The URL of a server, which may hold a password; an empty text is none.
fn server<'de, D: Deserializer<'de>>(
    from: D,
    known: fn(&str) -> bool,
    begin: &str,
) -> Result<Option<SecretString>, D::Error> {
    let text = optional(from).map_err(|_| Error::custom("it must be a text in quotation marks"))?;
    match text {
        Some(text) if !text.split_once("://").is_some_and(|(scheme, _)| known(scheme)) => {
            Err(Error::custom(format_args!("it must begin with {begin}")))
        }
        text => Ok(text.map(SecretString::from)),
    }
}
