//! Rules for passwords, and their hashes.

use std::sync::OnceLock;
use std::thread::available_parallelism;
use std::time::Duration;

use poem::http::StatusCode;
use unicode_normalization::UnicodeNormalization;

use crate::problem::{FieldError, Problem};
use crate::work_threads::{NotDone, Priority, WorkThreads};
use crate::{argon2id, common_passwords, opaque_string};

/// Minimum length of a password: code points of its normal form.
const MIN_CHARACTERS: usize = 8;
/// Length from which a password needs no particular characters (NIST SP 800-63B-4, 3.1.1.2).
const LONG_CHARACTERS: usize = 15;
/// Minimum length of the local part of an address that a password must not contain.
const MIN_LOCAL_PART: usize = 4;
/// Name of the service, which a password must not contain: letters and digits in lower case.
const SERVICE_NAME: &str = "fiapx";
/// Maximum length of a password: bytes of its normal form in UTF-8. It limits the work that one
/// request can cause.
const MAX_BYTES: usize = 256;

/// Valid new password, in the normal form of [`opaque_string`].
pub struct NewPassword(String);

impl NewPassword {
    /// Check a password of the account with the address `email` for the field `field`. Returns all
    /// rules that it violates.
    pub fn new(field: &str, password: &str, email: &str) -> Result<Self, Vec<FieldError>> {
        let password = opaque_string::enforce(password).map_err(|disallowed| {
            let message = format!(
                "The password contains the character U+{:04X}, which is not allowed. Control \
                 characters and other invisible ones are rejected.",
                u32::from(disallowed)
            );
            vec![FieldError::new(field, "PASSWORD_CHARACTER_INVALID", &message)]
        })?;
        let errors = violated_rules(field, &password, email);
        if errors.is_empty() { Ok(Self(password)) } else { Err(errors) }
    }
}

/// Rules that a password in normal form violates.
fn violated_rules(field: &str, password: &str, email: &str) -> Vec<FieldError> {
    let is_special = |char: char| !char.is_alphanumeric() && !char.is_whitespace();
    let characters = password.chars().count();
    let is_long = characters >= LONG_CHARACTERS;
    let rules = [
        (
            characters >= MIN_CHARACTERS,
            "PASSWORD_TOO_SHORT",
            "The password must have at least 8 characters.",
        ),
        (
            password.len() <= MAX_BYTES,
            "PASSWORD_TOO_LONG",
            "The password must have at most 256 bytes.",
        ),
        (
            is_long || password.chars().any(char::is_uppercase),
            "PASSWORD_NO_UPPER_CASE",
            "The password must contain an uppercase letter, or have at least 15 characters.",
        ),
        (
            is_long || password.chars().any(|char| char.is_ascii_digit()),
            "PASSWORD_NO_DIGIT",
            "The password must contain a digit, or have at least 15 characters.",
        ),
        (
            is_long || password.chars().any(is_special),
            "PASSWORD_NO_SPECIAL",
            "The password must contain a special character, such as ! or #, or have at least 15 \
             characters.",
        ),
        (
            !common_passwords::contains(password),
            "PASSWORD_COMMON",
            "The password is one of the most common ones. Choose another one.",
        ),
        (
            !contains_local_part(password, email),
            "PASSWORD_CONTAINS_ADDRESS",
            "The password must not contain the e-mail address.",
        ),
        (
            !letters_and_digits(password).contains(SERVICE_NAME),
            "PASSWORD_CONTAINS_SERVICE",
            "The password must not contain the name of the service.",
        ),
    ];
    rules
        .into_iter()
        .filter(|(fulfilled, ..)| !fulfilled)
        .map(|(_, code, message)| FieldError::new(field, code, message))
        .collect()
}

/// Return whether a password contains the part of an address before the `@`. Short ones are
/// ignored, because other words contain them.
fn contains_local_part(password: &str, email: &str) -> bool {
    let local = email.rsplit_once('@').map_or(email, |(local, _)| local).to_lowercase();
    local.chars().count() >= MIN_LOCAL_PART && password.to_lowercase().contains(&local)
}

fn letters_and_digits(text: &str) -> String {
    text.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// How a password matches a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// The hash is that of the normal form.
    Normal,
    /// The hash is that of another form of the same text. Versions until 0.1.0 hashed passwords as
    /// they were sent.
    Other,
}

