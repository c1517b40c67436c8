//! Webhooks and their deliveries in requests and responses.

use database::webhook_log::{DeliveryStatus, LoggedDelivery};
use database::webhooks::{DisabledBecause, Webhook, WebhookEvent};
use jobs::Time;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use secrecy::{ExposeSecret, SecretString};
use uuid::{Uuid, uuid};

use crate::examples;

/// Id of the example webhook.
const WEBHOOK_ID: Uuid = uuid!("0190a000-0000-7000-8000-0000000000dd");
/// URL of the example webhook.
/// The public DNS has no such name (RFC 2606), so that a client that sends the example to a service
/// causes no request to anybody.
const URL: &str = "https://hooks.example/fiapx";

/// Event that is sent to webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
#[oai(rename = "WebhookEvent")]
pub enum EventName {
    /// The archive of a job is available.
    #[oai(rename = "job.completed")]
    Completed,
    /// A job failed.
    #[oai(rename = "job.failed")]
    Failed,
    /// The user cancelled a job.
    #[oai(rename = "job.cancelled")]
    Cancelled,
    /// The archive of a job has expired and was deleted.
    #[oai(rename = "job.expired")]
    Expired,
}

impl From<EventName> for WebhookEvent {
    fn from(name: EventName) -> Self {
        match name {
            EventName::Completed => Self::Completed,
            EventName::Failed => Self::Failed,
            EventName::Cancelled => Self::Cancelled,
            EventName::Expired => Self::Expired,
        }
    }
}

impl From<WebhookEvent> for EventName {
    fn from(event: WebhookEvent) -> Self {
        match event {
            WebhookEvent::Completed => Self::Completed,
            WebhookEvent::Failed => Self::Failed,
            WebhookEvent::Cancelled => Self::Cancelled,
            WebhookEvent::Expired => Self::Expired,
        }
    }
}

/// Reason why nothing is sent to a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "WebhookDisabledBecause", rename_all = "UPPERCASE")]
pub enum Reason {
    /// The user has disabled it.
    User,
    /// Its server responded with 410 (Gone).
    Gone,
    /// Every delivery of five days failed.
    Failing,
}

impl From<DisabledBecause> for Reason {
    fn from(reason: DisabledBecause) -> Self {
        match reason {
            DisabledBecause::User => Self::User,
            DisabledBecause::Gone => Self::Gone,
            DisabledBecause::Failing => Self::Failing,
        }
    }
}

/// New webhook.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct NewWebhook {
    /// URL that receives events, such as `https://example.com/hooks`. HTTPS only; its host must be
    /// reachable from the public network. At most 2000 characters.
    pub url: String,
    /// Events to send.
    #[oai(validator(min_items = 1, max_items = 4, unique_items))]
    pub events: Vec<EventName>,
}

impl Example for NewWebhook {
    fn example() -> Self {
        Self { url: URL.to_owned(), events: vec![EventName::Completed, EventName::Failed] }
    }
}

/// Changes of a webhook. What is left out stays as it is.
#[derive(Object)]
#[oai(rename = "WebhookChange", example, deny_unknown_fields)]
pub struct ChangeInput {
    /// URL that receives events, as for a new webhook.
    pub url: Option<String>,
    /// Events to send.
    #[oai(validator(min_items = 1, max_items = 4, unique_items))]
    pub events: Option<Vec<EventName>>,
    /// Whether events are sent. Disabling the webhook ends its pending deliveries.
    pub enabled: Option<bool>,
}

impl Example for ChangeInput {
    fn example() -> Self {
        Self {
            url: Some(URL.to_owned()),
            events: Some(vec![EventName::Completed]),
            enabled: Some(true),
        }
    }
}

/// Webhook of a user.
#[derive(Object)]
#[oai(rename = "Webhook", example)]
pub struct WebhookView {
    /// Id of the webhook.
    id: Uuid,
    /// URL that receives events.
    url: String,
    /// Events that are sent.
    events: Vec<EventName>,
    /// Whether events are sent.
    enabled: bool,
    /// Reason why no events are sent.
    #[oai(skip_serializing_if_is_none)]
    disabled_because: Option<Reason>,
    /// Time since which every delivery has failed. After five days the webhook is disabled.
    #[oai(nullable)]
    failing_since: Option<Time>,
    /// Secret for the verification of signatures, as `whsec_` and base64. Only in the response that
    /// creates it; it is not shown again.
    #[oai(skip_serializing_if_is_none)]
    secret: Option<String>,
    /// Time until which deliveries are signed with the previous secret as well.
    #[oai(nullable)]
    previous_secret_until: Option<Time>,
    /// Time of creation.
    created_at: Time,
    /// Time of the last change.
    updated_at: Time,
}

