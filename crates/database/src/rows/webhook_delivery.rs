//! Table `webhook_deliveries`: outcomes to send to webhooks.

use jobs::Time;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_deliveries")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub webhook_id: Uuid,
    pub user_id: Uuid,
    /// Host of the webhook's URL.
    pub host: String,
    pub job_id: Option<Uuid>,
    pub event_type: String,
    /// Fence of the job at its outcome.
    pub outcome: i64,
    pub body: String,
    pub traceparent: Option<String>,
    pub status: String,
    pub tries: i32,
    /// Number of the last try whose result was recorded.
    pub recorded_tries: i32,
    /// Number of failed tries since the delivery, or its repetition, was asked for.
    pub failures: i32,
    pub created_at: Time,
    pub next_attempt_at: Time,
    pub delivered_at: Option<Time>,
    pub answer_status: Option<i32>,
    pub answer_body: Option<String>,
    pub error_code: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
