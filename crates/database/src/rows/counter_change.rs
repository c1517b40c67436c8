//! Table `counter_changes`: changes of jobs that are not part of the counters yet.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "counter_changes")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub user_id: Uuid,
    /// NULL if the job is new.
    pub old_state: Option<String>,
    /// NULL if the job was deleted.
    pub new_state: Option<String>,
    pub unfinished_jobs: i64,
    pub stored_bytes: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
