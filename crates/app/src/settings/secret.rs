//! Key of access tokens.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;
use tempfile::NamedTempFile;

use super::model::Settings;

/// Minimum size of a key for HMAC with SHA-256, in bytes: the size of the hash (RFC 7518, 3.2).
const MIN_BYTES: usize = 32;

/// Fragments of keys in published examples, compared without case and punctuation.
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

/// Return the key of access tokens: the configured one, or else the one in the data directory,
/// which is generated if it is missing.
///
/// # Errors
/// The configured key is a published example or too short, or the key in the data directory cannot
/// be read or written.
pub fn jwt_secret(settings: &Settings) -> Result<SecretString> {
    match &settings.accounts.jwt_secret {
        Some(secret) => {
            const HELP: &str =
                "set at least 32 random bytes, for example the output of `openssl rand -base64 48`";
            let secret = secret.expose_secret();
            if is_example(secret) {
                bail!(
                    "accounts.jwt_secret (JWT_SECRET) is a well-known example, which allows anyone \
                     to log in as any user: {HELP}"
                );
            }
            if secret.len() < MIN_BYTES {
                bail!("accounts.jwt_secret (JWT_SECRET) is too short and could be guessed: {HELP}");
            }
            Ok(secret.into())
        }
        None => read_or_generate(&settings.data_dir.join("jwt-secret")),
    }
}

/// Key that signs download links of files on disk. It is derived from the key of access tokens
/// (HKDF, RFC 5869), so neither reveals the other.
#[must_use]
pub fn link_key(jwt_secret: &SecretString) -> SecretSlice<u8> {
    const PURPOSE: &[u8] = b"fiapx download links";
    let mut key = vec![0; MIN_BYTES];
    let secret = Hkdf::<Sha256>::new(None, jwt_secret.expose_secret().as_bytes());
    // Only an output of more than 255 hashes is an error.
    let _ = secret.expand(PURPOSE, &mut key);
    key.into()
}

fn is_example(secret: &str) -> bool {
    let letters: String =
        secret.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    letters == "secret" || EXAMPLES.iter().any(|example| letters.contains(example))
}

/// Read the key in a file. Generate it if the file is missing.
fn read_or_generate(file: &Path) -> Result<SecretString> {
    let name = file.display();
    match fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            generate(file)
                .with_context(|| format!("cannot write the key of access tokens to {name}"))?;
            // Another process may have written its key first, which is then used.
            parse(file, fs::read_to_string(file))
        }
        result => parse(file, result),
    }
}

fn parse(file: &Path, result: std::io::Result<String>) -> Result<SecretString> {
    let name = file.display();
    let text = result.with_context(|| format!("cannot read the key of access tokens in {name}"))?;
    let secret = text.trim();
    if secret.len() < MIN_BYTES {
        bail!(
            "the key of access tokens in {name} is damaged: remove the file to generate a new key; \
             users have to log in again"
        );
    }
    Ok(secret.into())
}

/// Generate a key, unless the file exists. The file is created atomically, readable by its owner
/// only.
fn generate(file: &Path) -> Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    // Temporary files have mode 0600 from the start.
    let mut temporary = NamedTempFile::new_in(directory)?;
    writeln!(temporary, "{}", BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; MIN_BYTES]>()))?;
    temporary.as_file().sync_all()?;
    match temporary.persist_noclobber(file) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(error.error.into()),
        _ => Ok(()),
    }
}
