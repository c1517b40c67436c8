//! Accounts: register, log in and out, stay logged in.

use std::sync::Arc;

use database::sessions::Rotation;
use database::users::User;
use jobs::{Language, Time, UserId};
use poem::Request;
use poem::http::{HeaderMap, StatusCode, header};
use poem::web::Data;
use poem_openapi::auth::Bearer;
use poem_openapi::payload::Json;
use poem_openapi::types::{Email, ParseError, ParseFromJSON, ParseFromParameter, ParseResult};
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, SecurityScheme, Tags};
use serde_json::Value;
use tracing::{info, warn};
use uuid::Uuid;

use crate::access::ClientAddress;
use crate::input::Input;
use crate::problem::{FieldError, Problem, Refusal, refusals};
use crate::{Service, passwords, tokens};

/// Groups of operations.
#[derive(Tags)]
pub enum Group {
    /// Who you are.
    Accounts,
    /// Uploads and what becomes of them.
    Videos,
    /// Whether the service is well.
    Service,
}

/// An access token, as given by `POST /auth/login`.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", bearer_format = "JWT", checker = "check")]
pub struct LoggedIn(pub UserId);

async fn check(request: &Request, bearer: Bearer) -> poem::Result<UserId> {
    let Some(service) = request.data::<Arc<Service>>() else {
        return Err(Problem::internal(&"no service").into());
    };
    let (id, generation) = service.tokens.user(&bearer.token)?;
    let user = service.database().user(id).await.map_err(Problem::from)?;
    if user.is_none_or(|user| user.generation != generation) {
        let detail = "The user is gone, or has another password by now. Log in again.";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "TOKEN_INVALID", detail).into());
    }
    tracing::Span::current().record("user_id", tracing::field::display(id));
    Ok(id)
}

/// A language in which the service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
pub enum Speech {
    /// Portuguese.
    Pt,
    /// English.
    En,
}

impl From<Speech> for Language {
    fn from(speech: Speech) -> Self {
        match speech {
            Speech::Pt => Self::Pt,
            Speech::En => Self::En,
        }
    }
}

impl From<Language> for Speech {
    fn from(language: Language) -> Self {
        match language {
            Language::Pt => Self::Pt,
            Language::En => Self::En,
        }
    }
}

/// Who wants to register.
#[derive(Object)]
#[oai(example)]
struct Registration {
    /// E-mail address of 254 characters at most; upper and lower case are the same.
    #[oai(deserialize_with = "any_text")]
    email: Email,
    /// 8 characters or more, among them an upper-case letter, a digit and a special character; 128
    /// bytes at most.
    password: String,
    /// What you want to be called; 100 characters at most.
    name: String,
    /// Language of mails and messages; by default that of the request's `Accept-Language`, else
    /// Portuguese.
    language: Option<Speech>,
}

impl poem_openapi::types::Example for Registration {
    fn example() -> Self {
        Self {
            email: Email("ana@example.com".to_owned()),
            password: "Praia#2026".to_owned(),
            name: "Ana".to_owned(),
            language: Some(Speech::Pt),
        }
    }
}

/// Takes any text for an address, so that a wrong one can be named together with all other fields
/// that are wrong.
fn any_text(value: Option<Value>) -> ParseResult<Email> {
    String::parse_from_json(value).map(Email).map_err(ParseError::propagate)
}

/// Most characters of an e-mail address: more do not fit into SMTP's path (RFC 5321, 4.5.3.1.3,
/// with its brackets).
const LONGEST_ADDRESS: usize = 254;

/// Whether mail can be sent to an address: `name@domain`, without a display name, quotes or an IP
/// address.
fn is_address(text: &str) -> bool {
    let plain = |char: char| !char.is_whitespace() && !"<>\"[]()".contains(char);
    text.chars().count() <= LONGEST_ADDRESS
        && text.chars().all(plain)
        && Email::parse_from_parameter(text).is_ok()
}

