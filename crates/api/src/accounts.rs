//! Accounts: register, change the password.

use std::sync::Arc;

use database::account_tokens::TokenPurpose;
use database::confirmations::Registered;
use database::users::{NewUser, User};
use jobs::{Language, Time};
use poem::http::{HeaderMap, StatusCode};
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::types::{
    Email, Example, ParseError, ParseFromJSON, ParseFromParameter, ParseResult,
};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde_json::Value;
use tracing::info;
use uuid::{Uuid, uuid};

use crate::attempts::{self, MAX_EMAIL_CHARACTERS};
use crate::client::ClientAddress;
use crate::examples;
use crate::input::Input;
use crate::language::{self, LanguageTag};
use crate::link_tokens::LinkToken;
use crate::mail_choice::MailChoiceTag;
use crate::operation_error::{OperationError, problem_responses};
use crate::passwords::NewPassword;
use crate::problem::{FieldError, Problem};
use crate::problem_examples::FieldExample;
use crate::reauthentication::{self, Proof};
use crate::service::Service;
use crate::sessions::{self, CurrentSession};
use crate::tags::Tag;

/// Maximum length of a user's name, in characters.
const MAX_NAME_CHARACTERS: usize = 100;

/// Data of a new account.
#[derive(Object)]
#[oai(example)]
struct Registration {
    /// E-mail address of at most 254 characters. Case is ignored.
    #[oai(deserialize_with = "any_string")]
    email: Email,
    /// Password of at least 8 characters, with an uppercase letter, a digit and a special
    /// character, or of at least 15 characters. It must not be one of the 10,000 most common ones,
    /// or contain the part of the address before the `@` or the name of the service. It is compared
    /// in Unicode's form NFC with all spaces as U+0020 (RFC 8265, 4.2), in which it may have at
    /// most 256 bytes of UTF-8. Control characters and other invisible ones are rejected.
    password: String,
    /// Name of the user, 1 to 100 characters.
    name: String,
    /// Language of mails and messages. Default: the language of the header `Accept-Language`, else
    /// Portuguese.
    language: Option<LanguageTag>,
}

impl Example for Registration {
    fn example() -> Self {
        Self {
            email: Email("ana@example.com".to_owned()),
            password: "Praia#2026".to_owned(),
            name: "Ana".to_owned(),
            language: Some(LanguageTag::Pt),
        }
    }
}

/// Accept any string as an address, so that an invalid one is reported together with all other
/// invalid fields.
pub fn any_string(value: Option<Value>) -> ParseResult<Email> {
    String::parse_from_json(value).map(Email).map_err(ParseError::propagate)
}

/// Return whether mail can be sent to an address: `name@domain`, without a display name, quotes or
/// an IP address.
fn is_email_address(text: &str) -> bool {
    let is_plain = |char: char| !char.is_whitespace() && !"<>\"[]()".contains(char);
    text.chars().count() <= MAX_EMAIL_CHARACTERS
        && text.chars().all(is_plain)
        && Email::parse_from_parameter(text).is_ok()
}

/// Change of a password.
#[derive(Object)]
#[oai(example)]
struct PasswordChange {
    /// Current password.
    current_password: String,
    /// New password, with the rules of the registration.
    new_password: String,
    /// Code of the second factor, if the user has one.
    code: Option<String>,
}

impl Example for PasswordChange {
    fn example() -> Self {
        Self {
            current_password: "Duna#2025".to_owned(),
            new_password: "Praia#2026".to_owned(),
            code: Some("492039".to_owned()),
        }
    }
}

/// Registered user.
#[derive(Object)]
#[oai(example)]
pub struct Account {
    /// Id of the user.
    id: Uuid,
    /// E-mail address in lower case.
    email: String,
    /// Name of the user.
    name: String,
    /// Language of mails and messages.
    language: LanguageTag,
    /// Whether logins require a code of the second factor.
    second_factor: bool,
    /// Time of the registration.
    created_at: Time,
    /// Whether the address is confirmed, which uploads require unless the service is set up without
    /// confirmation.
    confirmed: bool,
    /// Mails about jobs that the user gets.
    mails: MailChoiceTag,
    /// Time zone of the times in mails, by its name in the IANA database. Without one, they are in
    /// UTC.
    #[oai(nullable)]
    time_zone: Option<String>,
}

