//! Second factor of a user: turn it on and off.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use tracing::info;

use crate::attempts;
use crate::input::Input;
use crate::operation_error::{OperationError, problem_responses};
use crate::problem::Problem;
use crate::problem_examples::FieldExample;
use crate::reauthentication::{self, Proof};
use crate::service::Service;
use crate::sessions::CurrentSession;
use crate::tags::Tag;
use crate::totp::{self, Code, RecoveryCode};

/// Password of the user.
#[derive(Object)]
#[oai(example)]
struct SecondFactorStart {
    /// Current password.
    password: String,
}

impl Example for SecondFactorStart {
    fn example() -> Self {
        Self { password: "Praia#2026".to_owned() }
    }
}

/// Secret of a second factor that is not on yet.
#[derive(Object)]
#[oai(example)]
struct SecondFactorSecret {
    /// Secret in base32, to type into an app.
    secret: String,
    /// URI of the secret, for a QR code. Codes have six digits and change every 30 seconds (RFC
    /// 6238).
    otpauth_uri: String,
}

impl Example for SecondFactorSecret {
    fn example() -> Self {
        let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        Self { secret: secret.to_owned(), otpauth_uri: totp::uri(secret, "ana@example.com") }
    }
}

/// First code of a second factor.
#[derive(Object)]
#[oai(example)]
struct SecondFactorCode {
    /// Code that the app shows.
    code: String,
}

impl Example for SecondFactorCode {
    fn example() -> Self {
        Self { code: "492039".to_owned() }
    }
}

/// Recovery codes of a second factor.
#[derive(Object)]
#[oai(example)]
struct RecoveryCodes {
    /// Ten codes, each of which replaces a code of the app once. They are not shown again.
    recovery_codes: Vec<String>,
}

impl Example for RecoveryCodes {
    fn example() -> Self {
        Self { recovery_codes: vec!["MZXW-6YTB-OI2D-GNBV-GY3T-QOJQ".to_owned()] }
    }
}

/// Password and code of the user.
#[derive(Object)]
#[oai(example)]
struct SecondFactorEnd {
    /// Current password.
    password: String,
    /// Code that the app shows, or a recovery code.
    code: String,
}

impl Example for SecondFactorEnd {
    fn example() -> Self {
        Self { password: "Praia#2026".to_owned(), code: "492039".to_owned() }
    }
}

#[derive(ApiResponse)]
enum StartResponse {
    /// Secret, which becomes the second factor when a code of it is confirmed.
    #[oai(status = 200)]
    Secret(Json<SecondFactorSecret>),
}

#[derive(ApiResponse)]
enum ConfirmResponse {
    /// The second factor is on.
    #[oai(status = 200)]
    On(Json<RecoveryCodes>),
}

#[derive(ApiResponse)]
enum EndResponse {
    /// The second factor is off.
    #[oai(status = 204)]
    Off,
}

const WRONG_PASSWORD: FieldExample =
    FieldExample::new("password", "PASSWORD_WRONG", "The password is wrong.");
const WRONG_CODE: FieldExample = FieldExample::new(
    "code",
    "SECOND_FACTOR_WRONG",
    "The code of the second factor is wrong or was used before.",
);

problem_responses! {
    StartProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        401: "The access token is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED;
        403: "API keys are refused.", KEY_NOT_ALLOWED;
        409: "The second factor is on.", SECOND_FACTOR_ON;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "The password is wrong.", INVALID_FIELDS INVALID_BODY, WRONG_PASSWORD;
        429: "Too many attempts in this session.", TOO_MANY_ATTEMPTS;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable, or too many passwords are being verified.",
            UNAVAILABLE TOO_BUSY;
    }
    ConfirmProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        401: "The access token is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED;
        403: "API keys are refused.", KEY_NOT_ALLOWED;
        409: "The second factor is on, or there is no secret.",
            SECOND_FACTOR_ON SECOND_FACTOR_NOT_STARTED;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "The code is wrong.", INVALID_FIELDS INVALID_BODY, WRONG_CODE;
        429: "Too many attempts in this session.", TOO_MANY_ATTEMPTS;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    EndProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        401: "The access token is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED;
        403: "API keys are refused.", KEY_NOT_ALLOWED;
        409: "The second factor is off.", SECOND_FACTOR_OFF;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "The password or the code is wrong.", INVALID_FIELDS INVALID_BODY, WRONG_CODE;
        429: "Too many attempts in this session.", TOO_MANY_ATTEMPTS TOO_MANY_CODES;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable, or too many passwords are being verified.",
            UNAVAILABLE TOO_BUSY;
    }
}

