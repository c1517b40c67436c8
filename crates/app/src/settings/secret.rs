//! The key of access tokens.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use tempfile::NamedTempFile;

use super::Settings;

/// A key for HMAC with SHA-256 is as long as the hash or longer (RFC 7518, 3.2).
const LEAST_BYTES: usize = 32;

/// Parts of the keys that stand in examples, which somebody will forget to replace.
const EXAMPLES: [&str; 9] = [
    "changeme",
    "changethis",
    "changein",
    "yoursecret",
    "yoursupersecret",
    "yourjwtsecret",
    "devsecret",
    "examplesecret",
    "replaceme",
];

/// The key of access tokens: the configured one, or else one that is made for the data directory
/// and kept there.
///
/// # Errors
/// The configured key is one that others know or could guess, or the data directory cannot keep
/// one.
pub fn jwt_secret(settings: &Settings) -> Result<SecretString> {
    match &settings.accounts.jwt_secret {
        Some(secret) => {
            const HELP: &str =
                "set at least 32 random bytes, such as `openssl rand -base64 48` prints";
            let secret = secret.expose_secret();
            if is_example(secret) {
                bail!(
                    "accounts.jwt_secret (JWT_SECRET) is a well-known example, with which anybody could log in as anybody: {HELP}"
                );
            }
            if secret.len() < LEAST_BYTES {
                bail!("accounts.jwt_secret (JWT_SECRET) is too short, it could be guessed: {HELP}");
            }
            Ok(secret.into())
        }
        None => kept(&settings.data_dir.join("jwt-secret")),
    }
}

fn is_example(secret: &str) -> bool {
    let letters: String =
        secret.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    letters == "secret" || EXAMPLES.iter().any(|example| letters.contains(example))
}

/// The key in this file, which is made if it is not there.
fn kept(file: &Path) -> Result<SecretString> {
    let name = file.display();
    match fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make(file).with_context(|| format!("cannot keep a key of access tokens in {name}"))?;
            // Another process may have been quicker, so its key counts.
            read(file, fs::read_to_string(file))
        }
        result => read(file, result),
    }
}

fn read(file: &Path, result: std::io::Result<String>) -> Result<SecretString> {
    let name = file.display();
    let text = result.with_context(|| format!("cannot read the key of access tokens in {name}"))?;
    let secret = text.trim();
    if secret.len() < LEAST_BYTES {
        bail!(
            "the key of access tokens in {name} is damaged: remove the file, and a new key is made; users then log in again"
        );
    }
    Ok(secret.into())
}

/// Make a key, unless the file is there. It appears complete or not at all, and only for its owner.
fn make(file: &Path) -> Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    // Temporary files have mode 0600 from the start.
    let mut temporary = NamedTempFile::new_in(directory)?;
    writeln!(temporary, "{}", BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; LEAST_BYTES]>()))?;
    temporary.as_file().sync_all()?;
    match temporary.persist_noclobber(file) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(error.error.into()),
        _ => Ok(()),
    }
}
