//! Authentication: log in, refresh a session, log out.

use std::sync::Arc;

use database::sessions::{Lifetimes, Origin, Rotation, Successor};
use database::users::User;
use poem::http::{HeaderMap, StatusCode, header};
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiRequest, ApiResponse, Object, OpenApi};
use tracing::{info, warn};
use uuid::Uuid;

use crate::client::ClientAddress;
use crate::input::Input;
use crate::operation_error::{OperationError, problem_responses};
use crate::password_grant::{PasswordForm, PasswordGrant, oauth_problem};
use crate::problem::Problem;
use crate::problem_examples::FieldExample;
use crate::reauthentication::{self, SecondFactor};
use crate::service::Service;
use crate::sessions::{self, Session};
use crate::tags::Tag;
use crate::tokens::{hash_refresh_token, new_refresh_token, successor_refresh_token};
use crate::{attempts, browser};

/// Credentials of a user.
#[derive(Object)]
#[oai(example)]
struct Credentials {
    /// E-mail address.
    email: String,
    /// Password.
    password: String,
    /// Code of the second factor, if the user has one: six digits of the app, or a recovery code.
    code: Option<String>,
}

impl Example for Credentials {
    fn example() -> Self {
        Self {
            email: "ana@example.com".to_owned(),
            password: "Praia#2026".to_owned(),
            code: Some("492039".to_owned()),
        }
    }
}

impl From<PasswordGrant> for Credentials {
    fn from(PasswordGrant { username, password, code, .. }: PasswordGrant) -> Self {
        Self { email: username, password, code }
    }
}

