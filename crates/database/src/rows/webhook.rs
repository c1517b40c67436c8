//! Table `webhooks`: URLs of users to which outcomes are sent.

use jobs::Time;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "webhooks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub url: String,
    pub host: String,
    /// JSON array of the names of events.
    pub events: String,
    pub secret: String,
    /// Secret before the last rotation, valid until `previous_until`.
    pub previous_secret: Option<String>,
    pub previous_until: Option<Time>,
    /// Reason why nothing is sent; enabled if NULL.
    pub disabled_because: Option<String>,
    /// First and last failure since the last success.
    pub failing_since: Option<Time>,
    pub failed_at: Option<Time>,
    pub created_at: Time,
    pub updated_at: Time,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
