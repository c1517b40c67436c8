//! Deletion of the current user.

use std::sync::Arc;
use std::time::Duration;

use jobs::UserId;
use poem_openapi::Object;
use poem_openapi::types::Example;
use tracing::{Instrument, info, warn};

use crate::problem::Problem;
use crate::reauthentication::{Proof, reauthenticate};
use crate::service::Service;
use crate::sessions::{Access, session_closed};

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

/// Delete a user who has proven to be the sender of the request, then the files. Waits for the
/// files for a while.
pub async fn delete_account(
    service: &Arc<Service>,
    access: &Access,
    proof: AccountProof,
) -> Result<(), Problem> {
    let AccountProof { password, code } = proof;
    let user = reauthenticate(service, access, Proof::new(password, code)).await?;
    let deleted = service.database().delete_verified_user(&user).await?;
    deleted.ok_or_else(session_closed)?;
    info!(security_event = "account_deleted", user_id = %user.id, "a user was deleted");
    // Continues if the connection of the request ends.
    let deleting = delete_files(Arc::clone(service), user.id).in_current_span();
    let _ = tokio::time::timeout(FILES_TIMEOUT, tokio::spawn(deleting)).await;
    Ok(())
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