impl Example for Account {
    fn example() -> Self {
        Self {
            id: uuid!("0190a000-0000-7000-8000-000000000001"),
            email: "ana@example.com".to_owned(),
            name: "Ana".to_owned(),
            language: LanguageTag::Pt,
            second_factor: false,
            created_at: examples::time(-60),
            confirmed: true,
            mails: MailChoiceTag::Each,
            time_zone: Some("America/Sao_Paulo".to_owned()),
        }
    }
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            id: user.id.0,
            email: user.email,
            name: user.name,
            language: user.language.into(),
            second_factor: user.second_factor,
            created_at: user.created_at,
            confirmed: user.confirmed,
            mails: user.mails.into(),
            time_zone: user.time_zone.map(|zone| zone.name().to_owned()),
        }
    }
}

/// Registration that is accepted, whether or not the address was registered before.
#[derive(Object)]
#[oai(example)]
struct PendingRegistration {
    /// E-mail address in lower case, to which a mail is sent.
    email: String,
    /// Time for which a link in the mail is valid, in seconds.
    expires_in: u64,
}

impl PendingRegistration {
    fn new(email: &str) -> Self {
        let expires_in = TokenPurpose::ConfirmAddress.lifetime().as_secs();
        Self { email: email.to_lowercase(), expires_in }
    }
}

impl Example for PendingRegistration {
    fn example() -> Self {
        Self::new("ana@example.com")
    }
}

#[derive(ApiResponse)]
enum RegisterResponse {
    /// The user is registered. The service is set up without confirmation of addresses.
    #[oai(status = 201)]
    Created(Json<Account>),
    /// The registration is accepted, and a mail is sent to the address: a link that confirms it,
    /// or a notice if it was registered before, in which case nothing changes. The response does
    /// not differ.
    #[oai(status = 202)]
    Pending(Json<PendingRegistration>),
}

#[derive(ApiResponse)]
pub enum AccountResponse {
    /// The current user.
    #[oai(status = 200)]
    Account(Json<Account>),
}

#[derive(ApiResponse)]
enum ChangePasswordResponse {
    /// The password is changed and all sessions are closed.
    #[oai(status = 204)]
    Changed,
}

problem_responses! {
    RegisterProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        409: "The e-mail address is already registered, and the service is set up without \
              confirmation of addresses.", EMAIL_TAKEN;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "A field is missing or invalid. All invalid fields are listed.",
            INVALID_FIELDS INVALID_BODY,
            FieldExample::new(
                "password",
                "PASSWORD_NO_DIGIT",
                "The password must contain a digit.",
            );
        429: "Too many attempts from this network address.", TOO_MANY_ATTEMPTS;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable, or too many passwords are being verified.",
            UNAVAILABLE TOO_BUSY;
    }
    PasswordProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        401: "The access token is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED;
        403: "API keys are refused.", KEY_NOT_ALLOWED;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "The current password or the code is wrong, or the new password is invalid.",
            INVALID_FIELDS INVALID_BODY,
            FieldExample::new(
                "current_password",
                "PASSWORD_WRONG",
                "The password is wrong.",
            );
        429: "Too many attempts in this session.", TOO_MANY_ATTEMPTS TOO_MANY_CODES;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable, or too many passwords are being verified.",
            UNAVAILABLE TOO_BUSY;
    }
}

/// Operations on accounts.
pub struct Accounts;

