//! Passwords: what they must have, and how they are kept.

use std::sync::OnceLock;
use std::thread::available_parallelism;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use tokio::sync::Semaphore;

use crate::problem::{FieldError, Problem};

/// Longest password, in bytes: hashing a longer one would be work that anybody can ask for.
const LONGEST: usize = 128;

/// What a password lacks; empty if nothing.
pub fn lacks(password: &str) -> Vec<FieldError> {
    let special = |char: char| !char.is_alphanumeric() && !char.is_whitespace();
    let rules = [
        (
            password.chars().count() >= 8,
            "PASSWORD_TOO_SHORT",
            "The password needs at least 8 characters.",
        ),
        (
            password.len() <= LONGEST,
            "PASSWORD_TOO_LONG",
            "The password may have 128 bytes at most.",
        ),
        (
            password.chars().any(char::is_uppercase),
            "PASSWORD_NO_UPPER_CASE",
            "The password needs an upper-case letter.",
        ),
        (
            password.chars().any(|char| char.is_ascii_digit()),
            "PASSWORD_NO_DIGIT",
            "The password needs a digit.",
        ),
        (
            password.chars().any(special),
            "PASSWORD_NO_SPECIAL",
            "The password needs a special character, such as ! or #.",
        ),
    ];
    rules
        .into_iter()
        .filter(|(kept, ..)| !kept)
        .map(|(_, code, message)| FieldError::new("password", code, message))
        .collect()
}

/// Hashes passwords with Argon2id and its crate's parameters, which are OWASP's least: 19 MiB, two
/// passes. At most one at a time on each core, so that many at once cannot take all memory.
pub struct Passwords {
    cores: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { cores: Semaphore::new(available_parallelism().map_or(1, Into::into)) }
    }
}

impl Passwords {
    /// The hash to keep, as a PHC string.
    pub async fn hash(&self, password: String) -> Result<String, Problem> {
        self.work(move || {
            let hash: Result<PasswordHash, _> =
                Argon2::default().hash_password(password.as_bytes());
            hash.map(|hash| hash.to_string()).map_err(|error| Problem::internal(&error))
        })
        .await?
    }

    /// Whether a password is the one of this hash. Without a hash the answer is no, after the same
    /// time: nobody can tell by the clock which users there are.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Problem> {
        self.work(move || {
            static NOBODY: OnceLock<String> = OnceLock::new();
            let nobody = || {
                let hash: Result<PasswordHash, _> =
                    Argon2::default().hash_password(b"nobody's password");
                hash.map(|hash| hash.to_string()).unwrap_or_default()
            };
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| NOBODY.get_or_init(nobody).clone());
            let password = if password.len() <= LONGEST { password } else { String::new() };
            let matches =
                Argon2::default().verify_password(password.as_bytes(), hash.as_str()).is_ok();
            matches && known
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let _core = self.cores.acquire().await.map_err(|error| Problem::internal(&error))?;
        tokio::task::spawn_blocking(work).await.map_err(|error| Problem::internal(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_named() {
        let codes =
            |password| lacks(password).into_iter().map(|lack| lack.code).collect::<Vec<_>>();
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
    async fn only_the_password_itself_verifies() -> Result<(), Problem> {
        let passwords = Passwords::default();
        let hash = passwords.hash("Senha#2026".to_owned()).await?;
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(passwords.verify("Senha#2026".to_owned(), Some(hash.clone())).await?);
        assert!(!passwords.verify("Senha#2027".to_owned(), Some(hash)).await?);
        assert!(!passwords.verify("nobody's password".to_owned(), None).await?);
        Ok(())
    }
}
