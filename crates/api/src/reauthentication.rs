//! Verification of passwords and second factors.

use database::second_factor::CodeUse;
use database::users::User;
use poem::http::StatusCode;
use tracing::{info, warn};

use crate::attempts;
use crate::passwords::Match;
use crate::problem::Problem;
use crate::rate_limit::RateLimitStatus;
use crate::service::Service;
use crate::sessions::Access;
use crate::totp::{self, Code};

/// Maximum number of wrong codes of a second factor in a day, from networks without a login of the
/// user. Three of a million codes are valid at a time, so guesses succeed once in 18 years.
const WRONG_CODES: u32 = 50;
/// Maximum number of wrong codes in a day from other networks, and within sessions.
const WRONG_CODES_KNOWN: u32 = 500;

/// The user, if there is one and the password matches. A wrong password takes the same time as an
/// unknown user. The hash of a form other than the normal one is replaced.
pub async fn verify_password(
    service: &Service,
    user: Option<User>,
    password: String,
) -> Result<Option<User>, Problem> {
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let found = service.passwords.verify(password.clone(), hash).await?;
    let Some((user, found)) = user.zip(found) else { return Ok(None) };
    if found == Match::Other
        && let Some(hash) = service.passwords.normal_hash(&password).await?
    {
        service.database().replace_password_hash(&user, hash).await?;
    }
    Ok(Some(user))
}

/// Result of the verification of a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondFactor {
    /// The code is valid, or the user has no second factor.
    Verified,
    /// A code is required.
    Missing,
    /// The code is wrong or was used before.
    Wrong,
}

/// Verify a code of a user's second factor, and spend it. `is_known` is whether the request comes
/// from a network or a session of the user.
///
/// # Errors
/// Too many wrong codes, among others. Recovery codes are accepted nevertheless.
pub async fn verify_code(
    service: &Service,
    user: &User,
    code: Option<&str>,
    is_known: bool,
) -> Result<SecondFactor, Problem> {
    if !user.second_factor {
        return Ok(SecondFactor::Verified);
    }
    let Some(code) = code else { return Ok(SecondFactor::Missing) };
    let database = service.database();
    let step = match Code::parse(code) {
        Code::TimeBased(code) => {
            let Some(secret) = database.second_factor_secret(user.id).await? else {
                return Ok(SecondFactor::Wrong);
            };
            totp::step_of(&secret, &code, database.clock().now())?
        }
        Code::Recovery(hash) => {
            if database.use_recovery_code(user.id, &hash).await? {
                let event = "recovery_code_used";
                info!(security_event = event, user_id = %user.id, "a recovery code was used");
                return Ok(SecondFactor::Verified);
            }
            None
        }
        Code::Malformed => None,
    };
    let max_wrong = if is_known { WRONG_CODES_KNOWN } else { WRONG_CODES };
    match database.use_code(user.id, step, max_wrong).await? {
        CodeUse::Accepted => Ok(SecondFactor::Verified),
        CodeUse::Wrong => {
            let event = "second_factor_failed";
            warn!(security_event = event, user_id = %user.id, "a second factor was wrong");
            Ok(SecondFactor::Wrong)
        }
        CodeUse::Limited(until) => {
            let event = "second_factor_limited";
            warn!(security_event = event, user_id = %user.id, "too many wrong second factors");
            let reset = (until - database.clock().now()).to_std().unwrap_or_default();
            Err(too_many_codes(RateLimitStatus {
                allowed: false,
                limit: max_wrong,
                remaining: 0,
                reset,
            }))
        }
    }
}

/// Problem of too many wrong codes in a day.
fn too_many_codes(status: RateLimitStatus) -> Problem {
    let detail = "Too many wrong codes in the last 24 hours. Use a recovery code, or try again \
                  tomorrow, and change your password: somebody else may know it.";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_CODES", detail).rate_limited(&status)
}

/// Proof that a request is the user's own, and not that of somebody at an open session.
pub struct Proof {
    /// Name of the request's field that holds the password.
    pub field: &'static str,
    /// Password.
    pub password: String,
    /// Code of the second factor.
    pub code: Option<String>,
}

impl Proof {
    /// Create a proof from the fields `password` and `code` of a request.
    pub fn new(password: String, code: Option<String>) -> Self {
        Self { field: "password", password, code }
    }
}

/// Verify the password, and the second factor if the user has one, within a session. Attempts are
/// limited by session. Returns the user; pass this one to the change in the database, which fails
/// if the user has changed since.
///
/// # Errors
/// 422 (`PASSWORD_WRONG`, or `SECOND_FACTOR_REQUIRED` and `SECOND_FACTOR_WRONG` for the field
/// `code`), 429 (`TOO_MANY_ATTEMPTS`, `TOO_MANY_CODES`), 503 (`TOO_BUSY`, `UNAVAILABLE`).
pub async fn reauthenticate(
    service: &Service,
    access: &Access,
    proof: Proof,
) -> Result<User, Problem> {
    attempts::count_in_session(service, access.token).await?;
    let Proof { field, password, code } = proof;
    let verified = verify_password(service, Some(access.user.clone()), password).await?;
    let Some(user) = verified else {
        let event = "reauthentication_failed";
        warn!(security_event = event, user_id = %access.user.id, "a password was wrong");
        return Err(Problem::field(field, "PASSWORD_WRONG", "The password is wrong."));
    };
    match verify_code(service, &user, code.as_deref(), true).await? {
        SecondFactor::Verified => Ok(user),
        SecondFactor::Missing => {
            let message = "A code of the second factor is required.";
            Err(Problem::field("code", "SECOND_FACTOR_REQUIRED", message))
        }
        SecondFactor::Wrong => Err(wrong_code()),
    }
}

/// Problem of a wrong code in the field `code`.
pub fn wrong_code() -> Problem {
    let message = "The code of the second factor is wrong or was used before.";
    Problem::field("code", "SECOND_FACTOR_WRONG", message)
}
