//! Table `job_history`: jobs that ended long ago.

use jobs::Time;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "job_history")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    /// Time at which the job ended. PostgreSQL has a partition for each month of it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub ended_at: Time,
    /// The job with its events and notifications, as JSON.
    pub record: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
