//! Roles of a process.

use crate::settings::Needs;

/// Roles of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Serves the HTTP interface.
    pub api: bool,
    /// Processes jobs.
    pub worker: bool,
    /// Sends mails.
    pub notifier: bool,
}

impl Roles {
    /// Secrets that these roles use.
    #[must_use]
    pub const fn needs(self) -> Needs {
        Needs { interface: self.api, storage: self.api || self.worker, mail: self.notifier }
    }

    /// All roles.
    pub const ALL: Self = Self { api: true, worker: true, notifier: true };
    /// The HTTP interface alone.
    pub const API: Self = Self { api: true, worker: false, notifier: false };
    /// The worker alone.
    pub const WORKER: Self = Self { api: false, worker: true, notifier: false };
    /// The notifier alone.
    pub const NOTIFIER: Self = Self { api: false, worker: false, notifier: true };
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;

    use secrecy::ExposeSecret;
    use tempfile::TempDir;

    use crate::settings::{Overrides, Settings, load_for};

    use super::*;

    /// Load settings for a process, and record the names of the variables that were read.
    fn load_for_role(roles: Roles) -> (Settings, Vec<String>) {
        let read = RefCell::new(Vec::new());
        let lookup = |name: &str| {
            read.borrow_mut().push(name.to_owned());
            let set =
                |name: &str| (!name.ends_with("_FILE")).then_some("a secret of many many bytes");
            match name {
                "JWT_SECRET" | "S3_ACCESS_KEY" | "S3_SECRET_KEY" | "SMTP_PASSWORD" => set(name),
                "SMTP_USER" => Some("mailer"),
                "S3_ENDPOINT" => Some("https://s3.example.com"),
                "REDIS_URL" => Some("redis://host"),
                _ => None,
            }
            .map(str::to_owned)
        };
        let settings = load_for(roles.needs(), None, lookup, Overrides::default());
        (settings.expect("valid settings"), read.into_inner())
    }

    #[test]
    fn a_role_reads_only_its_own_secrets() {
        let secrets =
            ["JWT_SECRET", "REDIS_URL", "S3_ACCESS_KEY", "S3_SECRET_KEY", "SMTP_PASSWORD"];
        for (roles, own) in [
            (Roles::API, &secrets[..4]),
            (Roles::WORKER, &secrets[2..4]),
            (Roles::NOTIFIER, &secrets[4..]),
            (Roles::ALL, &secrets[..]),
        ] {
            let (settings, read) = load_for_role(roles);
            for secret in secrets {
                for name in [secret.to_owned(), format!("{secret}_FILE")] {
                    let is_own = own.contains(&secret);
                    assert_eq!(read.contains(&name), is_own, "{name} for {roles:?}");
                }
            }
            let held = [
                settings.accounts.jwt_secret.is_some(),
                settings.limits.redis_url.is_some(),
                settings.storage.access_key.is_some(),
                settings.storage.secret_key.is_some(),
                settings.mail.password.is_some(),
            ];
            assert_eq!(held, secrets.map(|secret| own.contains(&secret)), "{roles:?}");
        }
    }

    #[test]
    fn a_role_ignores_secrets_of_others_in_its_file() {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("fiapx.toml");
        let file = "accounts.jwt_secret = \"a\"\nmail.password = \"b\"\nmail.user = \"c\"\n\
                    storage.access_key = \"d\"\nstorage.secret_key = \"e\"\n\
                    storage.endpoint = \"https://s3.example.com\"\n";
        fs::write(&path, file).expect("it can be written");
        let load = |roles: Roles| {
            let settings = load_for(roles.needs(), Some(&path), |_| None, Overrides::default());
            settings.expect("valid settings")
        };
        let (worker, notifier) = (load(Roles::WORKER), load(Roles::NOTIFIER));
        assert!(worker.accounts.jwt_secret.is_none() && worker.mail.password.is_none());
        let exposed = worker.storage.secret_key.as_ref().map(ExposeSecret::expose_secret);
        assert_eq!(exposed, Some("e"));
        assert!(notifier.accounts.jwt_secret.is_none() && notifier.storage.secret_key.is_none());
        let exposed = notifier.mail.password.as_ref().map(ExposeSecret::expose_secret);
        assert_eq!(exposed, Some("b"));
    }
}
