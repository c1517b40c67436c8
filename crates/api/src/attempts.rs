//! Rate limits of password checks and registrations.

use poem::http::StatusCode;

use crate::client::ClientAddress;
use crate::problem::Problem;
use crate::service::Service;

/// Maximum length of an e-mail address in characters, from the maximum length of SMTP's path
/// (RFC 5321, 4.5.3.1.3) without its brackets.
pub const MAX_EMAIL_CHARACTERS: usize = 254;

/// Count an attempt from a network address.
pub async fn count_from_address(service: &Service, client: ClientAddress) -> Result<(), Problem> {
    let Some(network) = client.network() else { return Ok(()) };
    count(service, &format!("address:{network}"), service.settings.attempts_per_address).await
}

/// Count an attempt at an account, whether or not it exists.
pub async fn count_at_account(service: &Service, email: &str) -> Result<(), Problem> {
    // Bounds the memory of a key.
    let email: String = email.chars().take(MAX_EMAIL_CHARACTERS).collect();
    count(service, &format!("login:{email}"), service.settings.logins_per_minute).await
}

async fn count(service: &Service, key: &str, limit: u32) -> Result<(), Problem> {
    let status = service.parts.rate_limiter.acquire(key, limit).await;
    if status.allowed {
        return Ok(());
    }
    let detail = "Too many attempts. Try again in a minute.";
    Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_ATTEMPTS", detail)
        .rate_limited(&status))
}