/// Who wants to log in.
#[derive(Object)]
#[oai(example)]
struct Credentials {
    /// E-mail address.
    email: String,
    /// Password.
    password: String,
}

impl poem_openapi::types::Example for Credentials {
    fn example() -> Self {
        Self { email: "ana@example.com".to_owned(), password: "Praia#2026".to_owned() }
    }
}

/// Another password.
#[derive(Object)]
struct PasswordChange {
    /// The password until now.
    current_password: String,
    /// The one from now on, by the rules of registration.
    new_password: String,
}

/// A refresh token.
#[derive(Object)]
struct RefreshToken {
    /// The newest one that was given; an older one ends the session.
    refresh_token: String,
}

/// A registered user.
#[derive(Object)]
struct Account {
    /// The user's id.
    id: Uuid,
    /// E-mail address.
    email: String,
    /// Name.
    name: String,
    /// Language of mails and messages.
    language: Speech,
    /// When the user registered.
    created_at: Time,
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        let User { id, email, name, language, created_at, .. } = user;
        Self { id: id.0, email, name, language: language.into(), created_at }
    }
}

/// Tokens of a session.
#[derive(Object)]
struct Session {
    /// Goes into the header `Authorization: Bearer ...` of every request.
    access_token: String,
    /// Gives a new pair, once, at `POST /auth/refresh`.
    refresh_token: String,
    /// Always `bearer`.
    token_type: String,
    /// Seconds until the access token expires.
    expires_in: u64,
}

#[derive(ApiResponse)]
enum Registered {
    /// The user is registered.
    #[oai(status = 201)]
    Created(Json<Account>),
}

#[derive(ApiResponse)]
enum Opened {
    /// The session's tokens.
    #[oai(status = 200)]
    Session(Json<Session>),
}

#[derive(ApiResponse)]
enum Known {
    /// The user.
    #[oai(status = 200)]
    Account(Json<Account>),
}

#[derive(ApiResponse)]
enum Changed {
    /// The password is changed, and all sessions are over.
    #[oai(status = 204)]
    Password,
}

#[derive(ApiResponse)]
enum LoggedOut {
    /// The session is over, if there was one.
    #[oai(status = 204)]
    Over,
}

refusals! {
    RegisterRefusals {
        400: "The body is not JSON.",
        409: "Somebody has this e-mail address.",
        413: "The body is too large.",
        415: "The body is not declared as JSON.",
        422: "A field is wrong; each is named with what it lacks.",
        429: "Too many attempts in a minute.",
        500: "A fault of the service.",
        503: "A part of the service is not available.",
    }
    PasswordRefusals {
        400: "The body is not JSON.",
        401: "The access token is missing, wrong or expired.",
        413: "The body is too large.",
        415: "The body is not declared as JSON.",
        422: "The current password is wrong, or the new one lacks something.",
        429: "Too many attempts in a minute.",
        500: "A fault of the service.",
        503: "A part of the service is not available.",
    }
    LoginRefusals {
        400: "The body is not JSON.",
        401: "Address or password are wrong.",
        413: "The body is too large.",
        415: "The body is not declared as JSON.",
        422: "A field is missing.",
        429: "Too many attempts in a minute.",
        500: "A fault of the service.",
        503: "A part of the service is not available.",
    }
    RefreshRefusals {
        400: "The body is not JSON.",
        401: "The refresh token is unknown, expired or spent.",
        413: "The body is too large.",
        415: "The body is not declared as JSON.",
        422: "The refresh token is missing.",
        429: "Too many attempts in a minute.",
        500: "A fault of the service.",
        503: "A part of the service is not available.",
    }
    LogoutRefusals {
        400: "The body is not JSON.",
        413: "The body is too large.",
        415: "The body is not declared as JSON.",
        422: "The refresh token is missing.",
        500: "A fault of the service.",
        503: "A part of the service is not available.",
    }
    MeRefusals {
        401: "The access token is missing, wrong or expired.",
        500: "A fault of the service.",
        503: "A part of the service is not available.",
    }
}

/// The operations on accounts.
pub struct Accounts;