/// Credentials as JSON, or as the form of an OAuth 2.0 client.
#[derive(ApiRequest)]
enum LogInRequest {
    Json(Input<Credentials>),
    Form(PasswordForm),
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
        400: "The body is not JSON, or a log-in by a form was refused (RFC 6749, 5.2).",
            INVALID_JSON INVALID_BODY WRONG_CREDENTIALS SECOND_FACTOR_REQUIRED
            SECOND_FACTOR_WRONG ACCOUNT_DISABLED;
        401: "Wrong e-mail address or password, or the code of the second factor is missing or \
              wrong.",
            WRONG_CREDENTIALS SECOND_FACTOR_REQUIRED SECOND_FACTOR_WRONG;
        403: "The account is disabled.", ACCOUNT_DISABLED;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is neither JSON nor that of a form.", UNSUPPORTED_MEDIA_TYPE;
        422: "A field is missing or has the wrong type.", INVALID_FIELDS INVALID_BODY,
            MISSING_PASSWORD;
        429: "Too many attempts at this account or from this network address.",
            TOO_MANY_ATTEMPTS TOO_MANY_CODES;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable, or too many passwords are being verified.",
            UNAVAILABLE TOO_BUSY;
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
        429: "Too many attempts from this network address.", TOO_MANY_ATTEMPTS;
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
    /// the same time. Only the right password reveals that an account is disabled, or has a second
    /// factor. A code of the second factor can be used once.
    ///
    /// Clients of OAuth 2.0 send a form with the grant type `password` (RFC 6749, 4.3), and get its
    /// `error` with status 400 if the credentials are refused.
    #[oai(path = "/auth/login", method = "post", operation_id = "logIn")]
    async fn log_in(
        &self,
        service: Data<&Arc<Service>>,
        client: Data<&ClientAddress>,
        headers: &HeaderMap,
        input: LogInRequest,
    ) -> Result<SessionResponse, OperationError<LogInProblems>> {
        let browser = browser_of(headers);
        let origin = Origin { address: client.address(), browser: browser.as_deref() };
        let session = match input {
            LogInRequest::Json(Input(credentials)) => {
                open_session(&service, **client, origin, credentials).await?
            }
            LogInRequest::Form(PasswordForm(grant)) => {
                let opened = open_session(&service, **client, origin, grant.into()).await;
                opened.map_err(oauth_problem)?
            }
        };
        Ok(SessionResponse::Session(Json(session)))
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
        headers: &HeaderMap,
        input: Input<RefreshToken>,
    ) -> Result<SessionResponse, OperationError<RefreshProblems>> {
        attempts::count_from_address(&service, **client).await?;
        let (spent, id) = (input.0.refresh_token, Uuid::now_v7());
        let token_hash = &hash_refresh_token(&successor_refresh_token(&spent, id));
        let browser = browser_of(headers);
        let origin = Origin { address: client.address(), browser: browser.as_deref() };
        let (successor, lifetimes) = (Successor { id, token_hash }, lifetimes(&service));
        let rotation = service
            .database()
            .rotate_session(&hash_refresh_token(&spent), successor, origin, lifetimes)
            .await?;
        let id = match rotation {
            Rotation::Renewed(_) => id,
            Rotation::Repeated(_, id) => id,
            Rotation::Reused(user) => {
                warn!(
                    security_event = "session_reused",
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
        let token = successor_refresh_token(&spent, id);
        let found = service.database().session_of_token(&hash_refresh_token(&token)).await?;
        let found = found.filter(|(user, _)| user.is_active);
        let (user, session) = found.ok_or_else(sessions::session_closed)?;
        Ok(SessionResponse::Session(Json(Session::new(&service, &user, &session, token)?)))
    }

    /// Log out
    ///
    /// Closes the session of a refresh token. Its access tokens are invalid at once.
    #[oai(path = "/auth/logout", method = "post", operation_id = "logOut")]
    async fn log_out(
        &self,
        service: Data<&Arc<Service>>,
        client: Data<&ClientAddress>,
        input: Input<RefreshToken>,
    ) -> Result<LogOutResponse, OperationError<LogOutProblems>> {
        attempts::count_from_address(&service, **client).await?;
        let hash = hash_refresh_token(&input.0.refresh_token);
        if let Some(user) = service.database().close_session(&hash).await? {
            info!(security_event = "logout", user_id = %user, "a user logged out");
        }
        Ok(LogOutResponse::LoggedOut)
    }
}

/// Verify the credentials of a login, and open a session.
async fn open_session(
    service: &Service,
    client: ClientAddress,
    origin: Origin<'_>,
    credentials: Credentials,
) -> Result<Session, Problem> {
    attempts::count_from_address(service, client).await?;
    let user = verify_credentials(service, client, credentials).await?;
    let refresh_token = new_refresh_token();
    let hash = hash_refresh_token(&refresh_token);
    let lifetimes = lifetimes(service);
    let opened = service.database().open_session(&user, &hash, origin, lifetimes).await?;
    // The password was changed, or the user disabled, while the password was verified.
    let session = opened.ok_or_else(wrong_credentials)?;
    info!(security_event = "login", user_id = %user.id, "a user logged in");
    Session::new(service, &user, &session, refresh_token)
}

/// Verify the credentials of a login, and return the user.
async fn verify_credentials(
    service: &Service,
    client: ClientAddress,
    credentials: Credentials,
) -> Result<User, Problem> {
    let Credentials { email, password, code } = credentials;
    let email = email.to_lowercase();
    let found = service.database().user_by_email(&email).await?;
    attempts::count_login(service, client, &email, found.as_ref()).await?;
    let found_id = found.as_ref().map(|user| user.id);
    let Some(user) = reauthentication::verify_password(service, found, password).await? else {
        let user_id = found_id.map(tracing::field::display);
        warn!(security_event = "login_failed", user_id, "a login failed");
        return Err(wrong_credentials());
    };
    if !user.is_active {
        warn!(security_event = "login_disabled", user_id = %user.id, "a disabled user logged in");
        let detail = "The account is disabled. Contact the operator of the service.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "ACCOUNT_DISABLED", detail));
    }
    let is_known = user.second_factor && attempts::is_known(service, client, Some(&user)).await?;
    let verified = reauthentication::verify_code(service, &user, code.as_deref(), is_known).await?;
    let unauthorized = |code, detail| Err(Problem::new(StatusCode::UNAUTHORIZED, code, detail));
    match verified {
        SecondFactor::Verified => Ok(user),
        SecondFactor::Missing => unauthorized(
            "SECOND_FACTOR_REQUIRED",
            "The account has a second factor. Repeat the request with a `code` of the app, or \
             with a recovery code.",
        ),
        SecondFactor::Wrong => unauthorized(
            "SECOND_FACTOR_WRONG",
            "The code of the second factor is wrong or was used before. Try the next one.",
        ),
    }
}

fn wrong_credentials() -> Problem {
    let detail = "The e-mail address or the password is wrong.";
    Problem::new(StatusCode::UNAUTHORIZED, "WRONG_CREDENTIALS", detail)
}

fn lifetimes(service: &Service) -> Lifetimes {
    let settings = &service.settings;
    Lifetimes { unused: settings.refresh_token_lifetime, total: settings.session_lifetime }
}

/// Browser and system that a request names.
fn browser_of(headers: &HeaderMap) -> Option<String> {
    browser::describe(headers.get(header::USER_AGENT)?.to_str().ok()?)
}
