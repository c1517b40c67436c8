//! Settings of the HTTP interface.

use std::time::Duration;

use secrecy::SecretString;

/// Settings of the HTTP interface.
#[derive(Clone)]
pub struct Settings {
    /// Key that signs access tokens, of at least 32 bytes (RFC 7518, 3.2).
    pub jwt_secret: SecretString,
    /// Lifetime of an access token.
    pub access_token_lifetime: Duration,
    /// Lifetime of a refresh token.
    pub refresh_token_lifetime: Duration,
    /// Maximum lifetime of a session, however often it is refreshed.
    pub session_lifetime: Duration,
    /// Whether users have to confirm their address before they upload videos.
    pub confirm_addresses: bool,
    /// Maximum size of a video, in bytes.
    pub max_video_bytes: u64,
    /// Time without a byte after which an upload is aborted.
    pub stall_timeout: Duration,
    /// Minimum rate of an upload in bytes per second, over each period of `stall_timeout`.
    pub min_upload_rate: u64,
    /// Lifetime of a download link.
    pub link_lifetime: Duration,
    /// Maximum download links per user and minute.
    pub downloads_per_minute: u32,
    /// Maximum password checks per minute from one network at one account, and in one session.
    pub logins_per_minute: u32,
    /// Maximum attempts to register, log in or out, or refresh per network address and minute.
    pub attempts_per_address: u32,
    /// Maximum number of frames in one archive.
    pub frames_per_job: u64,
    /// Maximum number of pixels of a frame.
    pub max_frame_pixels: u64,
    /// Maximum event streams of a user that are open at a time, in this process.
    pub event_streams_at_once: u32,
    /// Maximum frames, thumbnails and lists of frames of a user that are read at a time, in this
    /// process, and of archives that are downloaded from it.
    pub reads_at_once: u32,
    /// Maximum simultaneous uploads of a user in this process. The database knows the other quotas.
    pub uploads_at_once: u32,
    /// Targets that webhooks may have.
    pub webhook_targets: egress::Policy,
    /// Targets that videos may have which users add by their URLs; `None` if they may not.
    pub video_targets: Option<egress::Policy>,
    /// Number of trusted proxies in front of the service, each of which appends to `Forwarded` or
    /// `X-Forwarded-For`.
    pub trusted_proxies: usize,
    /// Origins whose pages may call the interface (CORS); `*` allows all.
    pub cors_origins: Vec<String>,
    /// Base of download links, such as `https://videos.example.com`. If unset, the scheme and host
    /// that the outermost trusted proxy reports are used, or those of the request.
    pub public_url: Option<String>,
}
