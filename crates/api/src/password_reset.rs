//! Forgotten passwords.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use tracing::{Instrument, info, warn};

use crate::attempts;
use crate::client::ClientAddress;
use crate::input::Input;
use crate::link_tokens::{self, LinkToken, hash_link_token, invalid_link};
use crate::operation_error::{OperationError, problem_responses};
use crate::passwords::NewPassword;
use crate::problem::Problem;
use crate::problem_examples::FieldExample;
use crate::service::Service;
use crate::tags::Tag;

/// Account whose password is forgotten.
#[derive(Object)]
#[oai(example)]
struct ForgottenPassword {
    /// E-mail address.
    email: String,
}

impl Example for ForgottenPassword {
    fn example() -> Self {
        Self { email: "ana@example.com".to_owned() }
    }
}

/// New password of an account.
#[derive(Object)]
#[oai(example)]
struct PasswordReset {
    /// Last part of the link in the mail.
    token: String,
    /// New password, with the rules of the registration.
    new_password: String,
}

impl Example for PasswordReset {
    fn example() -> Self {
        Self { token: link_tokens::EXAMPLE.to_owned(), new_password: "Praia#2026".to_owned() }
    }
}

#[derive(ApiResponse)]
enum ForgotResponse {
    /// If the address belongs to an account, a link is on its way to it.
    #[oai(status = 202)]
    Accepted,
}

#[derive(ApiResponse)]
enum ResetResponse {
    /// The password is changed and all sessions are closed.
    #[oai(status = 204)]
    Changed,
}

problem_responses! {
    ForgotProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "The address is missing or not a string.", INVALID_FIELDS INVALID_BODY,
            FieldExample::new("email", "FIELD_MISSING", "The field `email` is missing.");
        429: "Too many attempts from this network address.", TOO_MANY_ATTEMPTS;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    ResetProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        410: "The link was used already or has expired.", ACCOUNT_LINK_INVALID;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "A field is missing, or the new password is invalid.", INVALID_FIELDS INVALID_BODY,
            FieldExample::new(
                "new_password",
                "PASSWORD_NO_DIGIT",
                "The password must contain a digit.",
            );
        429: "Too many attempts from this network address.", TOO_MANY_ATTEMPTS;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable, or too many passwords are being verified.",
            UNAVAILABLE TOO_BUSY;
    }
}

/// Operations on forgotten passwords.
pub struct PasswordResets;

#[OpenApi(tag = "Tag::Accounts")]
impl PasswordResets {
    /// Request a new password
    ///
    /// Sends a link to set a new password, which leads to the page as `#/reset/<token>`. The
    /// response does not depend on whether the address is known. An address gets at most 5 links an
    /// hour and 20 a day, whoever requests them.
    #[oai(path = "/auth/password/forgot", method = "post", operation_id = "forgotPassword")]
    async fn forgot(
        &self,
        service: Data<&Arc<Service>>,
        client: Data<&ClientAddress>,
        input: Input<ForgottenPassword>,
    ) -> Result<ForgotResponse, OperationError<ForgotProblems>> {
        attempts::count_from_address(&service, **client).await?;
        if let Some(user) = service.database().user_by_email(&input.0.email).await? {
            let service = Arc::clone(&service);
            // In the background: the time of the response must not reveal known addresses.
            let sending = async move {
                let token = LinkToken::generate();
                let requested = service.database().request_password_reset(user.id, token.as_new());
                match requested.await {
                    Ok(()) => {
                        let event = "password_reset_requested";
                        let user = user.id;
                        info!(security_event = event, user_id = %user, "a password is forgotten");
                    }
                    Err(error) => {
                        warn!(user_id = %user.id, %error, "a link for a new password is not sent");
                    }
                }
            };
            tokio::spawn(sending.in_current_span());
        }
        Ok(ForgotResponse::Accepted)
    }

    /// Set a new password
    ///
    /// Sets a new password by the token of the link from `POST /auth/password/forgot`. Each token
    /// can be used once, within 30 minutes. Closes all sessions of the user, confirms the address,
    /// and sends a mail about the change. No access token is needed.
    #[oai(path = "/auth/password/reset", method = "post", operation_id = "resetPassword")]
    async fn reset(
        &self,
        service: Data<&Arc<Service>>,
        client: Data<&ClientAddress>,
        input: Input<PasswordReset>,
    ) -> Result<ResetResponse, OperationError<ResetProblems>> {
        attempts::count_from_address(&service, **client).await?;
        let PasswordReset { token, new_password } = input.0;
        let token = hash_link_token(&token);
        // Before the work of a hash.
        let user = service.database().user_of_password_reset(&token).await?;
        let user = user.ok_or_else(invalid_link)?;
        let new_password = NewPassword::new("new_password", &new_password, &user.email)
            .map_err(Problem::fields)?;
        let hash = service.passwords.hash(new_password).await?;
        let user = service.database().reset_password(&token, hash).await?;
        let user = user.ok_or_else(invalid_link)?;
        info!(
            security_event = "password_reset",
            user_id = %user.id,
            "a user set a new password by a link; all sessions are closed"
        );
        Ok(ResetResponse::Changed)
    }
}
