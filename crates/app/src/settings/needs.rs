//! Which secrets a process uses.

/// Secrets that a process uses, and the settings that go with them. Others are neither read nor
/// required, so that a process does not hold what somebody who breaks into it must not have. Every
/// role needs the URLs of the database and the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Key of access tokens, and the counters of the HTTP interface.
    pub interface: bool,
    /// Keys of the store.
    pub storage: bool,
    /// Password at the mail server.
    pub mail: bool,
}

impl Needs {
    /// All secrets.
    pub const ALL: Self = Self { interface: true, storage: true, mail: true };
    /// No secrets of particular roles.
    pub const NONE: Self = Self { interface: false, storage: false, mail: false };

    /// Whether a setting is read.
    pub(super) fn include(self, setting: &str) -> bool {
        match setting {
            "accounts.jwt_secret" | "limits.redis_url" => self.interface,
            "storage.access_key" | "storage.secret_key" => self.storage,
            "mail.password" => self.mail,
            _ => true,
        }
    }
}
