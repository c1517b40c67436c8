//! API keys of a user: create, list and delete them.

use std::sync::Arc;
use std::time::Duration;

use chrono::SubsecRound;
use database::keys::{Key, KeyCreation, NewKey, Scope};
use jobs::Time;
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use tracing::{info, warn};
use uuid::{Uuid, uuid};

use crate::accounts::invalid_name;
use crate::api_keys::{self, ApiKey};
use crate::confirmation::check_confirmed;
use crate::examples;
use crate::input::Input;
use crate::operation_error::{OperationError, problem_responses};
use crate::permissions::KeyHolder;
use crate::problem::{FieldError, Problem};
use crate::problem_examples::FieldExample;
use crate::reauthentication::{Proof, reauthenticate};
use crate::service::Service;
use crate::sessions::{CurrentSession, session_closed};
use crate::tags::Tag;

/// Maximum number of keys of a user at a time. Rate limits count by key, and a key that is created
/// anew has a fresh limit, so the limits of all keys of a user together are bounded only by how
/// often `POST /keys` permits another key.
const MAX_KEYS: u64 = 20;
/// Maximum lifetime of a key that expires. A later end is a mistake in the unit.
const MAX_LIFETIME: Duration = Duration::from_hours(10 * 366 * 24);

/// Kind of operations that a key permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "Scope")]
enum ScopeName {
    /// Read videos, jobs, frames and archives.
    #[oai(rename = "videos:read")]
    VideosRead,
    /// Upload, process, cancel and delete videos.
    #[oai(rename = "videos:write")]
    VideosWrite,
    /// Manage webhooks.
    #[oai(rename = "webhooks")]
    Webhooks,
}

impl From<ScopeName> for Scope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::VideosRead => Self::VideosRead,
            ScopeName::VideosWrite => Self::VideosWrite,
            ScopeName::Webhooks => Self::Webhooks,
        }
    }
}

impl From<Scope> for ScopeName {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::VideosRead => Self::VideosRead,
            Scope::VideosWrite => Self::VideosWrite,
            Scope::Webhooks => Self::Webhooks,
        }
    }
}

/// New API key.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct KeyRequest {
    /// Name by which the user recognizes the key, 1 to 100 characters.
    name: String,
    /// Scopes of the key, at least one.
    scopes: Vec<ScopeName>,
    /// Time at which the key becomes invalid, at most ten years ahead. Without it, the key is valid
    /// until it is deleted.
    #[oai(skip_serializing_if_is_none)]
    expires_at: Option<Time>,
    /// Password of the user.
    password: String,
    /// Code of the second factor, if the user has one.
    #[oai(skip_serializing_if_is_none)]
    code: Option<String>,
}

impl Example for KeyRequest {
    fn example() -> Self {
        Self {
            name: "Nightly import".to_owned(),
            scopes: vec![ScopeName::VideosRead, ScopeName::VideosWrite],
            expires_at: None,
            password: "Praia#2026".to_owned(),
            code: None,
        }
    }
}

/// API key of a user, without its secret.
#[derive(Object)]
#[oai(rename = "Key", example)]
struct KeyView {
    /// Id of the key.
    id: Uuid,
    /// Name that the user chose.
    name: String,
    /// First eight characters of the key.
    start: String,
    /// Scopes of the key.
    scopes: Vec<ScopeName>,
    /// Time of creation.
    created_at: Time,
    /// Time at which the key becomes invalid, if it does.
    #[oai(skip_serializing_if_is_none)]
    expires_at: Option<Time>,
    /// Time of the last use. Further uses within a minute are not recorded.
    #[oai(skip_serializing_if_is_none)]
    last_used_at: Option<Time>,
    /// Network address of the last use, if it is known.
    #[oai(skip_serializing_if_is_none)]
    last_used_address: Option<String>,
}