#[OpenApi(tag = "Tag::Accounts")]
impl Accounts {
    /// Register
    ///
    /// Creates an account. Log in afterwards to open a session. Unless the service is set up
    /// without confirmation, videos can be uploaded when the address is confirmed by the link in a
    /// mail.
    #[oai(path = "/auth/register", method = "post", operation_id = "registerUser")]
    async fn register(
        &self,
        service: Data<&Arc<Service>>,
        client: Data<&ClientAddress>,
        headers: &HeaderMap,
        input: Input<Registration>,
    ) -> Result<RegisterResponse, OperationError<RegisterProblems>> {
        attempts::count_from_address(&service, **client).await?;
        let Registration { email: Email(email), password, name, language } = input.0;
        let name = name.trim();
        let password = valid_password(&email, &password, name)?;
        let language = language.map(Language::from).or_else(|| language::accepted(headers));
        let hash = service.passwords.hash(password).await?;
        if service.settings.confirm_addresses {
            let language = language.unwrap_or_default();
            let new = NewUser { email: &email, name, password_hash: &hash, language };
            register_unconfirmed(&service, new).await?;
            return Ok(RegisterResponse::Pending(Json(PendingRegistration::new(&email))));
        }
        let registered =
            service.database().register(&email, name, hash, language.unwrap_or_default()).await;
        let user = registered.map_err(|error| match error {
            database::Error::AlreadyExists => {
                let detail = "The e-mail address is already registered. Log in instead.";
                Problem::new(StatusCode::CONFLICT, "EMAIL_TAKEN", detail)
            }
            error => error.into(),
        })?;
        info!(security_event = "registered", user_id = %user.id, "a user registered");
        Ok(RegisterResponse::Created(Json(user.into())))
    }

    /// Change the password
    ///
    /// Closes all sessions of the user, including this one. Log in again with the new password.
    #[oai(path = "/auth/password", method = "post", operation_id = "changePassword")]
    async fn change_password(
        &self,
        service: Data<&Arc<Service>>,
        session: CurrentSession,
        input: Input<PasswordChange>,
    ) -> Result<ChangePasswordResponse, OperationError<PasswordProblems>> {
        let CurrentSession(access) = session;
        let PasswordChange { current_password, new_password, code } = input.0;
        let new_password = NewPassword::new("new_password", &new_password, &access.user.email)
            .map_err(Problem::fields)?;
        let proof = Proof { field: "current_password", password: current_password, code };
        let user = reauthentication::reauthenticate(&service, &access, proof).await?;
        let hash = service.passwords.hash(new_password).await?;
        if !service.database().change_password(&user, hash).await? {
            return Err(sessions::session_closed().into());
        }
        info!(
            security_event = "password_changed",
            user_id = %user.id,
            "a user changed the password; all sessions are closed"
        );
        Ok(ChangePasswordResponse::Changed)
    }
}

/// Register a user who has to confirm the address.
async fn register_unconfirmed(service: &Service, new: NewUser<'_>) -> Result<(), Problem> {
    let token = LinkToken::generate();
    match service.database().register_unconfirmed(new, token.as_new()).await? {
        Registered::New(user) => {
            info!(security_event = "registered", user_id = %user, "a user registered");
        }
        Registered::Known(user) => {
            let event = "registered_again";
            info!(security_event = event, user_id = %user, "a known address was registered");
        }
    }
    Ok(())
}

/// Check the fields of a registration, and return the password.
///
/// # Errors
/// A problem with all invalid fields.
fn valid_password(email: &str, password: &str, name: &str) -> Result<NewPassword, Problem> {
    let password = NewPassword::new("password", password, email);
    let errors: Vec<_> = [invalid_name(name), invalid_email(email)].into_iter().flatten().collect();
    match password {
        Ok(password) if errors.is_empty() => Ok(password),
        Ok(_) => Err(Problem::fields(errors)),
        Err(rules) => Err(Problem::fields([rules, errors].concat())),
    }
}

/// Error of a name, without spaces around it.
pub fn invalid_name(name: &str) -> Option<FieldError> {
    let is_valid = !name.is_empty()
        && name.chars().count() <= MAX_NAME_CHARACTERS
        && !name.chars().any(char::is_control);
    let message = "The name must have 1 to 100 characters.";
    (!is_valid).then(|| FieldError::new("name", "NAME_INVALID", message))
}

/// Error of an e-mail address.
pub fn invalid_email(email: &str) -> Option<FieldError> {
    let message = "The e-mail address is invalid. Example: ana@example.com.";
    (!is_email_address(email)).then(|| FieldError::new("email", "EMAIL_INVALID", message))
}
