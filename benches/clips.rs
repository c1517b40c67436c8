//! What is measured: the optimised command, and clips of 1080p with motion and grain, made by the
//! ffmpeg command on first use. And somebody who uses a service that is measured.

pub mod client;
pub mod role;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Seconds of each clip.
pub const SECONDS: u32 = 20;

/// A clip and how it is encoded.
const CLIPS: [(&str, &[&str]); 5] = [
    ("h264.mp4", &["-c:v", "libx264", "-preset", "fast"]),
    ("h264_phone.mp4", &["-c:v", "libx264", "-preset", "fast", "-bf", "0", "-g", "30"]),
    ("hevc.mkv", &["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error"]),
    (
        "vp9.webm",
        &[
            "-c:v",
            "libvpx-vp9",
            "-deadline",
            "realtime",
            "-cpu-used",
            "8",
            "-row-mt",
            "1",
            "-b:v",
            "3M",
        ],
    ),
    ("mjpeg.avi", &["-c:v", "mjpeg", "-q:v", "6", "-pix_fmt", "yuvj420p"]),
];

/// All clips: name and path.
///
/// # Panics
/// When the ffmpeg command is missing or fails.
#[must_use]
pub fn all() -> Vec<(&'static str, PathBuf)> {
    // Moving shapes under grain: motion for the decoder, and detail for the encoder.
    let picture = format!("testsrc2=size=1920x1080:rate=30:duration={SECONDS},noise=alls=6:allf=t");
    let source = ["-f", "lavfi", "-i", &picture, "-pix_fmt", "yuv420p"];
    CLIPS
        .iter()
        .map(|(name, encoding)| (*name, make(name, &[&source[..], encoding].concat())))
        .collect()
}

/// The H.264 clip so many times in a row.
///
/// # Panics
/// When the ffmpeg command is missing or fails.
#[must_use]
pub fn repeated(times: u32) -> PathBuf {
    let (name, clip) = all().remove(0);
    let more = (times - 1).to_string();
    make(
        &format!("{times}_times_{name}"),
        &["-stream_loop", &more, "-i", &clip.to_string_lossy(), "-c", "copy"],
    )
}

/// So many seconds of the H.264 clip.
///
/// # Panics
/// When the ffmpeg command is missing or fails.
#[must_use]
pub fn beginning(seconds: u32) -> PathBuf {
    let (name, clip) = all().remove(0);
    make(
        &format!("{seconds}_s_of_{name}"),
        &["-t", &seconds.to_string(), "-i", &clip.to_string_lossy(), "-c", "copy"],
    )
}

/// The optimised command, which has to be built before.
#[must_use]
pub fn binary() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/fiapx")
}

/// A clip that the ffmpeg command makes with these arguments, unless it has made it before.
fn make(name: &str, arguments: &[&str]) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench-clips");
    std::fs::create_dir_all(&directory).expect("target can be written to");
    let path = directory.join(name);
    if !path.exists() {
        let making = directory.join(format!("making-{name}"));
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y"])
            .args(arguments)
            .arg(&making)
            .status()
            .expect("the ffmpeg command is installed (Debian package ffmpeg)");
        assert!(status.success(), "ffmpeg could not make {name}");
        std::fs::rename(making, &path).expect("target can be written to");
    }
    path
}
