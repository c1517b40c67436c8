//! Tags of the OpenAPI document.

use poem_openapi::Tags;

/// Groups of operations.
#[derive(Tags)]
pub enum Tag {
    /// Accounts and sessions.
    Accounts,
    /// API keys, with which programs act as a user.
    Keys,
    /// Videos, their jobs, frames and archives.
    Videos,
    /// Finished jobs by links, for people without an account.
    Shares,
    /// Events that are sent to the user's servers.
    Webhooks,
    /// Health of the service.
    Service,
}
