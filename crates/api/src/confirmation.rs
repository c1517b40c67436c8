//! Confirmation of e-mail addresses: whoever registers has to prove to read mails to the address
//! before anything is uploaded.

use std::sync::Arc;
use std::time::Duration;

use database::account_mails::BUDGET;
use database::confirmations::Resent;
use jobs::UserId;
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use tracing::info;

use crate::attempts;
use crate::client::ClientAddress;
use crate::input::Input;
use crate::link_tokens::{self, LinkToken, hash_link_token, invalid_link};
use crate::operation_error::{OperationError, problem_responses};
use crate::problem::Problem;
use crate::problem_examples::FieldExample;
use crate::rate_limit::RateLimitStatus;
use crate::service::Service;
use crate::sessions::{self, CurrentSession};
use crate::tags::Tag;

/// Check that a user may upload videos: with confirmation, only to a confirmed address.
pub async fn check_confirmed(service: &Service, user: UserId) -> Result<(), Problem> {
    if !service.settings.confirm_addresses {
        return Ok(());
    }
    let user = service.database().user(user).await?;
    if user.ok_or_else(sessions::session_closed)?.confirmed {
        return Ok(());
    }
    let detail = "The e-mail address is not confirmed. Open the link in the mail that you got when \
                  you registered, or request another one.";
    Err(Problem::new(StatusCode::FORBIDDEN, "ADDRESS_NOT_CONFIRMED", detail))
}

/// Problem of a link that is not sent, because the address has got too many mails.
pub fn too_many_mails() -> Problem {
    let (period, limit) = BUDGET[0];
    let detail =
        "Too many mails were sent to this address. Use the latest one, or try again later.";
    // There is room again after the period at the latest, and usually after a part of it.
    let reset = Duration::from_secs(period.as_secs() / limit);
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let status = RateLimitStatus { allowed: false, limit, remaining: 0, reset };
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_MAILS", detail).rate_limited(&status)
}

/// Token of a link in a mail.
#[derive(Object)]
#[oai(example)]
pub struct LinkInput {
    /// Last part of the link.
    pub token: String,
}

impl Example for LinkInput {
    fn example() -> Self {
        Self { token: link_tokens::EXAMPLE.to_owned() }
    }
}

/// Example of a missing token.
pub const MISSING_TOKEN: FieldExample =
    FieldExample::new("token", "FIELD_MISSING", "The field `token` is missing.");

#[derive(ApiResponse)]
enum ResendResponse {
    /// The link is on its way to the address of the user.
    #[oai(status = 202)]
    Accepted,
}

#[derive(ApiResponse)]
enum ConfirmResponse {
    /// The address is confirmed.
    #[oai(status = 204)]
    Confirmed,
}

problem_responses! {
    ResendProblems {
        401: "The access token is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED;
        403: "API keys are refused.", KEY_NOT_ALLOWED;
        409: "The address is confirmed already.", ADDRESS_CONFIRMED;
        429: "Too many attempts from this network address, or mails to this e-mail address.",
            TOO_MANY_ATTEMPTS TOO_MANY_MAILS;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    ConfirmProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        410: "The link was used already or has expired.", ACCOUNT_LINK_INVALID;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "The token is missing or not a string.", INVALID_FIELDS INVALID_BODY,
            MISSING_TOKEN;
        429: "Too many attempts from this network address.", TOO_MANY_ATTEMPTS;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
}

/// Operations of the confirmation.
pub struct Confirmation;

#[OpenApi(tag = "Tag::Accounts")]
impl Confirmation {
    /// Confirm an e-mail address
    ///
    /// Confirms the address of an account by the token of the link that was sent to it, which leads
    /// to the page as `#/confirm/<token>`. Each token can be used once, within 24 hours. No access
    /// token is needed.
    #[oai(path = "/auth/confirm", method = "post", operation_id = "confirmAddress")]
    async fn confirm(
        &self,
        service: Data<&Arc<Service>>,
        client: Data<&ClientAddress>,
        input: Input<LinkInput>,
    ) -> Result<ConfirmResponse, OperationError<ConfirmProblems>> {
        attempts::count_from_address(&service, **client).await?;
        let hash = hash_link_token(&input.0.token);
        let user = service.database().confirm_address(&hash).await?.ok_or_else(invalid_link)?;
        let event = "address_confirmed";
        info!(security_event = event, user_id = %user, "a user confirmed the address");
        Ok(ConfirmResponse::Confirmed)
    }

    /// Send the confirmation again
    ///
    /// Sends another link that confirms the address of the current user. Earlier links stay valid.
    /// An address gets at most 5 links an hour and 20 a day, whoever requests them.
    #[oai(path = "/auth/confirmation", method = "post", operation_id = "resendConfirmation")]
    async fn resend(
        &self,
        service: Data<&Arc<Service>>,
        client: Data<&ClientAddress>,
        session: CurrentSession,
    ) -> Result<ResendResponse, OperationError<ResendProblems>> {
        attempts::count_from_address(&service, **client).await?;
        let token = LinkToken::generate();
        match service.database().resend_confirmation(session.0.user.id, token.as_new()).await? {
            Resent::Sent => Ok(ResendResponse::Accepted),
            Resent::AlreadyConfirmed => {
                let detail = "The e-mail address is confirmed already.";
                Err(Problem::new(StatusCode::CONFLICT, "ADDRESS_CONFIRMED", detail).into())
            }
            Resent::TooManyMails => Err(too_many_mails().into()),
        }
    }
}
