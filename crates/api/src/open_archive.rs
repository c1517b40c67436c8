//! Access to the archive of a job.

use std::sync::Arc;

use database::Job;
use jobs::UserId;
use poem::Request;
use storage::Object;
use uuid::Uuid;

use crate::archives::{self, ArchiveContents};
use crate::concurrency::Caller;
use crate::own_job::own_job;
use crate::problem::Problem;
use crate::request_turn::RequestTurn;
use crate::service::Service;

/// What is read, in the problem of too many at a time.
pub const THINGS: &str = "requests for frames";

/// Archive of a job that a caller reads, and its contents.
pub struct OpenArchive {
    /// Who takes turns to read it.
    pub caller: Caller,
    /// The job.
    pub job: Job,
    /// The archive in the store.
    pub object: Object,
    /// Its manifest.
    pub contents: Arc<ArchiveContents>,
}

impl OpenArchive {
    /// Open the archive of a user's own job.
    ///
    /// # Errors
    /// The job does not exist, is another user's, is not finished or has expired, or a dependency
    /// is unavailable.
    pub async fn own(
        service: &Service,
        request: &Request,
        user: UserId,
        id: Uuid,
    ) -> Result<Self, Problem> {
        let job = own_job(service, user, id).await?;
        Self::open(service, request, user.into(), job).await
    }

    /// Open the archive of a job. Archives have a queue of their own, so the turn of the request
    /// ends.
    ///
    /// # Errors
    /// The job is not finished or has expired, or a dependency is unavailable.
    pub async fn open(
        service: &Service,
        request: &Request,
        caller: Caller,
        job: Job,
    ) -> Result<Self, Problem> {
        if let Some(turn) = request.data::<RequestTurn>() {
            turn.end();
        }
        let key = archives::key(&job, service.database().clock().now())?;
        let object = service.archives.head(&key).await?;
        let contents = service.archives.contents(caller, &object).await?;
        Ok(Self { caller, job, object, contents })
    }
}
