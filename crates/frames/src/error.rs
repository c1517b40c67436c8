//! What can go wrong, in words for the person whose video it is, each with a code that never
//! changes.

use std::io;

/// Why a video gave no archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file has no bytes.
    #[error("the file is empty")]
    EmptyFile,
    /// The first bytes are not those of an accepted container.
    #[error("this is not a video in MP4, MOV, MKV, WebM, AVI, WMV or FLV format")]
    UnsupportedContainer,
    /// The container is one of ours, but libav cannot make sense of it.
    #[error("the video is damaged or cut off: its {container} structure cannot be read ({reason})")]
    UnreadableContainer {
        /// Short name of the container.
        container: &'static str,
        /// libav's own words.
        reason: String,
    },
    /// The container holds no video stream; cover art does not count.
    #[error("the file holds no video, only sound, subtitles or a cover picture")]
    NoVideoStream,
    /// More streams than [`Limits::max_streams`](crate::Limits::max_streams).
    #[error("the file declares more than {limit} streams")]
    TooManyStreams {
        /// The limit that was passed.
        limit: u32,
    },
    /// libav has no decoder for the codec, or the decoder refuses the stream.
    #[error("the video's codec ({codec}) cannot be decoded: {reason}")]
    Codec {
        /// libav's name of the codec.
        codec: String,
        /// libav's own words.
        reason: String,
    },
    /// Not one wanted picture could be decoded.
    #[error("the video is damaged: no picture in it can be decoded")]
    NothingDecodable,
    /// A picture is wider, higher or larger than the limits allow.
    #[error("the pictures are too large: {width}x{height}, where {limit} are allowed")]
    PictureTooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The limit in words.
        limit: String,
    },
    /// The video asks for more pictures than [`Limits::max_images`](crate::Limits::max_images).
    #[error("the video is too long: more than {limit} pictures would be taken from it")]
    TooLong {
        /// The limit that was passed.
        limit: u64,
    },
    /// The archive grows past [`Limits::max_archive_bytes`](crate::Limits::max_archive_bytes).
    #[error("the archive would be too large: more than {} MB", .limit / 1_000_000)]
    ArchiveTooLarge {
        /// The limit that was passed, in bytes.
        limit: u64,
    },
    /// The deadline passed.
    #[error("the video took longer than the time allowed")]
    Timeout,
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The video could not be read from where it is kept.
    #[error("the video cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The archive could not be written to where it should go.
    #[error("the archive cannot be written: {0}")]
    Write(#[source] io::Error),
    /// Memory ran out, or libav's allocation ceiling was reached.
    #[error("not enough memory for this video: {0}")]
    OutOfMemory(String),
}

impl Error {
    /// A stable name of the failure for machines, in upper snake case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::EmptyFile => "EMPTY_FILE",
            Self::UnsupportedContainer => "UNSUPPORTED_CONTAINER",
            Self::UnreadableContainer { .. } | Self::NothingDecodable => "VIDEO_DAMAGED",
            Self::NoVideoStream => "NO_VIDEO_STREAM",
            Self::TooManyStreams { .. } => "TOO_MANY_STREAMS",
            Self::Codec { .. } => "FFMPEG_CODEC_ERROR",
            Self::PictureTooLarge { .. } => "PICTURE_TOO_LARGE",
            Self::TooLong { .. } => "VIDEO_TOO_LONG",
            Self::ArchiveTooLarge { .. } => "ARCHIVE_TOO_LARGE",
            Self::Timeout => "PROCESSING_TIMEOUT",
            Self::Cancelled => "CANCELLED",
            Self::Read(_) | Self::Write(_) => "STORAGE_ERROR",
            Self::OutOfMemory(_) => "OUT_OF_MEMORY",
        }
    }

    /// Whether the same video may succeed at another time or on another machine.
    #[must_use]
    pub fn retry_may_help(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Write(_) | Self::Timeout | Self::OutOfMemory(_))
    }
}
