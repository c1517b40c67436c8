//! Rules for passwords, and their hashes.

use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use tokio::sync::Semaphore;

use crate::problem::{FieldError, Problem};

/// Minimum length of a password, in characters.
const MIN_CHARACTERS: usize = 8;
/// Maximum length of a password, in bytes. It limits the work that one request can cause.
const MAX_BYTES: usize = 128;

/// Check a password for the field `field`. The result is empty for a valid password.
pub fn check(field: &str, password: &str) -> Vec<FieldError> {
    let is_special = |char: char| !char.is_alphanumeric() && !char.is_whitespace();
    let rules = [
        (
            password.chars().count() >= MIN_CHARACTERS,
            "PASSWORD_TOO_SHORT",
            "The password must have at least 8 characters.",
        ),
        (
            password.len() <= MAX_BYTES,
            "PASSWORD_TOO_LONG",
            "The password must have at most 128 bytes.",
        ),
        (
            password.chars().any(char::is_uppercase),
            "PASSWORD_NO_UPPER_CASE",
            "The password must contain an uppercase letter.",
        ),
        (
            password.chars().any(|char| char.is_ascii_digit()),
            "PASSWORD_NO_DIGIT",
            "The password must contain a digit.",
        ),
        (
            password.chars().any(is_special),
            "PASSWORD_NO_SPECIAL",
            "The password must contain a special character, such as ! or #.",
        ),
    ];
    rules
        .into_iter()
        .filter(|(fulfilled, ..)| !fulfilled)
        .map(|(_, code, message)| FieldError::new(field, code, message))
        .collect()
}

/// Hashes passwords with Argon2id and the default parameters of its crate, which are OWASP's
/// minimum: 19 MiB, two passes. Runs at most one hash per core, which bounds the memory.
pub struct PasswordHashes {
    cores: Arc<Semaphore>,
}

impl Default for PasswordHashes {
    fn default() -> Self {
        Self { cores: Arc::new(Semaphore::new(available_parallelism().map_or(1, Into::into))) }
    }
}

impl PasswordHashes {
    /// Hash a password. Returns a PHC string.
    pub async fn hash(&self, password: String) -> Result<String, Problem> {
        self.run(move || argon2_hash(&password).map_err(|error| Problem::internal(&error))).await?
    }

    /// Return whether a password matches a hash. Without a hash the result is `false` after the
    /// same time, so that response times do not reveal which accounts exist.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Problem> {
        self.run(move || {
            static DUMMY: OnceLock<String> = OnceLock::new();
            let is_known = hash.is_some();
            let hash = hash.unwrap_or_else(|| {
                DUMMY.get_or_init(|| argon2_hash("no account").unwrap_or_default()).clone()
            });
            let password = if password.len() <= MAX_BYTES { password } else { String::new() };
            let matches =
                Argon2::default().verify_password(password.as_bytes(), hash.as_str()).is_ok();
            matches && is_known
        })
        .await
    }

    /// Run CPU-bound work on a separate thread as soon as a core is free.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let cores = Arc::clone(&self.cores);
        let core = cores.acquire_owned().await.map_err(|error| Problem::internal(&error))?;
        // The work continues if its request is dropped, so the permit belongs to the work.
        let work = move || {
            let _core = core;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| Problem::internal(&error))
    }
}

fn argon2_hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    let hash: PasswordHash = Argon2::default().hash_password(password.as_bytes())?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_violated_rule() {
        let codes = |password| {
            check("password", password).into_iter().map(|error| error.code).collect::<Vec<_>>()
        };
        assert_eq!(codes("Senha#2026"), [""; 0]);
        assert_eq!(codes("ÁÉÍÓÚ#12"), [""; 0]);
        assert_eq!(codes("senha#2026"), ["PASSWORD_NO_UPPER_CASE"]);
        assert_eq!(codes("Senha#xyz"), ["PASSWORD_NO_DIGIT"]);
        assert_eq!(codes("Senha 2026"), ["PASSWORD_NO_SPECIAL"]);
        assert_eq!(
            codes(""),
            [
                "PASSWORD_TOO_SHORT",
                "PASSWORD_NO_UPPER_CASE",
                "PASSWORD_NO_DIGIT",
                "PASSWORD_NO_SPECIAL"
            ]
        );
        assert_eq!(codes(&format!("A1#{}", "x".repeat(200))), ["PASSWORD_TOO_LONG"]);
    }

    #[tokio::test]
    async fn verifies_only_the_hashed_password() -> Result<(), Problem> {
        let hashes = PasswordHashes::default();
        let hash = hashes.hash("Senha#2026".to_owned()).await?;
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(hashes.verify("Senha#2026".to_owned(), Some(hash.clone())).await?);
        assert!(!hashes.verify("Senha#2027".to_owned(), Some(hash)).await?);
        assert!(!hashes.verify("no account".to_owned(), None).await?);
        Ok(())
    }
}
