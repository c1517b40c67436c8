//! Table `second_factors`: secrets of time-based codes (RFC 6238), also of those that are not
//! confirmed yet.

use jobs::Time;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "second_factors")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// Secret in base32.
    pub secret: String,
    pub created_at: Time,
    /// Latest time step whose code was accepted.
    pub last_step: i64,
    /// Number of wrong codes since `wrong_since`.
    pub wrong_codes: i32,
    pub wrong_since: Time,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
