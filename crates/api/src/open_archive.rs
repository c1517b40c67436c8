//! Access to the archive of a user's job.

use std::sync::Arc;

use database::Job;
use jobs::UserId;
use poem::Request;
use storage::Object;
use uuid::Uuid;

use crate::archives::{self, ArchiveContents};
use crate::own_job::own_job;
use crate::problem::Problem;
use crate::request_turn::RequestTurn;
use crate::service::Service;

/// Archive of a job, and its contents.
pub struct OpenArchive {
    /// The job.
    pub job: Job,
    /// The archive in the store.
    pub object: Object,
    /// Its manifest.
    pub contents: Arc<ArchiveContents>,
}

/// Open the archive of a user's job. Archives have a queue of their own, so the turn of the request
/// ends.
///
/// # Errors
/// The job does not exist, is another user's, is not finished or has expired, or a dependency is
/// unavailable.
pub async fn open_archive(
    service: &Service,
    request: &Request,
    user: UserId,
    id: Uuid,
) -> Result<OpenArchive, Problem> {
    let job = own_job(service, user, id).await?;
    if let Some(turn) = request.data::<RequestTurn>() {
        turn.end();
    }
    let key = archives::key(&job, service.database().clock().now())?;
    let object = service.archives.head(&key).await?;
    let contents = service.archives.contents(user, &object).await?;
    Ok(OpenArchive { job, object, contents })
}
