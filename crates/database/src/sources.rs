//! Videos at addresses: what attempts learn about them.

use sea_orm::sea_query::Expr;
use sea_orm::{EntityTrait, QueryFilter};

use crate::change::is_held;
use crate::claim::Claim;
use crate::connection::Database;
use crate::error::Error;
use crate::rows::job;

impl Database {
    /// Record the version of a video at its address that an attempt reads: its size in bytes, and
    /// its `ETag` or `Last-Modified`. Return whether the claim holds.
    pub async fn record_source(
        &self,
        claim: &Claim,
        size_bytes: u64,
        validator: Option<&str>,
    ) -> Result<bool, Error> {
        let recorded = job::Entity::update_many()
            .col_expr(job::Column::SourceSizeBytes, Expr::value(size_bytes as i64))
            .col_expr(job::Column::SourceValidator, Expr::value(validator))
            .filter(is_held(&claim.job))
            .exec(&self.write)
            .await?;
        Ok(recorded.rows_affected > 0)
    }

    /// Record that an attempt has stored the video of its job under a key. Its size takes the place
    /// of the bytes that the attempt has reserved for it. Return whether the claim holds; if not,
    /// the job does not refer to the key, unless this was recorded before.
    pub async fn record_stored_source(
        &self,
        claim: &Claim,
        path: &str,
        size_bytes: u64,
    ) -> Result<bool, Error> {
        let recorded = job::Entity::update_many()
            .col_expr(job::Column::VideoPath, Expr::value(path))
            .col_expr(job::Column::VideoSizeBytes, Expr::value(size_bytes as i64))
            .col_expr(job::Column::SourceSizeBytes, Expr::value(size_bytes as i64))
            .col_expr(job::Column::ReservedBytes, Expr::value(0))
            .filter(is_held(&claim.job))
            .exec(&self.write)
            .await?;
        Ok(recorded.rows_affected > 0)
    }
}
