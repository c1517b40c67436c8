//! Links by which people without an account see a finished job: create, list and revoke them.

use std::sync::Arc;
use std::time::Duration;

use database::shares::{Share, ShareCreation};
use jobs::Time;
use poem::Request;
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use tracing::info;
use uuid::{Uuid, uuid};

use crate::archives;
use crate::downloads::base_url;
use crate::examples;
use crate::input::Input;
use crate::operation_error::{OperationError, problem_responses};
use crate::own_job::own_job;
use crate::permissions::{Permitted, VideosRead, VideosWrite};
use crate::problem::Problem;
use crate::problem_examples::FieldExample;
use crate::service::Service;
use crate::share_tokens::{self, ShareToken};
use crate::tags::Tag;

/// Maximum number of links to a job at a time.
const MAX_SHARES: u64 = 10;
/// Lifetimes that a link may have, in days.
const LIFETIMES: [u32; 3] = [1, 3, 7];

const DAYS_MESSAGE: &str = "A link is valid for 1, 3 or 7 days.";

/// New link to a job.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct ShareRequest {
    /// Lifetime of the link in days: 1, 3 or 7. It ends earlier if the files of the job do.
    #[oai(default = "default_days")]
    days: u32,
}

impl Example for ShareRequest {
    fn example() -> Self {
        Self { days: 3 }
    }
}

fn default_days() -> u32 {
    3
}

/// Link to a job, without its secret.
#[derive(Object)]
#[oai(rename = "Share", example)]
struct ShareView {
    /// Id of the link.
    id: Uuid,
    /// Time of creation.
    created_at: Time,
    /// Time at which the link becomes invalid.
    expires_at: Time,
}

impl From<Share> for ShareView {
    fn from(share: Share) -> Self {
        Self { id: share.id, created_at: share.created_at, expires_at: share.expires_at }
    }
}

impl Example for ShareView {
    fn example() -> Self {
        Self {
            id: uuid!("0190a000-0000-7000-8000-0000000000cc"),
            created_at: examples::time(3600),
            expires_at: examples::time(3600 + 3 * 24 * 3600),
        }
    }
}

/// Link that was created.
#[derive(Object)]
#[oai(example)]
struct CreatedShare {
    /// Address of the shared job in the page. Anyone who has it sees the job until the link ends.
    /// It is not shown again. Its secret part is behind `#`, so browsers send it to no server.
    url: String,
    /// Secret part of the address, for the header `Authorization: Bearer <token>` of
    /// `GET /shared`.
    token: String,
    /// What `GET /jobs/{id}/shares` shows of the link.
    #[oai(flatten)]
    view: ShareView,
}

impl Example for CreatedShare {
    fn example() -> Self {
        Self {
            url: format!("https://videos.example.com/#/shared/{}", share_tokens::EXAMPLE),
            token: share_tokens::EXAMPLE.to_owned(),
            view: ShareView::example(),
        }
    }
}

#[derive(ApiResponse)]
enum CreateResponse {
    /// The link is valid.
    #[oai(status = 201)]
    Created(Json<CreatedShare>),
}

#[derive(ApiResponse)]
enum ListResponse {
    /// Links to the job that have not expired, newest first.
    #[oai(status = 200)]
    Shares(Json<Vec<ShareView>>),
}

#[derive(ApiResponse)]
enum DeleteResponse {
    /// The link is invalid.
    #[oai(status = 204)]
    Deleted,
}

