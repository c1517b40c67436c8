//! Sessions: verification of access tokens and passwords, and the tokens of a session.

use std::sync::Arc;

use database::users::User;
use jobs::UserId;
use poem::Request;
use poem::http::StatusCode;
use poem_openapi::auth::Bearer;
use poem_openapi::types::Example;
use poem_openapi::{Object, SecurityScheme};
use tracing::{Span, field};

use crate::passwords::Match;
use crate::problem::Problem;
use crate::service::Service;
use crate::tokens::AccessToken;

/// User of a valid access token, as returned by `POST /auth/login`.
#[derive(SecurityScheme)]
#[oai(rename = "bearerAuth", ty = "bearer", bearer_format = "JWT", checker = "verify_access")]
pub struct LoggedIn(pub UserId);

/// Verify the access token of a request. It is valid only while the user exists, is active and has
/// not changed the password.
async fn verify_access(request: &Request, bearer: Bearer) -> poem::Result<UserId> {
    let Some(service) = request.data::<Arc<Service>>() else {
        return Err(Problem::internal(&"the request has no service").into());
    };
    let token = service.access_tokens.verify(&bearer.token)?;
    let user = service.database().user(token.user).await.map_err(Problem::from)?;
    if !user.is_some_and(|user| user.is_active && user.generation == token.generation) {
        return Err(session_closed().into());
    }
    Span::current().record("user_id", field::display(token.user));
    Ok(token.user)
}

/// Problem of a token whose user was deleted or disabled, or has changed the password.
pub fn session_closed() -> Problem {
    let detail = "The session is closed. Log in again.";
    Problem::new(StatusCode::UNAUTHORIZED, "TOKEN_INVALID", detail)
}

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

/// Tokens of a session.
#[derive(Object)]
#[oai(example)]
pub struct Session {
    /// Access token, for the header `Authorization: Bearer <access token>` of every request.
    access_token: String,
    /// Refresh token, which `POST /auth/refresh` exchanges for new tokens once.
    refresh_token: String,
    /// Always `bearer`.
    token_type: String,
    /// Lifetime of the access token, in seconds.
    expires_in: u64,
}

impl Session {
    /// Issue an access token of a session with this refresh token.
    pub fn new(service: &Service, user: &User, refresh_token: String) -> Result<Self, Problem> {
        let token = AccessToken { user: user.id, generation: user.generation };
        Ok(Self {
            access_token: service.access_tokens.issue(token)?,
            refresh_token,
            token_type: "bearer".to_owned(),
            expires_in: service.settings.access_token_lifetime.as_secs(),
        })
    }
}

impl Example for Session {
    fn example() -> Self {
        Self {
            access_token: "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJmaWFweCJ9.\
                           mE6NcWSqf5k0Yl1mXQ3Y2dVbS0l0Q1o8xkq3TtVn5hA"
                .to_owned(),
            refresh_token: "hL3m0q3Vn1q0bQ8Z5m7rG2Yk4c9T6xWd1sEoPuJfAiM".to_owned(),
            token_type: "bearer".to_owned(),
            expires_in: 3600,
        }
    }
}
