//! Roles of a process.

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
    /// All roles.
    pub const ALL: Self = Self { api: true, worker: true, notifier: true };
    /// The HTTP interface alone.
    pub const API: Self = Self { api: true, worker: false, notifier: false };
    /// The worker alone.
    pub const WORKER: Self = Self { api: false, worker: true, notifier: false };
    /// The notifier alone.
    pub const NOTIFIER: Self = Self { api: false, worker: false, notifier: true };
}
