//! Table `uploads`: videos that are being received, or whose upload was abandoned.

use jobs::Time;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "uploads")]
pub struct Model {
    /// Id of the job that the upload will become.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub key: String,
    pub state: String,
    pub expires_at: Time,
    /// Bytes that are reserved for the file, or its size when it is complete.
    pub reserved_bytes: i64,
    /// What the store has of a resumable upload, as JSON. `None` for others.
    pub parts: Option<String>,
    /// Bytes of a resumable upload that are stored durably.
    pub received_bytes: i64,
    /// Number of requests that have written a resumable upload.
    pub fence: i64,
    /// Time until which one of them may write it.
    pub held_until: Option<Time>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