/// Forms of a password that a stored hash may belong to, of which the normal form is the first. The
/// number depends on the password only. A password in ASCII has a single form.
fn forms(password: &str) -> Vec<(String, Match)> {
    let normal = opaque_string::enforce(password).ok().map(|normal| (normal, Match::Normal));
    let sent = [password.to_owned(), password.nfc().collect(), password.nfd().collect()];
    let mut forms: Vec<(String, Match)> = Vec::new();
    for (form, kind) in normal.into_iter().chain(sent.map(|form| (form, Match::Other))) {
        if form.len() <= MAX_BYTES && forms.iter().all(|(known, _)| *known != form) {
            forms.push((form, kind));
        }
    }
    if forms.is_empty() {
        // Takes the time of a verification. No password is empty.
        forms.push((String::new(), Match::Other));
    }
    forms
}

/// Number of hashes that wait for a core, for each core. One takes about 20 ms, so the last one
/// waits for about a second.
const QUEUE_PER_CORE: usize = 64;

/// Hashes passwords with Argon2id and the default parameters of its crate, which are OWASP's
/// minimum: 19 MiB, two passes. Runs at most one hash per core, and lets only a limited number
/// wait, which bounds the memory and the delay.
///
/// It has threads of its own, one per core, each of which keeps the [memory](argon2id) of a hash.
pub struct PasswordHashes {
    threads: WorkThreads,
}

impl Default for PasswordHashes {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, Into::into);
        Self::new(cores, cores * QUEUE_PER_CORE)
    }
}

impl PasswordHashes {
    /// Create an interface that runs as many hashes at a time as there are `cores`, while at most
    /// `waiting` others wait.
    fn new(cores: usize, waiting: usize) -> Self {
        Self { threads: WorkThreads::new(cores, waiting, Priority::Normal) }
    }

    /// Hash a password. Returns a PHC string.
    pub async fn hash(&self, NewPassword(password): NewPassword) -> Result<String, Problem> {
        self.run(move || argon2id::hash(&password).map_err(|error| Problem::internal(&error)))
            .await?
    }

    /// Return whether and how a password matches a hash. Without a hash the result is `None` after
    /// the same time, so that response times do not reveal which accounts exist.
    pub async fn verify(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<Option<Match>, Problem> {
        self.run(move || {
            static DUMMY: OnceLock<String> = OnceLock::new();
            let is_known = hash.is_some();
            let hash = hash.unwrap_or_else(|| {
                DUMMY.get_or_init(|| argon2id::hash("no account").unwrap_or_default()).clone()
            });
            let found =
                forms(&password).into_iter().find(|(form, _)| argon2id::matches(form, &hash));
            found.map(|(_, kind)| kind).filter(|_| is_known)
        })
        .await
    }

    /// Hash of the normal form of a password that matches the hash of another form. `None` if it
    /// contains characters that the normal form does not allow.
    pub async fn normal_hash(&self, password: &str) -> Result<Option<String>, Problem> {
        match opaque_string::enforce(password) {
            Ok(normal) => self.hash(NewPassword(normal)).await.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Run work on a thread for hashes as soon as one is free.
    ///
    /// # Errors
    /// Too many others wait. The request can be repeated.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        self.threads.run(work).await.map_err(|error| match error {
            NotDone::Busy => busy(),
            NotDone::Panicked => Problem::internal(&error),
        })
    }
}

