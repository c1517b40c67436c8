//! Deliveries to the webhooks of a user: list them, and ask for tests and repetitions.

use std::sync::Arc;

use database::webhook_log::Redelivery;
use database::webhooks::Webhook;
use jobs::UserId;
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, OpenApi};
use url::Url;
use uuid::Uuid;

use crate::operation_error::{OperationError, problem_responses};
use crate::permissions::{ManageWebhooks, Permitted};
use crate::problem::Problem;
use crate::service::Service;
use crate::tags::Tag;
use crate::webhook_view::DeliveryView;
use crate::webhooks::webhook_not_found;

/// Maximum number of deliveries that a user may ask for in a minute.
const ASKED_PER_MINUTE: u32 = 30;

#[derive(ApiResponse)]
enum ListResponse {
    /// One page of deliveries, newest first.
    #[oai(status = 200)]
    Page(
        Json<Vec<DeliveryView>>,
        /// Path of the next page, as `<path>; rel="next"` (RFC 8288). Absent on the last page.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
enum DeliveryResponse {
    /// The delivery, which is made at once.
    #[oai(status = 202)]
    Accepted(Json<DeliveryView>),
}

problem_responses! {
    ListProblems {
        400: "A parameter is malformed or out of range.", INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The API key lacks the scope.", KEY_SCOPE_MISSING;
        404: "The user has no webhook with this id.", WEBHOOK_NOT_FOUND;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    TestProblems {
        400: "The id is malformed.", INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The API key lacks the scope.", KEY_SCOPE_MISSING;
        404: "The user has no webhook with this id.", WEBHOOK_NOT_FOUND;
        409: "The webhook is disabled.", WEBHOOK_DISABLED;
        429: "Too many tests and repetitions in one minute.", TOO_MANY_DELIVERIES;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    RedeliverProblems {
        400: "An id is malformed.", INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The API key lacks the scope.", KEY_SCOPE_MISSING;
        404: "The user has no such webhook, or it has no such delivery.",
            WEBHOOK_NOT_FOUND DELIVERY_NOT_FOUND;
        409: "The webhook is disabled, or the delivery is pending.",
            WEBHOOK_DISABLED DELIVERY_PENDING;
        429: "Too many tests and repetitions in one minute.", TOO_MANY_DELIVERIES;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
}

/// Operations on the deliveries of webhooks.
pub struct WebhookDeliveries;

#[OpenApi(tag = "Tag::Webhooks")]
impl WebhookDeliveries {
    /// List deliveries
    ///
    /// Returns the deliveries of a webhook of the last 30 days, newest first, in pages.
    #[oai(
        path = "/webhooks/:webhook_id/deliveries",
        method = "get",
        operation_id = "listWebhookDeliveries"
    )]
    async fn list(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<ManageWebhooks>,
        /// Id of the webhook.
        webhook_id: Path<Uuid>,
        /// Maximum number of deliveries on a page.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u64>,
        /// Id of a delivery: only older ones are listed. The `Link` header of a page contains the
        /// cursor of the next.
        cursor: Query<Option<Uuid>>,
    ) -> Result<ListResponse, OperationError<ListProblems>> {
        let (database, limit) = (service.database(), limit.0);
        let webhook = own_webhook(&service, caller.user, webhook_id.0).await?;
        // One more than requested shows whether there is another page.
        let mut deliveries =
            database.webhook_deliveries(caller.user, webhook.id, cursor.0, limit + 1).await?;
        let has_more = deliveries.len() as u64 > limit;
        deliveries.truncate(limit as usize);
        let link = deliveries.last().filter(|_| has_more).map(|last| {
            let path = format!("/webhooks/{}/deliveries", webhook.id);
            format!("<{path}?limit={limit}&cursor={}>; rel=\"next\"", last.id)
        });
        Ok(ListResponse::Page(Json(deliveries.into_iter().map(Into::into).collect()), link))
    }

    /// Test a webhook
    ///
    /// Sends an event of the type `webhook.test` to a webhook, whichever events it is for.
    #[oai(path = "/webhooks/:webhook_id/test", method = "post", operation_id = "testWebhook")]
    async fn test(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<ManageWebhooks>,
        /// Id of the webhook.
        webhook_id: Path<Uuid>,
    ) -> Result<DeliveryResponse, OperationError<TestProblems>> {
        let webhook = own_webhook(&service, caller.user, webhook_id.0).await?;
        if webhook.disabled.is_some() {
            return Err(webhook_disabled().into());
        }
        count(&service, caller.user).await?;
        let url: Url = webhook.url.parse().map_err(|error| Problem::internal(&error))?;
        let host = url.host_str().unwrap_or_default();
        let delivery = service.database().test_webhook(&webhook, host).await?;
        Ok(DeliveryResponse::Accepted(Json(delivery.into())))
    }

    /// Repeat a delivery
    ///
    /// Makes a finished delivery again, with the same id and body, and with all tries.
    #[oai(
        path = "/webhooks/:webhook_id/deliveries/:delivery_id/redeliver",
        method = "post",
        operation_id = "redeliverWebhook"
    )]
    async fn redeliver(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<ManageWebhooks>,
        /// Id of the webhook.
        webhook_id: Path<Uuid>,
        /// Id of the delivery.
        delivery_id: Path<Uuid>,
    ) -> Result<DeliveryResponse, OperationError<RedeliverProblems>> {
        let webhook = own_webhook(&service, caller.user, webhook_id.0).await?;
        count(&service, caller.user).await?;
        let conflict = |code, detail: &str| Problem::new(StatusCode::CONFLICT, code, detail);
        match service.database().redeliver(caller.user, webhook.id, delivery_id.0).await? {
            Redelivery::Due(delivery) => Ok(DeliveryResponse::Accepted(Json(delivery.into()))),
            Redelivery::Pending => {
                let detail = "The delivery is pending. Wait for its result.";
                Err(conflict("DELIVERY_PENDING", detail).into())
            }
            Redelivery::Disabled => Err(webhook_disabled().into()),
            Redelivery::NotFound => {
                let detail = "The delivery does not exist.";
                Err(Problem::new(StatusCode::NOT_FOUND, "DELIVERY_NOT_FOUND", detail).into())
            }
        }
    }
}

fn default_limit() -> u64 {
    20
}

/// Webhook with this id, if the user has it.
async fn own_webhook(service: &Service, user: UserId, id: Uuid) -> Result<Webhook, Problem> {
    service.database().webhook(user, id).await?.ok_or_else(webhook_not_found)
}

/// Count a delivery that a user asks for.
async fn count(service: &Service, user: UserId) -> Result<(), Problem> {
    let key = format!("webhook:{user}");
    let status = service.parts.rate_limiter.acquire(&key, ASKED_PER_MINUTE).await;
    if status.allowed {
        return Ok(());
    }
    let detail = format!(
        "At most {ASKED_PER_MINUTE} tests and repetitions per minute are allowed. Try again later."
    );
    Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_DELIVERIES", detail)
        .rate_limited(&status))
}

fn webhook_disabled() -> Problem {
    let detail = "The webhook is disabled. Enable it first.";
    Problem::new(StatusCode::CONFLICT, "WEBHOOK_DISABLED", detail)
}
