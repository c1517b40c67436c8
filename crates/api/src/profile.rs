//! The current user: get, change and delete. Operations on one path belong to one group, because
//! the generator of the document does not join the paths of groups.

use std::sync::Arc;

use database::address_changes::{AddressChange, AddressRequest, ProfileUpdate};
use database::mail_choice::MailChoice;
use jobs::{Language, TimeZone};
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::types::{Email, Example};
use poem_openapi::{ApiResponse, Object, OpenApi};
use tracing::info;

use crate::account_deletion::{AccountProof, delete_account};
use crate::accounts::{Account, AccountResponse, any_string, invalid_email, invalid_name};
use crate::attempts;
use crate::client::ClientAddress;
use crate::confirmation::{LinkInput, MISSING_TOKEN, too_many_mails};
use crate::input::Input;
use crate::language::LanguageTag;
use crate::link_tokens::{LinkToken, hash_link_token, invalid_link};
use crate::mail_choice::MailChoiceTag;
use crate::operation_error::{OperationError, problem_responses};
use crate::problem::{FieldError, Problem};
use crate::problem_examples::FieldExample;
use crate::reauthentication::{Proof, reauthenticate};
use crate::service::Service;
use crate::sessions::{CurrentSession, session_closed};
use crate::tags::Tag;

/// Changes of the current user. What is left out stays as it is.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct ProfileChange {
    /// Name of the user, 1 to 100 characters.
    name: Option<String>,
    /// Language of mails and messages.
    language: Option<LanguageTag>,
    /// Mails about jobs that the user gets. Mails about the account are sent in any case.
    mails: Option<MailChoiceTag>,
    /// Time zone of the times in mails, by its name in the IANA database.
    time_zone: Option<String>,
}

impl Example for ProfileChange {
    fn example() -> Self {
        Self {
            name: Some("Ana Lúcia".to_owned()),
            language: Some(LanguageTag::En),
            mails: Some(MailChoiceTag::Digest),
            time_zone: Some("America/Sao_Paulo".to_owned()),
        }
    }
}

/// New e-mail address of the current user.
#[derive(Object)]
#[oai(example)]
struct NewAddress {
    /// New e-mail address of at most 254 characters. Case is ignored.
    #[oai(deserialize_with = "any_string")]
    email: Email,
    /// Password of the user.
    password: String,
    /// Code of the second factor, if the user has one.
    #[oai(skip_serializing_if_is_none)]
    code: Option<String>,
}

impl Example for NewAddress {
    fn example() -> Self {
        Self {
            email: Email("ana.lucia@example.com".to_owned()),
            password: "Praia#2026".to_owned(),
            code: None,
        }
    }
}

#[derive(ApiResponse)]
enum NewAddressResponse {
    /// A link that confirms the new address is on its way to it. If the address belongs to another
    /// account, its owner gets a notice instead; the response does not differ.
    #[oai(status = 202)]
    Accepted,
}

#[derive(ApiResponse)]
enum AddressChangedResponse {
    /// The user has the new address.
    #[oai(status = 204)]
    Changed,
}

#[derive(ApiResponse)]
enum DeleteResponse {
    /// The user is deleted with everything that belongs to the account.
    #[oai(status = 204)]
    Deleted,
}

problem_responses! {
    CurrentUserProblems {
        401: "The access token is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED;
        403: "API keys are refused.", KEY_NOT_ALLOWED;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    ProfileProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        401: "The access token is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED;
        403: "API keys are refused.", KEY_NOT_ALLOWED;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "A field is unknown or invalid.", INVALID_FIELDS INVALID_BODY,
            FieldExample::new("name", "NAME_INVALID", "The name must have 1 to 100 characters.");
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    DeleteProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        401: "The access token is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED;
        403: "API keys are refused.", KEY_NOT_ALLOWED;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "The password or the code is wrong.", INVALID_FIELDS INVALID_BODY,
            FieldExample::new("password", "PASSWORD_WRONG", "The password is wrong.");
        429: "Too many attempts in this session.", TOO_MANY_ATTEMPTS TOO_MANY_CODES;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable, or too many passwords are being verified.",
            UNAVAILABLE TOO_BUSY;
    }
    AddressProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        401: "The access token is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED;
        403: "API keys are refused.", KEY_NOT_ALLOWED;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "The address is invalid or that of the user, or the password or the code is wrong.",
            INVALID_FIELDS INVALID_BODY,
            FieldExample::new("password", "PASSWORD_WRONG", "The password is wrong.");
        429: "Too many attempts in this session, or mails to this address.",
            TOO_MANY_ATTEMPTS TOO_MANY_CODES TOO_MANY_MAILS;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable, or too many passwords are being verified.",
            UNAVAILABLE TOO_BUSY;
    }
    ConfirmAddressProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        409: "The address was registered by somebody else since.", EMAIL_TAKEN;
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

/// Operations on the current user.
pub struct Profile;

#[OpenApi(tag = "Tag::Accounts")]
impl Profile {
    /// Get the current user
    ///
    /// Returns the user of the access token.
    #[expect(clippy::unused_async, reason = "operations must be async")]
    #[oai(path = "/auth/me", method = "get", operation_id = "getCurrentUser")]
    async fn me(
        &self,
        session: CurrentSession,
    ) -> Result<AccountResponse, OperationError<CurrentUserProblems>> {
        Ok(AccountResponse::Account(Json(session.0.user.into())))
    }

