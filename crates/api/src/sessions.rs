//! Sessions: verification of access tokens, and the tokens of a session. API keys open no session.

use std::sync::Arc;

use database::sessions::Session as OpenSession;
use database::users::User;
use poem::Request;
use poem::http::StatusCode;
use poem_openapi::auth::Bearer;
use poem_openapi::types::Example;
use poem_openapi::{Object, SecurityScheme};
use tracing::{Span, field, warn};

use crate::api_keys::ApiKey;
use crate::problem::Problem;
use crate::service::Service;
use crate::tokens::AccessToken;

/// Access token, from `POST /auth/login`.
#[derive(SecurityScheme)]
#[oai(rename = "bearerAuth", ty = "bearer", bearer_format = "JWT", checker = "verify_access")]
pub struct CurrentSession(pub Access);

/// Access that a valid token gives.
#[derive(Debug, Clone)]
pub struct Access {
    /// User of the token, as stored when the request arrived.
    pub user: User,
    /// The token.
    pub token: AccessToken,
}

/// Verify the access token of a request, and refuse API keys.
async fn verify_access(request: &Request, bearer: Bearer) -> poem::Result<Access> {
    if ApiKey::is_meant(&bearer.token) {
        // The key is not looked up, so its start is all that attributes the request.
        let start = ApiKey::shown(&bearer.token);
        warn!(security_event = "key_denied", start, "a key was used for an account");
        let detail = "API keys are refused here. Log in and send an access token.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "KEY_NOT_ALLOWED", detail).into());
    }
    Ok(verify_token(service_of(request)?, &bearer.token).await?)
}

/// Service that a request was sent to.
pub fn service_of(request: &Request) -> Result<&Service, Problem> {
    let service = request.data::<Arc<Service>>();
    service.map(AsRef::as_ref).ok_or_else(|| Problem::internal(&"the request has no service"))
}

/// Verify an access token. It is valid only while its session is open, and while the user exists,
/// is active and has not changed the password.
pub async fn verify_token(service: &Service, token: &str) -> Result<Access, Problem> {
    let token = service.access_tokens.verify(token)?;
    let user = service.database().user_of_session(token.user, token.session).await?;
    let user = user.filter(|user| user.is_active && user.generation == token.generation);
    let user = user.ok_or_else(session_closed)?;
    Span::current().record("user_id", field::display(token.user));
    Ok(Access { user, token })
}

/// Problem of a token whose session was closed, or whose user was deleted or disabled, or has
/// changed the password.
pub fn session_closed() -> Problem {
    let detail = "The session is closed. Log in again.";
    Problem::new(StatusCode::UNAUTHORIZED, "TOKEN_INVALID", detail)
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
    pub fn new(
        service: &Service,
        user: &User,
        session: &OpenSession,
        refresh_token: String,
    ) -> Result<Self, Problem> {
        let generation = user.generation;
        let token = AccessToken { user: user.id, session: Some(session.id), generation };
        let (access_token, expires_in) = service.access_tokens.issue(token, session.expires_at)?;
        Ok(Self { access_token, refresh_token, token_type: "bearer".to_owned(), expires_in })
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