problem_responses! {
    CreateProblems {
        400: "Malformed id, the body is not JSON, or the job is not finished.",
            NOT_DONE INVALID_PARAMETER INVALID_JSON INVALID_BODY;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The job belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_JOB KEY_SCOPE_MISSING;
        404: "The job does not exist.", JOB_NOT_FOUND;
        409: "The job has as many links as allowed.", TOO_MANY_SHARES;
        410: "The archive has expired.", ARCHIVE_EXPIRED;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "The lifetime is invalid.", INVALID_FIELDS INVALID_BODY,
            FieldExample::new("days", "SHARE_DAYS_INVALID", DAYS_MESSAGE);
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    ListProblems {
        400: "Malformed id.", INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The job belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_JOB KEY_SCOPE_MISSING;
        404: "The job does not exist.", JOB_NOT_FOUND;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    DeleteProblems {
        400: "Malformed id.", INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The job belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_JOB KEY_SCOPE_MISSING;
        404: "The job does not exist, or has no such link.", JOB_NOT_FOUND SHARE_NOT_FOUND;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
}

/// Operations on the links to a job.
pub struct Shares;

#[OpenApi(tag = "Tag::Videos")]
impl Shares {
    /// Share a finished job
    ///
    /// Returns a new link, with which anyone sees the frames of the job and downloads its archive,
    /// without an account. It shows nothing about the user, and permits no change. It ends after
    /// the chosen days, with the files of the job, or when it is revoked. A job has at most 10
    /// links.
    #[oai(path = "/jobs/:id/shares", method = "post", operation_id = "createShare")]
    async fn create(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        caller: Permitted<VideosWrite>,
        /// Id of the job.
        id: Path<Uuid>,
        input: Input<ShareRequest>,
    ) -> Result<CreateResponse, OperationError<CreateProblems>> {
        let job = own_job(&service, caller.user, id.0).await?;
        let days = input.0.days;
        if !LIFETIMES.contains(&days) {
            return Err(Problem::field("days", "SHARE_DAYS_INVALID", DAYS_MESSAGE).into());
        }
        let now = service.database().clock().now();
        archives::key(&job, now)?;
        let token = ShareToken::generate();
        let end = now + Duration::from_hours(u64::from(24 * days));
        let created = service.database().create_share(&job, &token.hash(), end, MAX_SHARES).await?;
        match created {
            ShareCreation::Created(share) => {
                let event = "share_created";
                let (user_id, share_id) = (caller.user, share.id);
                let job_id = job.id;
                info!(security_event = event, %user_id, %job_id, %share_id, "a job is shared");
                let token = token.as_str().to_owned();
                let url = format!("{}/#/shared/{token}", base_url(&service, request));
                let view = share.into();
                Ok(CreateResponse::Created(Json(CreatedShare { url, token, view })))
            }
            ShareCreation::TooMany => {
                let detail =
                    format!("At most {MAX_SHARES} links to a job are allowed. Revoke one first.");
                Err(Problem::new(StatusCode::CONFLICT, "TOO_MANY_SHARES", detail).into())
            }
            ShareCreation::Ended => Err(Problem::job_not_found().into()),
        }
    }

    /// List the links to a job
    ///
    /// Returns the links to the job that have not expired, without their secrets.
    #[oai(path = "/jobs/:id/shares", method = "get", operation_id = "listShares")]
    async fn list(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<VideosRead>,
        /// Id of the job.
        id: Path<Uuid>,
    ) -> Result<ListResponse, OperationError<ListProblems>> {
        let job = own_job(&service, caller.user, id.0).await?;
        let shares = service.database().shares(job.id).await?;
        Ok(ListResponse::Shares(Json(shares.into_iter().map(ShareView::from).collect())))
    }

    /// Revoke a link to a job
    ///
    /// Deletes a link to the job. It is invalid at once, and so are downloads that begin later.
    #[oai(path = "/jobs/:id/shares/:share_id", method = "delete", operation_id = "deleteShare")]
    async fn delete(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<VideosWrite>,
        /// Id of the job.
        id: Path<Uuid>,
        /// Id of the link.
        share_id: Path<Uuid>,
    ) -> Result<DeleteResponse, OperationError<DeleteProblems>> {
        let job = own_job(&service, caller.user, id.0).await?;
        let (user_id, share_id) = (caller.user, share_id.0);
        if !service.database().delete_share(user_id, job.id, share_id).await? {
            let detail = "The job has no such link, or the link has expired.";
            return Err(Problem::new(StatusCode::NOT_FOUND, "SHARE_NOT_FOUND", detail).into());
        }
        let event = "share_revoked";
        info!(security_event = event, %user_id, job_id = %job.id, %share_id, "a link was revoked");
        Ok(DeleteResponse::Deleted)
    }
}