    /// Change the name, the language or the mails
    ///
    /// Changes the current user, and returns the result. `POST /auth/address` changes the e-mail
    /// address, and `POST /auth/password` the password.
    #[oai(path = "/auth/me", method = "patch", operation_id = "updateCurrentUser")]
    async fn update(
        &self,
        service: Data<&Arc<Service>>,
        session: CurrentSession,
        input: Input<ProfileChange>,
    ) -> Result<AccountResponse, OperationError<ProfileProblems>> {
        let CurrentSession(access) = session;
        let ProfileChange { name, language, mails, time_zone } = input.0;
        let name = name.as_deref().map(str::trim);
        let zone = time_zone.as_deref().map(TimeZone::from_name);
        let unknown = matches!(zone, Some(None)).then(unknown_time_zone);
        let errors: Vec<_> = name.and_then(invalid_name).into_iter().chain(unknown).collect();
        if !errors.is_empty() {
            return Err(Problem::fields(errors).into());
        }
        let change = ProfileUpdate {
            name,
            language: language.map(Language::from),
            mails: mails.map(MailChoice::from),
            time_zone: zone.flatten(),
        };
        let updated = service.database().update_profile(access.user.id, change).await?;
        let user = updated.ok_or_else(session_closed)?;
        Ok(AccountResponse::Account(Json(Account::from(user))))
    }

    /// Delete the account
    ///
    /// Deletes the current user at once, with all sessions, jobs, their history, videos and
    /// archives. Running jobs are cancelled, and uploads in progress are refused. This cannot be
    /// undone; `POST /auth/export` returns a copy of the data before.
    #[oai(path = "/auth/me", method = "delete", operation_id = "deleteCurrentUser")]
    async fn delete(
        &self,
        service: Data<&Arc<Service>>,
        session: CurrentSession,
        input: Input<AccountProof>,
    ) -> Result<DeleteResponse, OperationError<DeleteProblems>> {
        delete_account(&service, &session.0, input.0).await?;
        Ok(DeleteResponse::Deleted)
    }

    /// Request another e-mail address
    ///
    /// Sends a link to the new address, which leads to the page as `#/change-address/<token>`, and
    /// a notice to the present one. The address changes when `POST /auth/address/confirm` gets the
    /// token. A further request replaces the earlier one.
    #[oai(path = "/auth/address", method = "post", operation_id = "requestAddress")]
    async fn request_address(
        &self,
        service: Data<&Arc<Service>>,
        session: CurrentSession,
        input: Input<NewAddress>,
    ) -> Result<NewAddressResponse, OperationError<AddressProblems>> {
        let CurrentSession(access) = session;
        let NewAddress { email: Email(email), password, code } = input.0;
        if let Some(error) = invalid_email(&email) {
            return Err(Problem::fields(vec![error]).into());
        }
        if email.to_lowercase() == access.user.email {
            let message = "This is the address of the account.";
            return Err(Problem::field("email", "EMAIL_UNCHANGED", message).into());
        }
        let user = reauthenticate(&service, &access, Proof::new(password, code)).await?;
        let token = LinkToken::generate();
        let database = service.database();
        match database.request_address_change(&user, &email, token.as_new()).await? {
            AddressRequest::Accepted => {
                let event = "address_change_requested";
                info!(security_event = event, user_id = %user.id, "another address was requested");
                Ok(NewAddressResponse::Accepted)
            }
            AddressRequest::TooManyMails => Err(too_many_mails().into()),
            AddressRequest::Rejected => Err(session_closed().into()),
        }
    }

    /// Confirm another e-mail address
    ///
    /// Changes the address of an account by the token of the link from `POST /auth/address`. Each
    /// token can be used once, within 24 hours. Sessions continue, other links of the account
    /// become invalid, and the former address gets a notice. No access token is needed.
    #[oai(path = "/auth/address/confirm", method = "post", operation_id = "confirmNewAddress")]
    async fn confirm_address(
        &self,
        service: Data<&Arc<Service>>,
        client: Data<&ClientAddress>,
        input: Input<LinkInput>,
    ) -> Result<AddressChangedResponse, OperationError<ConfirmAddressProblems>> {
        attempts::count_from_address(&service, **client).await?;
        match service.database().change_address(&hash_link_token(&input.0.token)).await? {
            AddressChange::Changed(user) => {
                let event = "address_changed";
                info!(security_event = event, user_id = %user.id, "a user has another address");
                Ok(AddressChangedResponse::Changed)
            }
            AddressChange::InvalidLink => Err(invalid_link().into()),
            AddressChange::Taken => {
                let detail = "The e-mail address is registered by another account.";
                Err(Problem::new(StatusCode::CONFLICT, "EMAIL_TAKEN", detail).into())
            }
        }
    }
}

fn unknown_time_zone() -> FieldError {
    let message = "The time zone is unknown. Use a name of the IANA database, such as \
                   America/Sao_Paulo.";
    FieldError::new("time_zone", "TIME_ZONE_UNKNOWN", message)
}
