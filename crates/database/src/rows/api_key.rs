//! Table `api_keys`: hashes of the keys with which programs act as a user.

use jobs::Time;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "api_keys")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub name: String,
    /// First characters of the key, by which users recognize it.
    pub start: String,
    pub key_hash: String,
    /// Names of scopes, separated by spaces.
    pub scopes: String,
    pub created_at: Time,
    /// NULL if the key does not expire.
    pub expires_at: Option<Time>,
    /// Time of a use, after which others are not recorded for a while.
    pub last_used_at: Option<Time>,
    /// Network address of the same use.
    pub last_used_address: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(
        belongs_to = "super::user::Entity",
        from = "Column::UserId",
        to = "super::user::Column::Id"
    )]
    User,
}

impl Related<super::user::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::User.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
