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
    /// Health of the service.
    Service,
}
