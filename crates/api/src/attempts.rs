//! Rate limits of password checks, registrations and codes.
//!
//! No limit lets a stranger keep the owner of an account out: attempts to log in count for the
//! account and the network together, so that those of another network do not matter. The wider
//! limit of the account alone, against attempts from many networks, does not apply to networks from
//! which the user has logged in. Attempts within a session count for the session.

use database::users::User;
use poem::http::StatusCode;
use tracing::warn;

use crate::client::{ClientAddress, network_of};
use crate::problem::Problem;
use crate::rate_limit::RateLimitStatus;
use crate::service::Service;
use crate::tokens::AccessToken;

/// Maximum length of an e-mail address in characters, from the maximum length of SMTP's path
/// (RFC 5321, 4.5.3.1.3) without its brackets.
pub const MAX_EMAIL_CHARACTERS: usize = 254;

/// Limit of the logins at an account from all networks, as a multiple of that from one network.
const NETWORKS_PER_ACCOUNT: u32 = 10;

/// Count an attempt from a network address.
pub async fn count_from_address(service: &Service, client: ClientAddress) -> Result<(), Problem> {
    let limit = service.settings.attempts_per_address;
    let status = acquire(service, &format!("address:{}", client.network()), limit).await;
    if !status.allowed {
        warn!(security_event = "network_limited", "too many attempts from a network");
    }
    checked(&status)
}

/// Count a use of a link to a job that is invalid. The tokens of links cannot be guessed, so this
/// bounds only what a scan costs; a valid link works meanwhile, because others may use it from the
/// same network.
pub async fn count_invalid_link(service: &Service, client: ClientAddress) -> Result<(), Problem> {
    let limit = service.settings.attempts_per_address;
    let status = acquire(service, &format!("link:{}", client.network()), limit).await;
    if !status.allowed {
        warn!(security_event = "links_limited", "too many invalid links from a network");
    }
    checked(&status)
}

/// Count a login at an account, whether or not it exists. `user` is the one with this address.
pub async fn count_login(
    service: &Service,
    client: ClientAddress,
    email: &str,
    user: Option<&User>,
) -> Result<(), Problem> {
    // Bounds the memory of a key.
    let email: String = email.chars().take(MAX_EMAIL_CHARACTERS).collect();
    let network = client.network();
    let limit = service.settings.logins_per_minute;
    let mut status = acquire(service, &format!("login:{network}:{email}"), limit).await;
    if status.allowed {
        let account = format!("login:{email}");
        let of_account = limit.saturating_mul(NETWORKS_PER_ACCOUNT);
        let all = acquire(service, &account, of_account).await;
        if !all.allowed && !is_known(service, client, user).await? {
            status = all;
        }
    }
    if !status.allowed {
        let user_id = user.map(|user| tracing::field::display(user.id));
        warn!(security_event = "account_limited", user_id, "too many logins at an account");
    }
    checked(&status)
}

/// Count the check of a password or code within a session.
pub async fn count_in_session(service: &Service, token: AccessToken) -> Result<(), Problem> {
    let session = token.session.unwrap_or(token.user.0);
    let limit = service.settings.logins_per_minute;
    let status = acquire(service, &format!("session:{session}"), limit).await;
    if !status.allowed {
        let user_id = tracing::field::display(token.user);
        warn!(security_event = "session_limited", user_id, "too many attempts in a session");
    }
    checked(&status)
}

/// Return whether a user has logged in from this network, as far as that is still stored.
pub async fn is_known(
    service: &Service,
    client: ClientAddress,
    user: Option<&User>,
) -> Result<bool, Problem> {
    let (Some(user), Some(address)) = (user, client.address()) else { return Ok(false) };
    let network = network_of(address);
    let known = service.database().addresses(user.id).await?;
    Ok(known.into_iter().any(|address| network_of(address) == network))
}

async fn acquire(service: &Service, key: &str, limit: u32) -> RateLimitStatus {
    service.parts.rate_limiter.acquire(key, limit).await
}

fn checked(status: &RateLimitStatus) -> Result<(), Problem> {
    if status.allowed {
        return Ok(());
    }
    let detail = "Too many attempts. Try again in a minute.";
    Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_ATTEMPTS", detail)
        .rate_limited(status))
}
