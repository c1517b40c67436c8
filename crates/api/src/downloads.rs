//! Download links of archives.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use poem::Request;
use poem::http::{StatusCode, header};
use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use tracing::info;
use url::{Host, Url};
use uuid::Uuid;

use crate::archives;
use crate::examples;
use crate::forwarded::{Forwarded, is_host};
use crate::operation_error::{OperationError, problem_responses};
use crate::operator_access::is_localhost;
use crate::own_job::own_job;
use crate::permissions::{Permitted, VideosRead};
use crate::problem::Problem;
use crate::rate_limit::RateLimitStatus;
use crate::service::Service;
use crate::tags::Tag;

/// Download link of an archive.
#[derive(Object)]
#[oai(example)]
pub struct DownloadLink {
    /// URL of the archive. Anyone who has it can download the archive until it expires. Range
    /// requests are supported, so downloads can be resumed.
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
        400: "Malformed id, or the job is not finished.", NOT_DONE INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The job belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_JOB KEY_SCOPE_MISSING;
        404: "The job does not exist.", JOB_NOT_FOUND;
        410: "The archive has expired.", ARCHIVE_EXPIRED;
        429: "Too many download links in one minute.", TOO_MANY_DOWNLOADS;
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
    /// Returns a temporary link to the archive of a finished job.
    #[oai(path = "/jobs/:id/download", method = "get", operation_id = "getDownloadLink")]
    async fn link(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        caller: Permitted<VideosRead>,
        /// Id of the job.
        id: Path<Uuid>,
    ) -> Result<LinkResponse, OperationError<DownloadProblems>> {
        let job = own_job(&service, caller.user, id.0).await?;
        let key = archives::key(&job, service.database().clock().now())?;
        let limit = count_download(&service, &caller.limited_as()).await?;
        let object = service.archives.head(&key).await?;
        let filename = archive_name(&job.filename);
        let lifetime = service.settings.link_lifetime;
        let link = service.parts.storage.link(&key, &filename, lifetime).await?;
        let is_relative = link.starts_with('/');
        let link = DownloadLink {
            download_url: if is_relative { base_url(&service, request) + &link } else { link },
            expires_in: lifetime.as_secs(),
            filename,
            size_bytes: object.size,
        };
        info!(job_id = %job.id, size_bytes = object.size, "a download link was created");
        Ok(LinkResponse::Link(
            Json(link),
            limit.limit.into(),
            limit.remaining.into(),
            limit.reset_seconds(),
        ))
    }
}

/// Count a download of a caller with this name in rate limits.
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
    let stem = video.rsplit_once('.').map_or(video, |(stem, _)| stem);
    format!("{stem}.zip")
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
