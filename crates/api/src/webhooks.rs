//! Webhooks of a user: create, list, get, change and delete them, and replace their secrets.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use database::webhooks::{Destination, WebhookChange, WebhookEvent};
use egress::Target;
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, OpenApi};
use secrecy::SecretString;
use tracing::info;
use uuid::Uuid;

use crate::confirmation::check_confirmed;
use crate::input::Input;
use crate::operation_error::{OperationError, problem_responses};
use crate::permissions::{ManageWebhooks, Permitted};
use crate::problem::Problem;
use crate::problem_examples::FieldExample;
use crate::service::Service;
use crate::tags::Tag;
use crate::url_problem::url_problem;
use crate::webhook_view::{ChangeInput, EventName, NewWebhook, WebhookView};

/// Maximum number of webhooks of a user.
const MAX_WEBHOOKS: u64 = 10;

/// Number of random bytes of a secret (Standard Webhooks: 24 to 64).
const SECRET_BYTES: usize = 32;

#[derive(ApiResponse)]
enum CreateResponse {
    /// The webhook with its secret.
    #[oai(status = 201)]
    Created(
        Json<WebhookView>,
        /// Path of the webhook.
        #[oai(header = "Location")]
        String,
    ),
}

#[derive(ApiResponse)]
enum ListResponse {
    /// Webhooks, oldest first.
    #[oai(status = 200)]
    Webhooks(Json<Vec<WebhookView>>),
}

#[derive(ApiResponse)]
enum WebhookResponse {
    /// The webhook.
    #[oai(status = 200)]
    Webhook(Json<WebhookView>),
}

#[derive(ApiResponse)]
enum SecretResponse {
    /// The webhook with its new secret.
    #[oai(status = 200)]
    Rotated(Json<WebhookView>),
}

#[derive(ApiResponse)]
enum DeleteResponse {
    /// The webhook and its deliveries are deleted.
    #[oai(status = 204)]
    Deleted,
}

const INVALID_URL: FieldExample = FieldExample::new(
    "url",
    "URL_SCHEME",
    "The URL is not permitted: it must begin with https://.",
);

