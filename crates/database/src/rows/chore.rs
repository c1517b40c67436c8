//! Table `chores`: work that is done once for all processes.

use jobs::Time;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "chores")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Process that had the latest turn.
    pub holder: Uuid,
    /// End of that turn.
    pub held_until: Time,
    /// Time at which the next turn may begin.
    pub due_at: Time,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