#[OpenApi(tag = "Group::Accounts")]
impl Accounts {
    /// Register
    #[oai(path = "/auth/register", method = "post")]
    async fn register(
        &self,
        service: Data<&Arc<Service>>,
        client: Data<&ClientAddress>,
        headers: &HeaderMap,
        input: Input<Registration>,
    ) -> Result<Registered, Refusal<RegisterRefusals>> {
        from_address(&service, **client).await?;
        let Registration { email: Email(email), password, name, language } = input.0;
        let name = name.trim();
        let mut errors = passwords::lacks(&password);
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            errors.push(FieldError::new(
                "name",
                "NAME_INVALID",
                "The name needs 1 to 100 characters.",
            ));
        }
        if !is_address(&email) {
            errors.push(FieldError::new(
                "email",
                "EMAIL_INVALID",
                "This is no e-mail address, such as ana@example.com.",
            ));
        }
        if !errors.is_empty() {
            return Err(Problem::fields(errors).into());
        }
        let spoken = headers
            .get(header::ACCEPT_LANGUAGE)
            .and_then(|value| Language::from_accept_language(value.to_str().ok()?));
        let language = language.map(Language::from).or(spoken).unwrap_or_default();
        let hash = service.passwords.hash(password).await?;
        let user =
            service.database().register(&email, name, hash, language).await.map_err(|error| {
                match error {
                    database::Error::AlreadyExists => Problem::new(
                        StatusCode::CONFLICT,
                        "EMAIL_TAKEN",
                        "Somebody is registered with this e-mail address. Log in instead.",
                    ),
                    error => error.into(),
                }
            })?;
        info!(user_id = %user.id, "a user registered");
        Ok(Registered::Created(Json(user.into())))
    }

    /// Log in
    ///
    /// An unknown address and a wrong password get the same answer after the same time.
    #[oai(path = "/auth/login", method = "post")]
    async fn login(
        &self,
        service: Data<&Arc<Service>>,
        client: Data<&ClientAddress>,
        input: Input<Credentials>,
    ) -> Result<Opened, Refusal<LoginRefusals>> {
        from_address(&service, **client).await?;
        let Credentials { email, password } = input.0;
        let email = email.to_lowercase();
        at_account(&service, &email).await?;
        let user = service.database().user_by_email(&email).await?;
        let Some(user) = verified(&service, user, password).await? else {
            return Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "WRONG_CREDENTIALS",
                "E-mail address or password are wrong.",
            )
            .into());
        };
        let refresh_token = tokens::refresh_token();
        service
            .database()
            .open_session(
                user.id,
                &tokens::hash(&refresh_token),
                service.settings.refresh_valid_for,
            )
            .await?;
        info!(user_id = %user.id, "a user logged in");
        Ok(session(&service, &user, refresh_token)?)
    }

    /// Renew a session
    ///
    /// The refresh token is spent and a new one is given. A spent one that is used again ends the
    /// session: somebody may have stolen it.
    #[oai(path = "/auth/refresh", method = "post")]
    async fn refresh(
        &self,
        service: Data<&Arc<Service>>,
        client: Data<&ClientAddress>,
        input: Input<RefreshToken>,
    ) -> Result<Opened, Refusal<RefreshRefusals>> {
        from_address(&service, **client).await?;
        let (spent, new) = (tokens::hash(&input.0.refresh_token), tokens::refresh_token());
        let refused = |code, detail| Problem::new(StatusCode::UNAUTHORIZED, code, detail);
        match service
            .database()
            .rotate_session(&spent, &tokens::hash(&new), service.settings.refresh_valid_for)
            .await?
        {
            Rotation::Renewed(user) => {
                let user = service.database().user(user).await?.ok_or_else(gone)?;
                Ok(session(&service, &user, new)?)
            }
            Rotation::Reused(user) => {
                warn!(user_id = %user, "a spent refresh token was used again; its session is over");
                Err(refused(
                    "TOKEN_REUSED",
                    "This refresh token was used before, so the session is over. Log in again.",
                )
                .into())
            }
            Rotation::Rejected => Err(refused(
                "TOKEN_INVALID",
                "The refresh token is unknown or expired. Log in again.",
            )
            .into()),
        }
    }

    /// Log out
    #[oai(path = "/auth/logout", method = "post")]
    async fn logout(
        &self,
        service: Data<&Arc<Service>>,
        input: Input<RefreshToken>,
    ) -> Result<LoggedOut, Refusal<LogoutRefusals>> {
        service.database().close_session(&tokens::hash(&input.0.refresh_token)).await?;
        Ok(LoggedOut::Over)
    }

    /// Change the password
    ///
    /// All sessions end, this one too: log in again with the new password.
    #[oai(path = "/auth/password", method = "post")]
    async fn password(
        &self,
        service: Data<&Arc<Service>>,
        client: Data<&ClientAddress>,
        user: LoggedIn,
        input: Input<PasswordChange>,
    ) -> Result<Changed, Refusal<PasswordRefusals>> {
        from_address(&service, **client).await?;
        let PasswordChange { current_password, new_password } = input.0;
        let user = service.database().user(user.0).await?.ok_or_else(gone)?;
        at_account(&service, &user.email).await?;
        let mut errors = passwords::lacks(&new_password);
        for error in &mut errors {
            "new_password".clone_into(&mut error.field);
        }
        if !errors.is_empty() {
            return Err(Problem::fields(errors).into());
        }
        let Some(user) = verified(&service, Some(user), current_password).await? else {
            return Err(Problem::field(
                "current_password",
                "PASSWORD_WRONG",
                "This is not the current password.",
            )
            .into());
        };
        let hash = service.passwords.hash(new_password).await?;
        service.database().change_password(user.id, hash).await?;
        info!(user_id = %user.id, "a user changed the password; all sessions are over");
        Ok(Changed::Password)
    }

    /// Who am I?
    #[oai(path = "/auth/me", method = "get")]
    async fn me(
        &self,
        service: Data<&Arc<Service>>,
        user: LoggedIn,
    ) -> Result<Known, Refusal<MeRefusals>> {
        let found = service.database().user(user.0).await?;
        let user = found.ok_or_else(gone)?;
        Ok(Known::Account(Json(user.into())))
    }
}

