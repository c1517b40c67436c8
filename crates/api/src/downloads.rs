//! Download links of archives.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use poem::Request;
use poem::http::{StatusCode, header};
use poem::web::Data;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use tracing::info;
use url::{Host, Url};
use uuid::Uuid;

use crate::archives;
use crate::examples;
use crate::forwarded::{Forwarded, is_host};
use crate::frame_numbers::FrameNumbers;
use crate::open_archive::{OpenArchive, THINGS};
use crate::operation_error::{OperationError, problem_responses};
use crate::operator_access::is_localhost;
use crate::own_job::own_job;
use crate::permissions::{Permitted, VideosRead};
use crate::problem::Problem;
use crate::rate_limit::RateLimitStatus;
use crate::selected_archive::{self, SelectedArchive};
use crate::selection_links::LinkedSelection;
use crate::service::Service;
use crate::tags::Tag;

/// Download link of an archive.
#[derive(Object)]
#[oai(example)]
pub struct DownloadLink {
    /// URL of the archive. Anyone who has it can download the archive until it expires. Range
    /// requests are supported for whole archives, so their downloads can be resumed.
    pub download_url: String,
    /// Lifetime of the link, in seconds.
    pub expires_in: u64,
    /// File name of the archive.
    pub filename: String,
    /// Size of the archive, in bytes.
    pub size_bytes: u64,
}

impl Example for DownloadLink {
    fn example() -> Self {
        Self {
            download_url: "https://videos.example.com/files/videos/\
                           0190a000-0000-7000-8000-000000000001/\
                           0190a000-0000-7000-8000-0000000000aa/output-1.zip?expires=1790000903&\
                           filename=beach.zip&signature=hL3m0q3Vn1q0bQ8Z5m7rG2Yk4c9T6xWd1sEoPuJfAiM"
                .to_owned(),
            expires_in: 900,
            filename: archive_name(examples::FILENAME),
            size_bytes: examples::ARCHIVE_BYTES,
        }
    }
}

#[derive(ApiResponse)]
pub enum LinkResponse {
    /// The link.
    #[oai(status = 200)]
    Link(
        Json<DownloadLink>,
        /// Maximum number of links per minute.
        #[oai(header = "RateLimit-Limit")]
        u64,
        /// Number of links left in this minute.
        #[oai(header = "RateLimit-Remaining")]
        u64,
        /// Seconds until the oldest counted link leaves the period of one minute.
        #[oai(header = "RateLimit-Reset")]
        u64,
    ),
}

problem_responses! {
    DownloadProblems {
        400: "A parameter is malformed, or the job is not finished.",
            NOT_DONE INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The job belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_JOB KEY_SCOPE_MISSING;
        404: "The job does not exist, or has no frame with one of the numbers.",
            FRAME_NOT_FOUND JOB_NOT_FOUND;
        410: "The archive has expired.", ARCHIVE_EXPIRED;
        429: "Too many download links in one minute, or too many frames of the user are read at \
              the same time.",
            TOO_MANY_DOWNLOADS TOO_MANY_AT_ONCE;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
    }
}

/// Operation that creates download links.
pub struct Downloads;

#[OpenApi(tag = "Tag::Videos")]
impl Downloads {
    /// Get a download link
    ///
    /// Returns a temporary link to the archive of a finished job or, with `frames`, to an archive
    /// of these frames only.
    #[oai(path = "/jobs/:id/download", method = "get", operation_id = "getDownloadLink")]
    async fn link(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        caller: Permitted<VideosRead>,
        /// Id of the job.
        id: Path<Uuid>,
        /// Numbers and ranges of frames, such as `1,5,9-12`, as in `GET /jobs/{id}/archive`.
        /// Without it, the link leads to the whole archive.
        frames: Query<Option<String>>,
    ) -> Result<LinkResponse, OperationError<DownloadProblems>> {
        let (link, limit) = match &frames.0 {
            None => whole_link(&service, &caller, id.0).await?,
            Some(frames) => {
                let _slot = service.reads.acquire(caller.user, THINGS)?;
                let archive = OpenArchive::own(&service, request, caller.user, id.0).await?;
                let numbers = FrameNumbers::parse(frames)?;
                selection_link(&service, &caller, archive, numbers).await?
            }
        };
        let is_relative = link.download_url.starts_with('/');
        let base = if is_relative { base_url(&service, request) } else { String::new() };
        let link = DownloadLink { download_url: base + &link.download_url, ..link };
        info!(job_id = %id.0, size_bytes = link.size_bytes, "a download link was created");
        Ok(LinkResponse::Link(
            Json(link),
            limit.limit.into(),
            limit.remaining.into(),
            limit.reset_seconds(),
        ))
    }
}

