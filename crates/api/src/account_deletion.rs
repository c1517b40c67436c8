//! Deletion of the current user.

use std::sync::Arc;
use std::time::Duration;

use jobs::UserId;
use poem::web::Data;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use tracing::{Instrument, info, warn};

use crate::input::Input;
use crate::operation_error::{OperationError, problem_responses};
use crate::problem_examples::FieldExample;
use crate::reauthentication::{Proof, reauthenticate};
use crate::service::Service;
use crate::sessions::{CurrentSession, session_closed};
use crate::tags::Tag;

/// Time for which a response waits until the files of the user are deleted. They are deleted
/// afterwards, too.
const FILES_TIMEOUT: Duration = Duration::from_secs(20);

/// Proof that the request is the user's own.
#[derive(Object)]
#[oai(rename = "AccountProof", example)]
pub struct AccountProof {
    /// Password of the user.
    pub password: String,
    /// Code of the second factor, if the user has one.
    #[oai(skip_serializing_if_is_none)]
    pub code: Option<String>,
}

impl Example for AccountProof {
    fn example() -> Self {
        Self { password: "Praia#2026".to_owned(), code: None }
    }
}

#[derive(ApiResponse)]
enum DeleteResponse {
    /// The user is deleted with everything that belongs to the account.
    #[oai(status = 204)]
    Deleted,
}

problem_responses! {
    DeleteProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        401: "The access token is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "The password or the code is wrong.", INVALID_FIELDS INVALID_BODY,
            FieldExample::new("password", "PASSWORD_WRONG", "The password is wrong.");
        429: "Too many attempts in this session.", TOO_MANY_ATTEMPTS TOO_MANY_CODES;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable, or too many passwords are being verified.",
            UNAVAILABLE TOO_BUSY;
    }
}

/// Operation that deletes the current user.
pub struct AccountDeletion;

#[OpenApi(tag = "Tag::Accounts")]
impl AccountDeletion {
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
        let CurrentSession(access) = session;
        let AccountProof { password, code } = input.0;
        let user = reauthenticate(&service, &access, Proof::new(password, code)).await?;
        let deleted = service.database().delete_verified_user(&user).await?;
        deleted.ok_or_else(session_closed)?;
        info!(security_event = "account_deleted", user_id = %user.id, "a user was deleted");
        // Continues if the connection of the request ends.
        let deleting = delete_files(Arc::clone(&service), user.id).in_current_span();
        let _ = tokio::time::timeout(FILES_TIMEOUT, tokio::spawn(deleting)).await;
        Ok(DeleteResponse::Deleted)
    }
}

/// Delete the files of a user. Maintenance deletes what remains after an error.
async fn delete_files(service: Arc<Service>, user: UserId) {
    if let Err(error) = storage::delete_user_files(&*service.parts.storage, user).await {
        warn!(
            user_id = %user,
            %error,
            "the files of a deleted user could not be deleted; maintenance will delete them"
        );
    }
}
