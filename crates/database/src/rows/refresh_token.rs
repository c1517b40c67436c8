//! Table `refresh_tokens`: hashes of refresh tokens.

use jobs::Time;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "refresh_tokens")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub family_id: Uuid,
    pub token_hash: String,
    pub created_at: Time,
    pub expires_at: Time,
    pub spent_at: Option<Time>,
    pub revoked_at: Option<Time>,
    pub successor_id: Option<Uuid>,
    pub repeated_at: Option<Time>,
    /// Time of the login. NULL if a program without this column inserted the row.
    pub started_at: Option<Time>,
    /// Network address of the login or the refresh that inserted the row.
    pub address: Option<String>,
    /// Browser and system of the same request, in words.
    pub browser: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
