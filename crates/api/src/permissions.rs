//! Permissions of callers: users with an access token may use every operation, programs with an API
//! key those of its scopes.
//!
//! An operation for keys has a parameter [`Permitted`], which names the scope. Every other one
//! identifies the user by [`CurrentSession`](crate::sessions::CurrentSession), which refuses keys,
//! except for the deletion of a key, which is permitted to the key itself ([`KeyHolder`]).

use std::marker::PhantomData;

use database::keys::{Key, Scope};
use jobs::UserId;
use poem::http::StatusCode;
use poem::{Request, RequestBody};
use poem_openapi::auth::{Bearer, BearerAuthorization};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use tracing::{Instrument, Span, field, warn};
use uuid::Uuid;

use crate::api_keys::ApiKey;
use crate::client::ClientAddress;
use crate::problem::Problem;
use crate::service::Service;
use crate::sessions::{self, CurrentSession, service_of};

/// Scope that an operation requires of API keys.
pub trait RequiredScope: Send + Sync + 'static {
    /// The scope.
    const SCOPE: Scope;
}

/// Require [`Scope::VideosRead`].
pub struct VideosRead;

/// Require [`Scope::VideosWrite`].
pub struct VideosWrite;

/// Require [`Scope::Webhooks`].
pub struct ManageWebhooks;

impl RequiredScope for VideosRead {
    const SCOPE: Scope = Scope::VideosRead;
}

impl RequiredScope for VideosWrite {
    const SCOPE: Scope = Scope::VideosWrite;
}

impl RequiredScope for ManageWebhooks {
    const SCOPE: Scope = Scope::Webhooks;
}

/// Name of the security scheme of API keys with a scope. OpenAPI 3.0 has no list of scopes for
/// schemes of the type `http` (4.8.30), so each scope is a scheme.
pub const fn scheme(scope: Scope) -> &'static str {
    match scope {
        Scope::VideosRead => "keyVideosRead",
        Scope::VideosWrite => "keyVideosWrite",
        Scope::Webhooks => "keyWebhooks",
    }
}

/// Description of the security scheme of API keys with a scope.
const fn description(scope: Scope) -> &'static str {
    match scope {
        Scope::VideosRead => "API key with the scope `videos:read`, from `POST /keys`.",
        Scope::VideosWrite => "API key with the scope `videos:write`, from `POST /keys`.",
        Scope::Webhooks => "API key with the scope `webhooks`, from `POST /keys`.",
    }
}

/// Register the security schemes of API keys.
fn register_schemes(registry: &mut Registry) {
    CurrentSession::register(registry);
    register_scheme::<VideosRead>(registry);
    register_scheme::<VideosWrite>(registry);
    register_scheme::<ManageWebhooks>(registry);
}

/// Register the security scheme of API keys with the scope `S`.
fn register_scheme<S: RequiredScope>(registry: &mut Registry) {
    let key = MetaSecurityScheme {
        ty: "http",
        description: Some(description(S::SCOPE)),
        name: None,
        key_in: None,
        scheme: Some("bearer"),
        bearer_format: Some("fx_"),
        flows: None,
        openid_connect_url: None,
    };
    registry.create_security_scheme(scheme(S::SCOPE), key);
}

/// Caller of an operation: a user with an access token, or a program with an API key that has the
/// scope `S`.
pub struct Permitted<S> {
    /// User of the token or the key.
    pub user: UserId,
    /// Id of the key, if the caller has one.
    pub key: Option<Uuid>,
    scope: PhantomData<S>,
}

impl<S> Permitted<S> {
    /// Name of the caller in rate limits. Each key counts by itself, so a program does not use up
    /// the limits of other programs and of the page.
    pub fn limited_as(&self) -> String {
        match self.key {
            Some(key) => format!("key:{key}"),
            None => self.user.to_string(),
        }
    }
}