/// Operations on the second factor of a user.
pub struct SecondFactorOperations;

#[OpenApi(tag = "Tag::Accounts")]
impl SecondFactorOperations {
    /// Create a second factor
    ///
    /// Returns a new secret for an app. Logins require a code when one has been confirmed. An
    /// earlier secret that was not confirmed is replaced.
    #[oai(path = "/auth/second-factor", method = "post", operation_id = "createSecondFactor")]
    async fn start(
        &self,
        service: Data<&Arc<Service>>,
        session: CurrentSession,
        input: Input<SecondFactorStart>,
    ) -> Result<StartResponse, OperationError<StartProblems>> {
        let CurrentSession(access) = session;
        if access.user.second_factor {
            return Err(already_on().into());
        }
        let proof = Proof::new(input.0.password, None);
        let user = reauthentication::reauthenticate(&service, &access, proof).await?;
        let secret = totp::new_secret();
        if !service.database().begin_second_factor(&user, &secret).await? {
            return Err(already_on().into());
        }
        let otpauth_uri = totp::uri(&secret, &user.email);
        Ok(StartResponse::Secret(Json(SecondFactorSecret { secret, otpauth_uri })))
    }

    /// Confirm the second factor
    ///
    /// Turns the second factor on, and returns its recovery codes. Other sessions continue.
    #[oai(
        path = "/auth/second-factor/confirm",
        method = "post",
        operation_id = "confirmSecondFactor"
    )]
    async fn confirm(
        &self,
        service: Data<&Arc<Service>>,
        session: CurrentSession,
        input: Input<SecondFactorCode>,
    ) -> Result<ConfirmResponse, OperationError<ConfirmProblems>> {
        let CurrentSession(access) = session;
        let (user, database) = (access.user, service.database());
        if user.second_factor {
            return Err(already_on().into());
        }
        attempts::count_in_session(&service, access.token).await?;
        let secret = database.second_factor_secret(user.id).await?.ok_or_else(not_started)?;
        let step = match Code::parse(&input.0.code) {
            Code::TimeBased(code) => totp::step_of(&secret, &code, database.clock().now())?,
            _ => None,
        };
        let step = step.ok_or_else(reauthentication::wrong_code)?;
        let codes = totp::new_recovery_codes();
        let hashes = codes.iter().map(|code| code.hash.clone()).collect();
        if !database.enable_second_factor(user.id, &secret, step, hashes).await? {
            return Err(not_started().into());
        }
        info!(security_event = "second_factor_on", user_id = %user.id, "a second factor is on");
        let recovery_codes = codes.map(|RecoveryCode { text, .. }| text).into();
        Ok(ConfirmResponse::On(Json(RecoveryCodes { recovery_codes })))
    }

    /// Remove the second factor
    ///
    /// Turns the second factor off. Its recovery codes become invalid.
    #[oai(path = "/auth/second-factor", method = "delete", operation_id = "deleteSecondFactor")]
    async fn end(
        &self,
        service: Data<&Arc<Service>>,
        session: CurrentSession,
        input: Input<SecondFactorEnd>,
    ) -> Result<EndResponse, OperationError<EndProblems>> {
        let CurrentSession(access) = session;
        let off = || {
            let detail = "The second factor is off.";
            Problem::new(StatusCode::CONFLICT, "SECOND_FACTOR_OFF", detail)
        };
        if !access.user.second_factor {
            return Err(off().into());
        }
        let proof = Proof::new(input.0.password, Some(input.0.code));
        let user = reauthentication::reauthenticate(&service, &access, proof).await?;
        if !service.database().disable_second_factor(user.id).await? {
            return Err(off().into());
        }
        info!(security_event = "second_factor_off", user_id = %user.id, "a second factor is off");
        Ok(EndResponse::Off)
    }
}

fn already_on() -> Problem {
    let detail = "The second factor is on. Turn it off first.";
    Problem::new(StatusCode::CONFLICT, "SECOND_FACTOR_ON", detail)
}

fn not_started() -> Problem {
    let detail = "There is no secret to confirm. Get one with `POST /auth/second-factor`.";
    Problem::new(StatusCode::CONFLICT, "SECOND_FACTOR_NOT_STARTED", detail)
}