/// Problem of a full queue.
fn busy() -> Problem {
    let detail = "Too many passwords are being verified. Try again in a few seconds.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "TOO_BUSY", detail)
        .retry_after(Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const EMAIL: &str = "maria@example.com";

    fn new(password: &str) -> NewPassword {
        NewPassword::new("password", password, EMAIL)
            .unwrap_or_else(|_| panic!("{password} is valid"))
    }

    #[test]
    fn names_every_violated_rule() {
        let codes = |password: &str| {
            let errors = NewPassword::new("password", password, EMAIL).err().unwrap_or_default();
            errors.into_iter().map(|error| error.code.0).collect::<Vec<_>>()
        };
        assert_eq!(codes("Senha#2026"), [""; 0]);
        assert_eq!(codes("ÁÉÍÓÚ#12"), [""; 0]);
        assert_eq!(codes("senha#2026"), ["PASSWORD_NO_UPPER_CASE"]);
        assert_eq!(codes("Senha#xyz"), ["PASSWORD_NO_DIGIT"]);
        assert_eq!(codes("Senha 2026"), ["PASSWORD_NO_SPECIAL"]);
        assert_eq!(codes("Senha#\u{200B}2026"), ["PASSWORD_CHARACTER_INVALID"]);
        assert_eq!(
            codes(""),
            [
                "PASSWORD_TOO_SHORT",
                "PASSWORD_NO_UPPER_CASE",
                "PASSWORD_NO_DIGIT",
                "PASSWORD_NO_SPECIAL"
            ]
        );
        assert_eq!(codes(&format!("A1#{}", "x".repeat(300))), ["PASSWORD_TOO_LONG"]);
        assert_eq!(codes("quatro palavras"), [""; 0], "15 characters need no others");
        assert_eq!(codes("quatropalavras").len(), 3);
        for common in ["P@ssw0rd", "p@ssw0rd", "!Qaz2wsx"] {
            assert!(codes(common).contains(&"PASSWORD_COMMON".to_owned()), "{common}");
        }
        assert_eq!(codes("Sou#MARIA#1"), ["PASSWORD_CONTAINS_ADDRESS"]);
        for name in ["Fiap-X#2026", "FIAPX#2026", "fiap x fiap x 1"] {
            assert_eq!(codes(name), ["PASSWORD_CONTAINS_SERVICE"], "{name}");
        }
    }

    #[test]
    fn ignores_short_local_parts() {
        assert!(NewPassword::new("password", "Banana#2026", "ana@example.com").is_ok());
        assert!(NewPassword::new("password", "Banana#2026", "anan@example.com").is_err());
    }

    #[tokio::test]
    async fn bounds_the_queue() -> Result<(), Problem> {
        let hashes = PasswordHashes::new(1, 1);
        let (begin, begun) = oneshot::channel();
        let (release, hold) = std::sync::mpsc::channel::<()>();
        let mut running = Box::pin(hashes.run(move || {
            let _ = begin.send(());
            hold.recv()
        }));
        assert!(futures_util::poll!(&mut running).is_pending());
        begun.await.map_err(|error| Problem::internal(&error))?;
        let (ran, has_run) = oneshot::channel();
        let mut waiting = Box::pin(hashes.run(move || ran.send(())));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        for _ in 0..2 {
            let refused = hashes.run(|| ()).await;
            assert!(refused.is_err_and(|problem| problem.code() == "TOO_BUSY"));
        }
        // Work of a dropped request continues if it has begun, and is skipped otherwise.
        drop((running, waiting));
        assert!(hashes.run(|| ()).await.is_err(), "the thread is still occupied");
        release.send(()).map_err(|error| Problem::internal(&error))?;
        assert!(has_run.await.is_err(), "it is skipped");
        hashes.run(|| ()).await
    }

    #[test]
    fn counts_the_normal_form() {
        let is_valid = |password: &str| NewPassword::new("password", password, EMAIL).is_ok();
        // Seven characters, of which NFD has eight code points, one of them an accent.
        assert!(!is_valid("Café#26") && !is_valid("Cafe\u{301}#26"));
        // 256 bytes in form NFC, and 379 in form NFD.
        let longest = format!("A1#{}x{}", "é".repeat(123), "y".repeat(6));
        assert_eq!(longest.len(), 256);
        assert!(is_valid(&longest) && is_valid(&longest.nfd().collect::<String>()));
        assert!(!is_valid(&format!("{longest}z")));
    }

    #[tokio::test]
    async fn verifies_only_the_hashed_password() -> Result<(), Problem> {
        let hashes = PasswordHashes::default();
        let hash = hashes.hash(new("Senha#2026")).await?;
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        let verify =
            async |password: &str| hashes.verify(password.to_owned(), Some(hash.clone())).await;
        assert_eq!(verify("Senha#2026").await?, Some(Match::Normal));
        assert_eq!(verify("Senha#2027").await?, None);
        assert_eq!(verify(&"x".repeat(1000)).await?, None);
        assert_eq!(verify("").await?, None);
        assert_eq!(hashes.verify("no account".to_owned(), None).await?, None);
        Ok(())
    }

    #[tokio::test]
    async fn verifies_every_form_of_a_text() -> Result<(), Problem> {
        let hashes = PasswordHashes::default();
        let forms = ["Verão\u{A0}é#1", "Vera\u{303}o\u{A0}e\u{301}#1", "Vera\u{303}o é#1"];
        let current = hashes.hash(new(forms[0])).await?;
        for form in forms {
            let found = hashes.verify(form.to_owned(), Some(current.clone())).await?;
            assert_eq!(found, Some(Match::Normal), "{form:?}");
        }
        let earlier = ["Verão é#\t1", "Verão é#\u{FE0F}1", "Verão\u{A0}é#1"];
        for stored in earlier
            .map(str::to_owned)
            .into_iter()
            .chain(earlier.map(|earlier| earlier.nfd().collect()))
        {
            let hash = argon2id::hash(&stored).map_err(|error| Problem::internal(&error))?;
            for form in [stored.nfc().collect::<String>(), stored.nfd().collect()] {
                let found = hashes.verify(form.clone(), Some(hash.clone())).await?;
                assert_eq!(found, Some(Match::Other), "{stored:?} {form:?}");
            }
        }
        Ok(())
    }
}
