//! Deliveries of a webhook, as its user sees them, and those that the user asks for.

use jobs::{JobId, Time, UserId};
use sea_orm::sea_query::{Expr, LockType};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::json;
use uuid::Uuid;

use crate::connection::Database;
use crate::error::Error;
use crate::rows::{webhook, webhook_delivery};
use crate::webhook_events::{NewDelivery, TEST_EVENT};
use crate::webhooks::{DELIVERED, FAILED, PENDING, Webhook};

/// State of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// A try is in progress or follows.
    Pending,
    /// The receiver accepted it.
    Delivered,
    /// No further try follows.
    Failed,
}

/// Delivery to a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedDelivery {
    /// Id of the delivery, sent as `webhook-id`.
    pub id: Uuid,
    /// Name of the event.
    pub event: String,
    /// Job, unless it is a test.
    pub job: Option<JobId>,
    /// State.
    pub status: DeliveryStatus,
    /// Number of tries, up to the last one whose result is known.
    pub tries: u32,
    /// Time of the event.
    pub created_at: Time,
    /// Time from which the next try takes place.
    pub next_attempt_at: Option<Time>,
    /// Time at which the receiver accepted it.
    pub delivered_at: Option<Time>,
    /// HTTP status of the last answer.
    pub answer_status: Option<u16>,
    /// First bytes of the last answer's body.
    pub answer_body: Option<String>,
    /// Code of the last error.
    pub error_code: Option<String>,
}

impl TryFrom<webhook_delivery::Model> for LoggedDelivery {
    type Error = Error;

    fn try_from(row: webhook_delivery::Model) -> Result<Self, Error> {
        let status = match row.status.as_str() {
            PENDING => DeliveryStatus::Pending,
            DELIVERED => DeliveryStatus::Delivered,
            FAILED => DeliveryStatus::Failed,
            _ => return Err(Error::Corrupt(format!("status of webhook delivery {}", row.id))),
        };
        let is_pending = status == DeliveryStatus::Pending;
        Ok(Self {
            id: row.id,
            event: row.event_type,
            job: row.job_id.map(JobId),
            status,
            tries: row.recorded_tries as u32,
            created_at: row.created_at,
            next_attempt_at: is_pending.then_some(row.next_attempt_at),
            delivered_at: row.delivered_at,
            answer_status: row.answer_status.and_then(|status| u16::try_from(status).ok()),
            answer_body: row.answer_body,
            error_code: row.error_code,
        })
    }
}

/// Result of asking for another delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redelivery {
    /// It is due now, and keeps its id.
    Due(LoggedDelivery),
    /// It is pending already. Nothing was changed.
    Pending,
    /// The webhook is disabled. Nothing was changed.
    Disabled,
    /// The user has no such delivery.
    NotFound,
}

impl Database {
    /// Deliveries of a webhook of a user, newest first, at most `limit`: those before `older_than`.
    pub async fn webhook_deliveries(
        &self,
        user: UserId,
        webhook: Uuid,
        older_than: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<LoggedDelivery>, Error> {
        let mut query = webhook_delivery::Entity::find()
            .filter(webhook_delivery::Column::WebhookId.eq(webhook))
            .filter(webhook_delivery::Column::UserId.eq(user.0));
        if let Some(newer) = older_than {
            query = query.filter(webhook_delivery::Column::Id.lt(newer));
        }
        let rows =
            query.order_by_desc(webhook_delivery::Column::Id).limit(limit).all(&self.read).await?;
        rows.into_iter().map(LoggedDelivery::try_from).collect()
    }

    /// Write the delivery of a test, and return it.
    ///
    /// # Errors
    /// [`Error::Database`] if the webhook was deleted meanwhile.
    pub async fn test_webhook(
        &self,
        webhook: &Webhook,
        host: &str,
    ) -> Result<LoggedDelivery, Error> {
        let delivery = NewDelivery {
            webhook: webhook.id,
            user: webhook.user_id,
            host,
            event: TEST_EVENT,
            job: None,
            data: &json!({ "webhook_id": webhook.id }),
            traceparent: None,
        };
        let row = delivery.row(self.now()).insert(&self.write).await?;
        self.wake_webhooks();
        row.try_into()
    }

    /// Make a finished delivery due again, with all tries and without the last result.
    pub async fn redeliver(
        &self,
        user: UserId,
        webhook: Uuid,
        id: Uuid,
    ) -> Result<Redelivery, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let row = webhook::Entity::find_by_id(webhook)
            .filter(webhook::Column::UserId.eq(user.0))
            // It is not disabled meanwhile.
            .lock(LockType::Share)
            .one(&transaction)
            .await?;
        let Some(row) = row else { return Ok(Redelivery::NotFound) };
        if row.disabled_because.is_some() {
            return Ok(Redelivery::Disabled);
        }
        let of_webhook = webhook_delivery::Column::WebhookId.eq(webhook);
        let changed = webhook_delivery::Entity::update_many()
            .col_expr(webhook_delivery::Column::Status, Expr::value(PENDING))
            .col_expr(webhook_delivery::Column::Host, Expr::value(row.host))
            .col_expr(webhook_delivery::Column::Failures, Expr::value(0))
            .col_expr(webhook_delivery::Column::NextAttemptAt, Expr::value(now))
            .col_expr(webhook_delivery::Column::DeliveredAt, Expr::value(None::<Time>))
            .col_expr(webhook_delivery::Column::AnswerStatus, Expr::value(None::<i32>))
            .col_expr(webhook_delivery::Column::AnswerBody, Expr::value(None::<String>))
            .col_expr(webhook_delivery::Column::ErrorCode, Expr::value(None::<String>))
            .filter(webhook_delivery::Column::Id.eq(id))
            .filter(of_webhook.clone())
            .filter(webhook_delivery::Column::Status.ne(PENDING))
            .exec_with_returning(&transaction)
            .await?;
        let Some(changed) = changed.into_iter().next() else {
            let found = webhook_delivery::Entity::find_by_id(id).filter(of_webhook);
            let exists = found.one(&transaction).await?.is_some();
            return Ok(if exists { Redelivery::Pending } else { Redelivery::NotFound });
        };
        transaction.commit().await?;
        self.wake_webhooks();
        Ok(Redelivery::Due(changed.try_into()?))
    }
}
