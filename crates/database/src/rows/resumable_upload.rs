//! Table `resumable_uploads`: the jobs that resumable uploads become, until the uploads expire.

use jobs::Time;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "resumable_uploads")]
pub struct Model {
    /// Id of the upload, and of the job that it becomes.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub filename: String,
    /// Recipe of the job as JSON.
    pub recipe: String,
    /// Metadata as the client has sent it.
    pub metadata: String,
    pub size_bytes: i64,
    pub expires_at: Time,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// Record of the upload, until it becomes a job.
    #[sea_orm(
        belongs_to = "super::upload::Entity",
        from = "Column::Id",
        to = "super::upload::Column::Id"
    )]
    Upload,
}

impl Related<super::upload::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Upload.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