impl From<Key> for KeyView {
    fn from(key: Key) -> Self {
        let (last_used_at, last_used_address) =
            key.last_use.map(|last| (last.at, last.address)).unzip();
        Self {
            id: key.id,
            name: key.name,
            start: key.start,
            scopes: key.scopes.into_iter().map(ScopeName::from).collect(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at,
            last_used_address: last_used_address.flatten(),
        }
    }
}

impl Example for KeyView {
    fn example() -> Self {
        Self {
            id: uuid!("0190a000-0000-7000-8000-0000000000ff"),
            name: "Nightly import".to_owned(),
            start: api_keys::EXAMPLE[..8].to_owned(),
            scopes: vec![ScopeName::VideosRead, ScopeName::VideosWrite],
            created_at: examples::time(-3600),
            expires_at: Some(examples::time(90 * 24 * 3600)),
            last_used_at: Some(examples::time(-60)),
            last_used_address: Some("203.0.113.7".to_owned()),
        }
    }
}

/// Key that was created.
#[derive(Object)]
#[oai(example)]
struct CreatedKey {
    /// The key, for the header `Authorization: Bearer <key>` of every request. It is not shown
    /// again.
    key: String,
    /// What `GET /keys` shows of the key.
    #[oai(flatten)]
    view: KeyView,
}

impl Example for CreatedKey {
    fn example() -> Self {
        let view = KeyView { last_used_at: None, last_used_address: None, ..KeyView::example() };
        Self { key: api_keys::EXAMPLE.to_owned(), view }
    }
}

#[derive(ApiResponse)]
enum CreateResponse {
    /// The key is valid.
    #[oai(status = 201)]
    Created(Json<CreatedKey>),
}

#[derive(ApiResponse)]
enum ListResponse {
    /// Keys, newest first, also those that have expired.
    #[oai(status = 200)]
    Keys(Json<Vec<KeyView>>),
}

#[derive(ApiResponse)]
enum DeleteResponse {
    /// The key is invalid.
    #[oai(status = 204)]
    Deleted,
}

problem_responses! {
    CreateProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        401: "The access token is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED;
        403: "API keys are refused, or the e-mail address of the user is not confirmed.",
            KEY_NOT_ALLOWED ADDRESS_NOT_CONFIRMED;
        409: "The user has as many keys as allowed.", TOO_MANY_KEYS;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "A field is invalid, or the password or the code is wrong.",
            INVALID_FIELDS INVALID_BODY,
            FieldExample::new("scopes", "SCOPES_MISSING", "The key needs at least one scope.");
        429: "Too many attempts in this session.", TOO_MANY_ATTEMPTS TOO_MANY_CODES;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable, or too many passwords are being verified.",
            UNAVAILABLE TOO_BUSY;
    }
    ListProblems {
        401: "The access token is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED;
        403: "API keys are refused.", KEY_NOT_ALLOWED;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    DeleteProblems {
        400: "The id is malformed.", INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The API key is not the one that is to be deleted.", KEY_NOT_ALLOWED;
        404: "The user has no key with this id.", KEY_NOT_FOUND;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
}

/// Operations on the API keys of a user.
pub struct Keys;

#[OpenApi(tag = "Tag::Keys")]
impl Keys {
    /// Create an API key
    ///
    /// Returns a new key, with which a program acts as the user: it is sent in place of an access
    /// token, to the operations that its scopes permit. It does not end with the session or the
    /// password. A user has at most 20 keys.
    #[oai(path = "/keys", method = "post", operation_id = "createKey")]
    async fn create(
        &self,
        service: Data<&Arc<Service>>,
        session: CurrentSession,
        input: Input<KeyRequest>,
    ) -> Result<CreateResponse, OperationError<CreateProblems>> {
        let CurrentSession(access) = session;
        let KeyRequest { name, scopes, expires_at, password, code } = input.0;
        let (name, scopes) = (name.trim(), normalized(scopes));
        let expires_at = expires_at.map(|time| time.trunc_subsecs(6));
        let errors: Vec<FieldError> = [
            invalid_name(name),
            scopes.is_empty().then(missing_scopes),
            invalid_end(expires_at, service.database().clock().now()),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !errors.is_empty() {
            return Err(Problem::fields(errors).into());
        }
        check_confirmed(&service, access.user.id).await?;
        let user = reauthenticate(&service, &access, Proof::new(password, code)).await?;
        let key = ApiKey::generate();
        let (start, hash) = (key.start(), &key.hash());
        let new = NewKey { name, start, hash, scopes: &scopes, expires_at };
        match service.database().create_key(&user, new, MAX_KEYS).await? {
            KeyCreation::Created(created) => {
                let event = "key_created";
                let (user_id, key_id) = (user.id, created.id);
                info!(security_event = event, %user_id, %key_id, "a user created a key");
                let key = key.as_str().to_owned();
                Ok(CreateResponse::Created(Json(CreatedKey { key, view: created.into() })))
            }
            KeyCreation::TooMany => {
                let detail = format!("At most {MAX_KEYS} API keys are allowed. Delete one first.");
                Err(Problem::new(StatusCode::CONFLICT, "TOO_MANY_KEYS", detail).into())
            }
            KeyCreation::Rejected => Err(session_closed().into()),
        }
    }

    /// List API keys
    ///
    /// Returns the keys of the user, without their secrets.
    #[oai(path = "/keys", method = "get", operation_id = "listKeys")]
    async fn list(
        &self,
        service: Data<&Arc<Service>>,
        session: CurrentSession,
    ) -> Result<ListResponse, OperationError<ListProblems>> {
        let keys = service.database().keys(session.0.user.id).await?;
        Ok(ListResponse::Keys(Json(keys.into_iter().map(KeyView::from).collect())))
    }

    /// Delete an API key
    ///
    /// Deletes a key of the user. It is invalid at once. A program may delete its own key.
    #[oai(path = "/keys/:key_id", method = "delete", operation_id = "deleteKey")]
    async fn delete(
        &self,
        service: Data<&Arc<Service>>,
        caller: KeyHolder,
        /// Id of the key.
        key_id: Path<Uuid>,
    ) -> Result<DeleteResponse, OperationError<DeleteProblems>> {
        let (user, key_id) = (caller.user, key_id.0);
        if caller.key.is_some_and(|key| key != key_id) {
            warn!(security_event = "key_denied", "a key was used to delete another one");
            let detail = "An API key can delete itself only. Log in and send an access token.";
            return Err(Problem::new(StatusCode::FORBIDDEN, "KEY_NOT_ALLOWED", detail).into());
        }
        if !service.database().delete_key(user, key_id).await? {
            let detail = "The API key does not exist.";
            return Err(Problem::new(StatusCode::NOT_FOUND, "KEY_NOT_FOUND", detail).into());
        }
        info!(security_event = "key_deleted", user_id = %user, %key_id, "a user deleted a key");
        Ok(DeleteResponse::Deleted)
    }
}

/// Scopes with these names in order, each once.
fn normalized(names: Vec<ScopeName>) -> Vec<Scope> {
    let mut scopes: Vec<Scope> = names.into_iter().map(Scope::from).collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

fn missing_scopes() -> FieldError {
    FieldError::new("scopes", "SCOPES_MISSING", "The key needs at least one scope.")
}

/// Error of the end of a key that is created at `now`.
fn invalid_end(end: Option<Time>, now: Time) -> Option<FieldError> {
    let message = "The time must be in the future, and at most ten years ahead.";
    let is_valid = end.is_none_or(|end| end > now && end <= now + MAX_LIFETIME);
    (!is_valid).then(|| FieldError::new("expires_at", "EXPIRY_INVALID", message))
}