problem_responses! {
    CreateProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The e-mail address of the user is not confirmed, or the API key lacks the scope.",
            ADDRESS_NOT_CONFIRMED KEY_SCOPE_MISSING;
        409: "The user has ten webhooks.", TOO_MANY_WEBHOOKS;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "The URL or the events are not permitted.", INVALID_FIELDS INVALID_BODY, INVALID_URL;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    ListProblems {
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The API key lacks the scope.", KEY_SCOPE_MISSING;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    /// Problems of operations on one webhook.
    WebhookProblems {
        400: "The id is malformed.", INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The API key lacks the scope.", KEY_SCOPE_MISSING;
        404: "The user has no webhook with this id.", WEBHOOK_NOT_FOUND;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    ChangeProblems {
        400: "The id is malformed, or the body is not JSON.",
            INVALID_PARAMETER INVALID_JSON INVALID_BODY;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The API key lacks the scope.", KEY_SCOPE_MISSING;
        404: "The user has no webhook with this id.", WEBHOOK_NOT_FOUND;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "A field is unknown, or the URL or the events are not permitted.",
            INVALID_FIELDS INVALID_BODY, INVALID_URL;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
}

/// Operations on webhooks.
pub struct Webhooks;

#[OpenApi(tag = "Tag::Webhooks")]
impl Webhooks {
    /// Create a webhook
    ///
    /// Sends the outcomes of the user's jobs to a URL from now on, as `POST` requests that are
    /// signed as Standard Webhooks specifies. The response contains the secret that verifies them.
    #[oai(path = "/webhooks", method = "post", operation_id = "createWebhook")]
    async fn create(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<ManageWebhooks>,
        input: Input<NewWebhook>,
    ) -> Result<CreateResponse, OperationError<CreateProblems>> {
        check_confirmed(&service, caller.user).await?;
        let (database, NewWebhook { url, events }) = (service.database(), input.0);
        let (target, secret) = (target(&service, &url)?, new_secret());
        let created = database
            .create_webhook(
                caller.user,
                destination(&target),
                &known(&events),
                &secret,
                MAX_WEBHOOKS,
            )
            .await?;
        let Some(webhook) = created else {
            let detail = format!("At most {MAX_WEBHOOKS} webhooks are allowed. Delete one first.");
            return Err(Problem::new(StatusCode::CONFLICT, "TOO_MANY_WEBHOOKS", detail).into());
        };
        info!(
            security_event = "webhook_created",
            user_id = %caller.user,
            webhook_id = %webhook.id,
            "a webhook was created"
        );
        let location = format!("/webhooks/{}", webhook.id);
        let view = WebhookView::new(webhook, database.clock().now(), Some(&secret));
        Ok(CreateResponse::Created(Json(view), location))
    }

    /// List webhooks
    ///
    /// Returns the webhooks of the user, without their secrets.
    #[oai(path = "/webhooks", method = "get", operation_id = "listWebhooks")]
    async fn list(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<ManageWebhooks>,
    ) -> Result<ListResponse, OperationError<ListProblems>> {
        let webhooks = service.database().webhooks(caller.user).await?;
        let now = service.database().clock().now();
        let views = webhooks.into_iter().map(|webhook| WebhookView::new(webhook, now, None));
        Ok(ListResponse::Webhooks(Json(views.collect())))
    }

    /// Get a webhook
    ///
    /// Returns a webhook of the user, without its secret.
    #[oai(path = "/webhooks/:webhook_id", method = "get", operation_id = "getWebhook")]
    async fn get(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<ManageWebhooks>,
        /// Id of the webhook.
        webhook_id: Path<Uuid>,
    ) -> Result<WebhookResponse, OperationError<WebhookProblems>> {
        let webhook = service.database().webhook(caller.user, webhook_id.0).await?;
        let webhook = webhook.ok_or_else(webhook_not_found)?;
        let view = WebhookView::new(webhook, service.database().clock().now(), None);
        Ok(WebhookResponse::Webhook(Json(view)))
    }

    /// Change a webhook
    ///
    /// Changes the URL or the events of a webhook, or disables or enables it. What is left out of
    /// the body, or null, stays as it is.
    #[oai(path = "/webhooks/:webhook_id", method = "patch", operation_id = "changeWebhook")]
    async fn change(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<ManageWebhooks>,
        /// Id of the webhook.
        webhook_id: Path<Uuid>,
        input: Input<ChangeInput>,
    ) -> Result<WebhookResponse, OperationError<ChangeProblems>> {
        let (database, ChangeInput { url, events, enabled }) = (service.database(), input.0);
        let target = url.map(|url| target(&service, &url)).transpose()?;
        let events = events.as_deref().map(known);
        let change = WebhookChange {
            destination: target.as_ref().map(destination),
            events: events.as_deref(),
            enabled,
        };
        let changed = database.change_webhook(caller.user, webhook_id.0, &change).await?;
        let webhook = changed.ok_or_else(webhook_not_found)?;
        info!(
            security_event = "webhook_changed",
            user_id = %caller.user,
            webhook_id = %webhook.id,
            "a webhook was changed"
        );
        let view = WebhookView::new(webhook, database.clock().now(), None);
        Ok(WebhookResponse::Webhook(Json(view)))
    }

    /// Delete a webhook
    ///
    /// Deletes a webhook with its deliveries. What is being sent may still arrive.
    #[oai(path = "/webhooks/:webhook_id", method = "delete", operation_id = "deleteWebhook")]
    async fn delete(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<ManageWebhooks>,
        /// Id of the webhook.
        webhook_id: Path<Uuid>,
    ) -> Result<DeleteResponse, OperationError<WebhookProblems>> {
        if !service.database().delete_webhook(caller.user, webhook_id.0).await? {
            return Err(webhook_not_found().into());
        }
        info!(
            security_event = "webhook_deleted",
            user_id = %caller.user,
            webhook_id = %webhook_id.0,
            "a webhook was deleted"
        );
        Ok(DeleteResponse::Deleted)
    }

    /// Replace the secret of a webhook
    ///
    /// Returns a new secret. For 24 hours, deliveries are signed with the previous one as well, so
    /// that receivers can change to the new one without losing any. Replacing the secret again
    /// within that time leaves the previous one as it is.
    #[oai(
        path = "/webhooks/:webhook_id/secret",
        method = "post",
        operation_id = "rotateWebhookSecret"
    )]
    async fn rotate(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<ManageWebhooks>,
        /// Id of the webhook.
        webhook_id: Path<Uuid>,
    ) -> Result<SecretResponse, OperationError<WebhookProblems>> {
        let (database, secret) = (service.database(), new_secret());
        let rotated = database.rotate_webhook_secret(caller.user, webhook_id.0, &secret).await?;
        let webhook = rotated.ok_or_else(webhook_not_found)?;
        info!(
            security_event = "webhook_secret_replaced",
            user_id = %caller.user,
            webhook_id = %webhook.id,
            "the secret of a webhook was replaced"
        );
        let view = WebhookView::new(webhook, database.clock().now(), Some(&secret));
        Ok(SecretResponse::Rotated(Json(view)))
    }
}

/// Problem of a webhook that the user does not have.
pub fn webhook_not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "WEBHOOK_NOT_FOUND", "The webhook does not exist.")
}

/// Secret of a webhook, in the form of Standard Webhooks.
fn new_secret() -> SecretString {
    let key: [u8; SECRET_BYTES] = rand::random();
    format!("whsec_{}", STANDARD.encode(key)).into()
}

/// Target of a URL, if it is permitted.
fn target(service: &Service, url: &str) -> Result<Target, Problem> {
    Target::parse(url, service.settings.webhook_targets).map_err(url_problem)
}

fn destination(target: &Target) -> Destination<'_> {
    Destination { url: target.url().as_str(), host: target.host() }
}

fn known(events: &[EventName]) -> Vec<WebhookEvent> {
    events.iter().copied().map(Into::into).collect()
}