impl<'a, S: RequiredScope> ApiExtractor<'a> for Permitted<S> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        register_schemes(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        let mut schemes = CurrentSession::security_schemes();
        schemes.push(scheme(S::SCOPE));
        schemes
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let (user, key) = verify(request, Some(S::SCOPE)).await?;
        Ok(Self { user, key, scope: PhantomData })
    }
}

/// Caller with an access token, or with an API key, whatever its scopes: a program that a user logs
/// out may delete its own key.
pub struct KeyHolder {
    /// User of the token or the key.
    pub user: UserId,
    /// Id of the key, if the caller has one.
    pub key: Option<Uuid>,
}

impl<'a> ApiExtractor<'a> for KeyHolder {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        register_schemes(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        let mut schemes = CurrentSession::security_schemes();
        schemes.extend(Scope::ALL.map(scheme));
        schemes
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let (user, key) = verify(request, None).await?;
        Ok(Self { user, key })
    }
}

/// Verify the access token or the API key of a request. Return the user, and the id of the key.
async fn verify(
    request: &Request,
    required: Option<Scope>,
) -> poem::Result<(UserId, Option<Uuid>)> {
    let Bearer { token } = Bearer::from_request(request)?;
    let service = service_of(request)?;
    if !ApiKey::is_meant(&token) {
        return Ok((sessions::verify_token(service, &token).await?.user.id, None));
    }
    let address = request.data::<ClientAddress>().copied();
    let (user, key) = verify_key(service, &token, address, required).await?;
    Ok((user, Some(key)))
}

/// Verify an API key, and record its use if it has the scope. Return its user and its id.
///
/// # Errors
/// 401 (`KEY_INVALID`, `KEY_EXPIRED`), 403 (`KEY_SCOPE_MISSING`), 503 (`UNAVAILABLE`).
async fn verify_key(
    service: &Service,
    text: &str,
    client: Option<ClientAddress>,
    required: Option<Scope>,
) -> Result<(UserId, Uuid), Problem> {
    let database = service.database();
    let unauthorized = |code, detail| Problem::new(StatusCode::UNAUTHORIZED, code, detail);
    let invalid = || {
        let detail =
            "The API key is invalid: it is misspelled or deleted, or its user is disabled.";
        unauthorized("KEY_INVALID", detail)
    };
    let key = ApiKey::parse(text).ok_or_else(invalid)?;
    let found = database.find_key(&key.hash()).await?;
    let Some((key, user)) = found.filter(|(_, user)| user.is_active) else {
        warn!(security_event = "key_refused", start = key.start(), "an invalid key was used");
        return Err(invalid());
    };
    let (user, span) = (user.id, Span::current());
    span.record("user_id", field::display(user)).record("key_id", field::display(key.id));
    if key.expires_at.is_some_and(|end| end <= database.clock().now()) {
        warn!(security_event = "key_expired", "an expired key was used");
        let detail = "The API key has expired. Create another one.";
        return Err(unauthorized("KEY_EXPIRED", detail));
    }
    if let Some(required) = required
        && !key.scopes.contains(&required)
    {
        warn!(security_event = "key_denied", scope = required.name(), "a key lacks a scope");
        let detail = format!("The API key needs the scope `{}`.", required.name());
        return Err(Problem::new(StatusCode::FORBIDDEN, "KEY_SCOPE_MISSING", detail));
    }
    let id = key.id;
    record_use(service, key, client);
    Ok((user, id))
}

/// Record the use of a key. The request does not wait for it, because the writer of the database
/// may be busy for long.
fn record_use(service: &Service, key: Key, client: Option<ClientAddress>) {
    // Further requests until it is recorded would only queue for the same record.
    let Some(turn) = service.key_uses.begin(key.id) else { return };
    let database = service.database().clone();
    let (at, address) = (database.clock().now(), client.and_then(ClientAddress::address));
    let recording = async move {
        if let Err(error) = database.record_key_use(&key, at, address).await {
            warn!(%error, "the use of a key was not recorded");
        }
        drop(turn);
    };
    tokio::spawn(recording.in_current_span());
}
