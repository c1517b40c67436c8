//! Tags of the OpenAPI document.

use poem_openapi::Tags;

/// Groups of operations.
#[derive(Tags)]
pub enum Tag {
    /// Accounts and sessions.
    Accounts,
    /// Videos, their jobs, frames and archives.
    Videos,
    /// Health of the service.
    Service,
}
