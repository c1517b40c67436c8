//! Table `notifications`: mails about finished jobs.

use jobs::Time;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "notifications")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub job_id: Uuid,
    pub event_type: String,
    pub status: String,
    pub attempts: i32,
    pub created_at: Time,
    pub next_attempt_at: Time,
    pub sent_at: Option<Time>,
    pub last_error: Option<String>,
    /// Id of the mail that reports this outcome together with others; NULL if it has its own.
    pub mail_id: Option<Uuid>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
