//! Checks of a video: its name, its size and its first bytes.

use jobs::video::safe_filename;
use jobs::{MEGABYTE, VideoFormat};
use poem::http::StatusCode;

use crate::problem::Problem;
use crate::service::Service;

/// Valid name of a video.
#[derive(Debug)]
pub struct VideoName {
    /// Safe file name.
    pub filename: String,
    /// Format, by the suffix of the name.
    pub format: VideoFormat,
}

impl VideoName {
    /// Check a name that a client sends in a field.
    pub fn parse(field: &str, name: &str) -> Result<Self, Problem> {
        let filename = safe_filename(name);
        if filename.is_empty() {
            return Err(Problem::field(field, "FILENAME_MISSING", "The file has no name."));
        }
        let Some(format) = VideoFormat::from_filename(&filename) else {
            let supported =
                VideoFormat::ALL.map(|format| format!(".{}", format.suffix())).join(" ");
            let detail =
                format!("The format of `{filename}` is not supported. Supported: {supported}.");
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "UNSUPPORTED_FORMAT", detail));
        };
        Ok(Self { filename, format })
    }
}

/// Problem of a file without bytes.
pub fn empty_file(field: &str, filename: &str) -> Problem {
    Problem::field(field, "EMPTY_FILE", &format!("The file `{filename}` is empty."))
}

/// Check the first bytes of a video.
pub fn check_content(
    service: &Service,
    filename: &str,
    format: VideoFormat,
    head: &[u8],
) -> Result<(), Problem> {
    if (service.parts.detect_container)(head) == Some(format.container()) {
        return Ok(());
    }
    let suffix = format.suffix();
    let detail =
        format!("`{filename}` is not a valid .{suffix} file. Check the file and its name.");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "CONTENT_MISMATCH", detail))
}

/// Reject a video that has more bytes than allowed.
pub fn check_size(service: &Service, filename: &str, size_bytes: u64) -> Result<(), Problem> {
    let max_bytes = service.settings.max_video_bytes;
    if size_bytes <= max_bytes {
        return Ok(());
    }
    let detail = format!("`{filename}` is larger than {} MB.", max_bytes / MEGABYTE);
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "VIDEO_TOO_LARGE", detail))
}