/// Count one more attempt from a network address.
async fn from_address(service: &Service, client: ClientAddress) -> Result<(), Problem> {
    let Some(network) = client.network() else { return Ok(()) };
    counted(service, &format!("address:{network}"), service.settings.attempts_per_address).await
}

/// Count one more attempt at an account, whether or not there is one.
async fn at_account(service: &Service, email: &str) -> Result<(), Problem> {
    // What is counted is kept for a while, and no address is longer.
    let email: String = email.chars().take(LONGEST_ADDRESS).collect();
    counted(service, &format!("login:{email}"), service.settings.logins_per_minute).await
}

async fn counted(service: &Service, key: &str, limit: u32) -> Result<(), Problem> {
    let verdict = service.parts.limits.take(key, limit).await;
    if verdict.allowed {
        return Ok(());
    }
    let detail = "Too many attempts. Wait a minute and try again.";
    Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_ATTEMPTS", detail).limited(&verdict))
}

/// The user, if there is one and the password is right; in the same time either way.
async fn verified(
    service: &Service,
    user: Option<User>,
    password: String,
) -> Result<Option<User>, Problem> {
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let right = service.passwords.verify(password, hash).await?;
    Ok(user.filter(|_| right))
}

fn gone() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "TOKEN_INVALID", "This user is gone.")
}

fn session(service: &Service, user: &User, refresh_token: String) -> Result<Opened, Problem> {
    let access_token = service.tokens.access(user.id, user.generation)?;
    let expires_in = service.settings.access_valid_for.as_secs();
    Ok(Opened::Session(Json(Session {
        access_token,
        refresh_token,
        token_type: "bearer".to_owned(),
        expires_in,
    })))
}
