//! Errors of the engine, with messages for the owner of the video.

use std::io;

use jobs::{FailureCode, MEGABYTE};

/// Reason why an extraction failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file has no bytes.
    #[error("the file is empty")]
    EmptyFile,
    /// The first bytes are not those of an accepted container.
    #[error("the file is not a video in MP4, MOV, MKV, WebM, AVI, WMV or FLV format")]
    UnsupportedContainer,
    /// The container is an accepted one, but libav cannot read its structure.
    #[error("the video is damaged or truncated: its {container} structure is invalid ({reason})")]
    UnreadableContainer {
        /// Short name of the container.
        container: &'static str,
        /// libav's description of the error.
        reason: String,
    },
    /// The container contains no video stream. Cover art does not count.
    #[error("the file has no video stream, only audio, subtitles or cover art")]
    NoVideoStream,
    /// More streams than `Limits::max_streams`.
    #[error("the file has more than {limit} streams: export it with the video stream only")]
    TooManyStreams {
        /// Limit that was exceeded.
        limit: u32,
    },
    /// libav has no decoder for the codec, or the decoder rejects the stream.
    #[error("the video's codec ({codec}) cannot be decoded: {reason}")]
    Codec {
        /// libav's name of the codec.
        codec: String,
        /// libav's description of the error.
        reason: String,
    },
    /// No selected frame could be decoded.
    #[error("the video is damaged: none of its frames can be decoded")]
    NothingDecodable,
    /// The recipe requests no instant at which the video has a frame.
    #[error(
        "the recipe selects no frame of the video, which ends after {end_s:.3} s{}",
        left_out_clause(*.left_out)
    )]
    NothingSelected {
        /// End of the video in seconds.
        end_s: f64,
        /// Number of frames that were left out because they are blank or repeated.
        left_out: u64,
    },
    /// A frame is larger than the limits allow.
    #[error(
        "the frames are too large: {width}x{height} pixels, the limit is {} megapixels and \
         {max_side} pixels per side", *.max_pixels as f64 / 1e6
    )]
    FrameTooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// `Limits::max_side`.
        max_side: u32,
        /// `Limits::max_pixels`.
        max_pixels: u64,
    },
    /// A frame is larger than its file format allows.
    #[error(
        "the frames are too large for the format {format}: {width}x{height} pixels, the limit is \
         {max_side} pixels per side; choose another format, or a maximum width and height"
    )]
    FrameTooLargeForFormat {
        /// Name of the format in recipes.
        format: &'static str,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Maximum width and height in pixels.
        max_side: u32,
    },
    /// libavcodec was built without the encoder of a file format.
    #[error(
        "frames cannot be written as {format}: this installation's libavcodec lacks the encoder \
         {encoder}; install a build that has it, or choose another format"
    )]
    EncoderUnavailable {
        /// Name of the format in recipes.
        format: &'static str,
        /// libavcodec's name of the encoder.
        encoder: &'static str,
    },
    /// The recipe selects more frames than `Limits::max_frames`, by the stated duration.
    #[error(
        "the recipe selects {expected} frames, and at most {limit} are allowed: choose a longer \
         interval or a part of the video"
    )]
    TooManyFrames {
        /// Expected number of frames.
        expected: u64,
        /// Limit that is exceeded.
        limit: u64,
    },
    /// The recipe selects more frames than `Limits::max_frames`.
    #[error(
        "the video is too long: the archive would have more than {limit} frames; \
         choose a longer interval or split the video"
    )]
    TooLong {
        /// Limit that was exceeded.
        limit: u64,
    },
    /// The archive exceeds `Limits::max_archive_bytes`.
    #[error("the archive would be larger than {} MB: split the video", .limit / MEGABYTE)]
    ArchiveTooLarge {
        /// Limit that was exceeded, in bytes.
        limit: u64,
    },
    /// The deadline passed.
    #[error("processing exceeded the time limit")]
    Timeout,
    /// The caller requested the stop.
    #[error("cancelled")]
    Cancelled,
    /// The video could not be read from its storage.
    #[error("the video cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The archive could not be written to its destination.
    #[error("the archive cannot be written: {0}")]
    Write(#[source] io::Error),
    /// Memory or threads ran out, or libav's allocation limit was reached.
    #[error("not enough memory for this video: {0}")]
    OutOfMemory(String),
}

/// Part of a message about frames that were left out.
fn left_out_clause(number: u64) -> String {
    match number {
        0 => String::new(),
        _ => format!("; frames left out as blank or repeated: {number}"),
    }
}

impl Error {
    /// Failure code of a job that ends with this error. Callers handle [`Error::Cancelled`] first:
    /// a job that was cancelled has not failed.
    #[must_use]
    pub fn code(&self) -> FailureCode {
        match self {
            Self::EmptyFile => FailureCode::EmptyFile,
            Self::UnsupportedContainer => FailureCode::UnsupportedContainer,
            Self::UnreadableContainer { .. } | Self::NothingDecodable => FailureCode::VideoDamaged,
            Self::NothingSelected { .. } => FailureCode::NothingSelected,
            Self::NoVideoStream => FailureCode::NoVideoStream,
            Self::TooManyStreams { .. } => FailureCode::TooManyStreams,
            Self::Codec { .. } => FailureCode::FfmpegCodecError,
            Self::FrameTooLarge { .. } | Self::FrameTooLargeForFormat { .. } => {
                FailureCode::PictureTooLarge
            }
            Self::TooManyFrames { .. } => FailureCode::TooManyFrames,
            Self::TooLong { .. } => FailureCode::VideoTooLong,
            Self::ArchiveTooLarge { .. } => FailureCode::ArchiveTooLarge,
            Self::Timeout => FailureCode::ProcessingTimeout,
            Self::Cancelled | Self::EncoderUnavailable { .. } => FailureCode::InternalError,
            Self::Read(_) | Self::Write(_) => FailureCode::StorageError,
            Self::OutOfMemory(_) => FailureCode::OutOfMemory,
        }
    }
}
