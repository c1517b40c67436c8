//! Frames in responses.

use jobs::manifest::{FrameEntry, MissingRange, Source};
use poem_openapi::Object;
use poem_openapi::types::Example;
use uuid::Uuid;

use crate::archives::ArchiveContents;
use crate::examples;

/// Properties of a video, from its container and its frames.
#[derive(Object)]
#[oai(rename = "VideoProperties", example)]
pub struct VideoView {
    /// libav's name of the container.
    container: String,
    /// libav's name of the codec.
    codec: String,
    /// Duration in seconds, as the container states it.
    #[oai(nullable)]
    duration_s: Option<f64>,
    /// Coded width in pixels, before rotation.
    width: u32,
    /// Coded height in pixels, before rotation.
    height: u32,
    /// Average frames per second.
    #[oai(nullable)]
    frame_rate: Option<f64>,
    /// libav's name of the pixel format.
    pixel_format: String,
}

impl From<&Source> for VideoView {
    fn from(source: &Source) -> Self {
        Self {
            container: source.container.clone(),
            codec: source.codec.clone(),
            duration_s: source.duration_s,
            width: source.width,
            height: source.height,
            frame_rate: source.frame_rate.map(jobs::Ratio::as_f64),
            pixel_format: source.pixel_format.clone(),
        }
    }
}

impl Example for VideoView {
    fn example() -> Self {
        Self {
            container: "mov".to_owned(),
            codec: "h264".to_owned(),
            duration_s: Some(60.5),
            width: 1920,
            height: 1080,
            frame_rate: Some(30.0),
            pixel_format: "yuv420p".to_owned(),
        }
    }
}

/// Consecutive instants without a frame.
#[derive(Object)]
#[oai(rename = "MissingRange", example)]
pub struct MissingView {
    /// Number of the first missing frame.
    first_number: u64,
    /// Number of the last missing frame.
    last_number: u64,
    /// First instant without a frame, in seconds.
    from_s: f64,
    /// Last instant without a frame, in seconds.
    to_s: f64,
}

impl From<&MissingRange> for MissingView {
    fn from(missing: &MissingRange) -> Self {
        let MissingRange { first_number, last_number, from_s, to_s } = *missing;
        Self { first_number, last_number, from_s, to_s }
    }
}

impl Example for MissingView {
    fn example() -> Self {
        Self { first_number: 21, last_number: 21, from_s: 20.5, to_s: 20.5 }
    }
}

/// Frame in an archive.
#[derive(Object)]
#[oai(rename = "Frame", example)]
pub struct FrameView {
    /// Number from 1. A number without a frame is listed in `missing`.
    number: u64,
    /// Name of the file in the archive.
    name: String,
    /// Presentation timestamp in seconds from the start of the video.
    timestamp_s: f64,
    /// Width in pixels.
    width: u32,
    /// Height in pixels.
    height: u32,
    /// Size of the file in bytes.
    length: u64,
    /// SHA-256 of the file, in hexadecimal.
    sha256: String,
    /// Whether the decoder reported errors in the frame, or in one that it may refer to.
    decode_errors: bool,
}

impl From<&FrameEntry> for FrameView {
    fn from(frame: &FrameEntry) -> Self {
        Self {
            number: frame.number,
            name: frame.name.clone(),
            timestamp_s: frame.timestamp_s,
            width: frame.width,
            height: frame.height,
            length: frame.length,
            sha256: frame.sha256.clone(),
            decode_errors: frame.decode_errors,
        }
    }
}

impl Example for FrameView {
    fn example() -> Self {
        Self {
            number: 1,
            name: "frame_00001_00h00m00.467s.png".to_owned(),
            timestamp_s: 0.466_667,
            width: 1920,
            height: 1080,
            length: 1_543_210,
            sha256: examples::SHA256.to_owned(),
            decode_errors: false,
        }
    }
}

/// One page of the frames in an archive.
#[derive(Object)]
#[oai(rename = "FrameList", example)]
pub struct FrameListView {
    /// Id of the job.
    job_id: Uuid,
    /// Number of contact sheets, for `GET /jobs/{id}/sheets/{number}`.
    sheets: u64,
    /// The page.
    #[oai(flatten)]
    page: FramePageView,
}

impl FrameListView {
    /// Page of the frames of a job's archive.
    pub fn new(job_id: Uuid, contents: &ArchiveContents, page: FramePageView) -> Self {
        Self { job_id, sheets: contents.manifest.sheets.len() as u64, page }
    }
}

impl Example for FrameListView {
    fn example() -> Self {
        Self { job_id: examples::JOB_ID, sheets: 1, page: FramePageView::example() }
    }
}

/// One page of the frames in an archive, without the id of the job.
#[derive(Object)]
#[oai(rename = "FramePage", example)]
pub struct FramePageView {
    /// Properties of the video.
    video: VideoView,
    /// Whether the archive contains every expected frame, decoded without error.
    complete: bool,
    /// Number of expected frames.
    expected: u64,
    /// Number of frames in the archive.
    written: u64,
    /// Instants without a frame.
    missing: Vec<MissingView>,
    /// Frames of this page, in ascending order of their numbers.
    frames: Vec<FrameView>,
}

impl FramePageView {
    /// Page of an archive's frames.
    pub fn new(contents: &ArchiveContents, page: &[FrameEntry]) -> Self {
        let manifest = &contents.manifest;
        Self {
            video: (&manifest.source).into(),
            complete: manifest.complete,
            expected: manifest.expected,
            written: manifest.written,
            missing: manifest.missing.iter().map(Into::into).collect(),
            frames: page.iter().map(Into::into).collect(),
        }
    }
}

impl Example for FramePageView {
    fn example() -> Self {
        Self {
            video: VideoView::example(),
            complete: false,
            expected: examples::FRAME_COUNT,
            written: examples::FRAME_COUNT - 1,
            missing: vec![MissingView::example()],
            frames: vec![FrameView::example()],
        }
    }
}
