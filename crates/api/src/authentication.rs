//! Authentication: log in, refresh a session, log out.

use std::sync::Arc;

use database::sessions::{Rotation, Successor};
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use tracing::{info, warn};
use uuid::Uuid;

use crate::attempts;
use crate::client::ClientAddress;
use crate::input::Input;
use crate::operation_error::{OperationError, problem_responses};
use crate::problem::Problem;
use crate::problem_examples::FieldExample;
use crate::service::Service;
use crate::sessions::{self, Session};
use crate::tags::Tag;
use crate::tokens::{hash_refresh_token, new_refresh_token, successor_refresh_token};

/// Credentials of a user.
#[derive(Object)]
#[oai(example)]
struct Credentials {
    /// E-mail address.
    email: String,
    /// Password.
    password: String,
}

impl Example for Credentials {
    fn example() -> Self {
        Self { email: "ana@example.com".to_owned(), password: "Praia#2026".to_owned() }
    }
}

/// Refresh token of a session.
#[derive(Object)]
#[oai(example)]
struct RefreshToken {
    /// Latest refresh token of the session. An earlier one closes the session, unless it is
    /// repeated once within ten seconds.
    refresh_token: String,
}

impl Example for RefreshToken {
    fn example() -> Self {
        Self { refresh_token: "hL3m0q3Vn1q0bQ8Z5m7rG2Yk4c9T6xWd1sEoPuJfAiM".to_owned() }
    }
}

#[derive(ApiResponse)]
enum SessionResponse {
    /// Tokens of the session.
    #[oai(status = 200)]
    Session(Json<Session>),
}

#[derive(ApiResponse)]
enum LogOutResponse {
    /// The session is closed, or did not exist.
    #[oai(status = 204)]
    LoggedOut,
}

const MISSING_PASSWORD: FieldExample =
    FieldExample::new("password", "FIELD_MISSING", "The field `password` is missing.");
const MISSING_TOKEN: FieldExample =
    FieldExample::new("refresh_token", "FIELD_MISSING", "The field `refresh_token` is missing.");

problem_responses! {
    LogInProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        401: "Wrong e-mail address or password.", WRONG_CREDENTIALS;
        403: "The account is disabled.", ACCOUNT_DISABLED;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "A field is missing or has the wrong type.", INVALID_FIELDS INVALID_BODY,
            MISSING_PASSWORD;
        429: "Too many attempts at this account or from this network address.", TOO_MANY_ATTEMPTS;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    RefreshProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        401: "The refresh token is unknown, expired or already used, or the account is disabled.",
            TOKEN_INVALID TOKEN_REUSED;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "The refresh token is missing or not a string.", INVALID_FIELDS INVALID_BODY,
            MISSING_TOKEN;
        429: "Too many attempts from this network address.", TOO_MANY_ATTEMPTS;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    LogOutProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "The refresh token is missing or not a string.", INVALID_FIELDS INVALID_BODY,
            MISSING_TOKEN;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
}

/// Operations of authentication.
pub struct Authentication;

#[OpenApi(tag = "Tag::Accounts")]
impl Authentication {
    /// Log in
    ///
    /// Opens a session. An unknown e-mail address and a wrong password get the same response after
    /// the same time. Only the right password reveals that an account is disabled.
    #[oai(path = "/auth/login", method = "post", operation_id = "logIn")]
    async fn log_in(
        &self,
        service: Data<&Arc<Service>>,
        client: Data<&ClientAddress>,
        input: Input<Credentials>,
    ) -> Result<SessionResponse, OperationError<LogInProblems>> {
        attempts::count_from_address(&service, **client).await?;
        let Credentials { email, password } = input.0;
        let email = email.to_lowercase();
        attempts::count_at_account(&service, &email).await?;
        let user = service.database().user_by_email(&email).await?;
        let Some(user) = sessions::verify_password(&service, user, password).await? else {
            let detail = "The e-mail address or the password is wrong.";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "WRONG_CREDENTIALS", detail).into());
        };
        if !user.is_active {
            let detail = "The account is disabled. Contact the operator of the service.";
            return Err(Problem::new(StatusCode::FORBIDDEN, "ACCOUNT_DISABLED", detail).into());
        }
        let refresh_token = new_refresh_token();
        let hash = hash_refresh_token(&refresh_token);
        let lifetime = service.settings.refresh_token_lifetime;
        service.database().open_session(user.id, &hash, lifetime).await?;
        info!(user_id = %user.id, "a user logged in");
        Ok(SessionResponse::Session(Json(Session::new(&service, &user, refresh_token)?)))
    }

    /// Refresh a session
    ///
    /// Exchanges a refresh token for new tokens. Each refresh token can be used once. A request may
    /// be repeated once within ten seconds, because its response may be lost, and returns the same
    /// new refresh token, as long as that was not used. Any other use of an earlier token closes
    /// the session, because the token may be stolen.
    #[oai(path = "/auth/refresh", method = "post", operation_id = "refreshSession")]
    async fn refresh(
        &self,
        service: Data<&Arc<Service>>,
        client: Data<&ClientAddress>,
        input: Input<RefreshToken>,
    ) -> Result<SessionResponse, OperationError<RefreshProblems>> {
        attempts::count_from_address(&service, **client).await?;
        let (spent, id) = (input.0.refresh_token, Uuid::now_v7());
        let token_hash = &hash_refresh_token(&successor_refresh_token(&spent, id));
        let lifetime = service.settings.refresh_token_lifetime;
        let rotation = service
            .database()
            .rotate_session(&hash_refresh_token(&spent), Successor { id, token_hash }, lifetime)
            .await?;
        let (user, id) = match rotation {
            Rotation::Renewed(user) => (user, id),
            Rotation::Repeated(user, id) => (user, id),
            Rotation::Reused(user) => {
                warn!(
                    user_id = %user,
                    "a spent refresh token was used again; its session is closed"
                );
                let detail =
                    "The refresh token was already used. The session is closed; log in again.";
                return Err(Problem::new(StatusCode::UNAUTHORIZED, "TOKEN_REUSED", detail).into());
            }
            Rotation::Rejected => {
                let detail = "The refresh token is unknown or expired. Log in again.";
                return Err(Problem::new(StatusCode::UNAUTHORIZED, "TOKEN_INVALID", detail).into());
            }
        };
        let user = service.database().user(user).await?.filter(|user| user.is_active);
        let user = user.ok_or_else(sessions::session_closed)?;
        let token = successor_refresh_token(&spent, id);
        Ok(SessionResponse::Session(Json(Session::new(&service, &user, token)?)))
    }

    /// Log out
    ///
    /// Closes the session of a refresh token. Access tokens stay valid until they expire.
    #[oai(path = "/auth/logout", method = "post", operation_id = "logOut")]
    async fn log_out(
        &self,
        service: Data<&Arc<Service>>,
        input: Input<RefreshToken>,
    ) -> Result<LogOutResponse, OperationError<LogOutProblems>> {
        service.database().close_session(&hash_refresh_token(&input.0.refresh_token)).await?;
        Ok(LogOutResponse::LoggedOut)
    }
}
