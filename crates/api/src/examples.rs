//! Values that the examples of the OpenAPI document share.

use chrono::{DateTime, TimeDelta};
use jobs::Time;
use uuid::{Uuid, uuid};

/// Id of the example job.
pub const JOB_ID: Uuid = uuid!("0190a000-0000-7000-8000-0000000000aa");
/// File name of the example video.
pub const FILENAME: &str = "beach.mp4";
/// Size of the example video, in bytes.
pub const VIDEO_BYTES: u64 = 18_345_210;
/// Size of the example archive, in bytes.
pub const ARCHIVE_BYTES: u64 = 92_627_780;
/// Number of frames in the example archive.
pub const FRAME_COUNT: u64 = 60;
/// SHA-256 of the example frame.
pub const SHA256: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// Time that lies this many seconds after the example video was accepted.
pub fn time(seconds: i64) -> Time {
    let accepted = DateTime::from_timestamp(1_790_000_000, 0).unwrap_or_default();
    accepted + TimeDelta::seconds(seconds)
}