impl WebhookView {
    /// View of a webhook at a time, with its secret if it is new.
    pub fn new(webhook: Webhook, now: Time, secret: Option<&SecretString>) -> Self {
        let until = webhook.previous.map(|(_, until)| until);
        Self {
            id: webhook.id,
            url: webhook.url,
            events: webhook.events.into_iter().map(Into::into).collect(),
            enabled: webhook.disabled.is_none(),
            disabled_because: webhook.disabled.map(Into::into),
            failing_since: webhook.failing_since,
            secret: secret.map(|secret| secret.expose_secret().to_owned()),
            previous_secret_until: until.filter(|until| *until > now),
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
        }
    }

    /// Example in the response that shows the secret.
    pub fn example_with_secret() -> Self {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        Self { secret: Some(secret), ..Self::example() }
    }
}

impl Example for WebhookView {
    fn example() -> Self {
        Self {
            id: WEBHOOK_ID,
            url: URL.to_owned(),
            events: vec![EventName::Completed, EventName::Failed],
            enabled: true,
            disabled_because: None,
            failing_since: None,
            secret: None,
            previous_secret_until: None,
            created_at: examples::time(-3600),
            updated_at: examples::time(-3600),
        }
    }
}

/// State of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "WebhookDeliveryStatus", rename_all = "UPPERCASE")]
pub enum DeliveryState {
    /// A try is in progress or follows.
    Pending,
    /// The server accepted it, with a status from 200 to 299.
    Delivered,
    /// No further try follows.
    Failed,
}

impl From<DeliveryStatus> for DeliveryState {
    fn from(status: DeliveryStatus) -> Self {
        match status {
            DeliveryStatus::Pending => Self::Pending,
            DeliveryStatus::Delivered => Self::Delivered,
            DeliveryStatus::Failed => Self::Failed,
        }
    }
}

/// Delivery of an event to a webhook.
#[derive(Object)]
#[oai(rename = "WebhookDelivery", example)]
pub struct DeliveryView {
    /// Id of the delivery, sent as `webhook-id` with each try.
    id: Uuid,
    /// Name of the event, or `webhook.test`.
    event: String,
    /// Id of the job.
    #[oai(nullable)]
    job_id: Option<Uuid>,
    /// State of the delivery.
    status: DeliveryState,
    /// Number of tries, up to the last one whose result is known.
    tries: u32,
    /// Time of the event.
    created_at: Time,
    /// Earliest time of the next try.
    #[oai(nullable)]
    next_attempt_at: Option<Time>,
    /// Time at which the server accepted the delivery.
    #[oai(nullable)]
    delivered_at: Option<Time>,
    /// HTTP status of the last answer.
    #[oai(nullable)]
    answer_status: Option<u16>,
    /// First 1024 bytes of the last answer's body.
    #[oai(nullable)]
    answer_body: Option<String>,
    /// Stable code of the last error, in upper snake case.
    #[oai(nullable)]
    error_code: Option<String>,
}

impl From<LoggedDelivery> for DeliveryView {
    fn from(delivery: LoggedDelivery) -> Self {
        Self {
            id: delivery.id,
            event: delivery.event,
            job_id: delivery.job.map(|job| job.0),
            status: delivery.status.into(),
            tries: delivery.tries,
            created_at: delivery.created_at,
            next_attempt_at: delivery.next_attempt_at,
            delivered_at: delivery.delivered_at,
            answer_status: delivery.answer_status,
            answer_body: delivery.answer_body,
            error_code: delivery.error_code,
        }
    }
}

impl Example for DeliveryView {
    fn example() -> Self {
        Self {
            id: uuid!("0190a000-0000-7000-8000-0000000000ee"),
            event: WebhookEvent::Completed.name().to_owned(),
            job_id: Some(examples::JOB_ID),
            status: DeliveryState::Pending,
            tries: 1,
            created_at: examples::time(3),
            next_attempt_at: Some(examples::time(8)),
            delivered_at: None,
            answer_status: Some(503),
            answer_body: Some("Service Unavailable".to_owned()),
            error_code: Some("ANSWER_STATUS".to_owned()),
        }
    }
}