/// Link to the archive of a job.
async fn whole_link(
    service: &Service,
    caller: &Permitted<VideosRead>,
    id: Uuid,
) -> Result<(DownloadLink, RateLimitStatus), Problem> {
    let job = own_job(service, caller.user, id).await?;
    let key = archives::key(&job, service.database().clock().now())?;
    let limit = count_download(service, &caller.limited_as()).await?;
    let object = service.archives.head(&key).await?;
    let filename = archive_name(&job.filename);
    let lifetime = service.settings.link_lifetime;
    let download_url = service.parts.storage.link(&key, &filename, lifetime).await?;
    let (expires_in, size_bytes) = (lifetime.as_secs(), object.size);
    Ok((DownloadLink { download_url, expires_in, filename, size_bytes }, limit))
}

/// Link to an archive of selected frames. This service makes it, whatever the store is.
async fn selection_link(
    service: &Service,
    caller: &Permitted<VideosRead>,
    archive: OpenArchive,
    numbers: FrameNumbers,
) -> Result<(DownloadLink, RateLimitStatus), Problem> {
    let OpenArchive { job, object, contents, .. } = archive;
    let size_bytes = SelectedArchive::new(object, &contents.manifest, &numbers)?.size();
    let limit = count_download(service, &caller.limited_as()).await?;
    let lifetime = service.settings.link_lifetime;
    let selection = LinkedSelection { user: caller.user, job: job.id.0, numbers };
    let link = DownloadLink {
        download_url: service.selection_links.issue(&selection, lifetime)?,
        expires_in: lifetime.as_secs(),
        filename: selected_archive::name(&job.filename),
        size_bytes,
    };
    Ok((link, limit))
}

/// Count a download of a caller with this name in rate limits.
///
/// # Errors
/// The caller has begun too many within a minute.
pub async fn count_download(service: &Service, caller: &str) -> Result<RateLimitStatus, Problem> {
    let per_minute = service.settings.downloads_per_minute;
    let limiter = &service.parts.rate_limiter;
    let limit = limiter.acquire(&format!("download:{caller}"), per_minute).await;
    if limit.allowed {
        return Ok(limit);
    }
    let detail = format!("At most {per_minute} downloads per minute are allowed. Try again later.");
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_DOWNLOADS", detail);
    Err(problem.rate_limited(&limit))
}

/// File name of the archive of a video.
pub fn archive_name(video: &str) -> String {
    format!("{}.zip", selected_archive::stem(video))
}

/// Base URL of this service: as configured, else as the outermost trusted proxy reports it. Without
/// both, a client may send any host, so it is used only if it is certainly one of this service.
pub fn base_url(service: &Service, request: &Request) -> String {
    let settings = &service.settings;
    if let Some(url) = &settings.public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let forwarded = request.data::<Forwarded>().cloned().unwrap_or_default();
    let sent = || request.headers().get(header::HOST)?.to_str().ok().map(str::to_owned);
    let local = request.local_addr().as_socket_addr().map(SocketAddr::ip);
    let host = forwarded
        .host
        .or_else(sent)
        .or_else(|| request.uri().authority().map(ToString::to_string))
        .filter(|host| is_host(host))
        .filter(|host| {
            settings.trusted_proxies > 0 || is_own_host(host, local, &settings.cors_origins)
        })
        .unwrap_or_else(|| request.local_addr().to_string());
    let scheme = if forwarded.is_https { "https" } else { "http" };
    format!("{scheme}://{host}")
}

/// Return whether a host is this machine, the address `local` at which it was reached, or that of
/// one of the origins.
fn is_own_host(host: &str, local: Option<IpAddr>, origins: &[String]) -> bool {
    let Ok(url) = Url::parse(&format!("http://{host}")) else { return false };
    let is_own_address =
        |address: IpAddr| address.is_loopback() || local.is_some_and(|local| local == address);
    let is_own = match url.host() {
        Some(Host::Domain(name)) => is_localhost(name),
        Some(Host::Ipv4(address)) => is_own_address(address.into()),
        Some(Host::Ipv6(address)) => is_own_address(address.into()),
        None => false,
    };
    let is_origin = |origin: &String| {
        let own = origin.split_once("://").map(|(_, own)| own);
        own.is_some_and(|own| own.eq_ignore_ascii_case(host))
    };
    is_own || origins.iter().any(is_origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_hosts_of_this_service_only() {
        let (local, origins) = ([192, 0, 2, 7].into(), ["https://app.example.com".to_owned()]);
        let is_own = |host| is_own_host(host, Some(local), &origins);
        for host in
            ["localhost:8000", "127.0.0.1", "[::1]:8000", "192.0.2.7:8000", "APP.example.com"]
        {
            assert!(is_own(host), "{host}");
        }
        for host in ["evil.example.com", "192.0.2.8", "localhost.example.com", "app.example.com:1"]
        {
            assert!(!is_own(host), "{host}");
        }
    }
}
