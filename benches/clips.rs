//! The clips that are measured: 1080p ones with motion and grain, made by the ffmpeg command on first use.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Seconds of each clip.
pub const SECONDS: u32 = 20;

/// A clip and how it is encoded.
const CLIPS: [(&str, &[&str]); 5] = [
    ("h264.mp4", &["-c:v", "libx264", "-preset", "fast"]),
    ("h264_phone.mp4", &["-c:v", "libx264", "-preset", "fast", "-bf", "0", "-g", "30"]),
    ("hevc.mkv", &["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error"]),
    ("vp9.webm", &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-row-mt", "1", "-b:v", "3M"]),
    ("mjpeg.avi", &["-c:v", "mjpeg", "-q:v", "6", "-pix_fmt", "yuvj420p"]),
];

/// All clips: name and path.
///
/// # Panics
/// When the ffmpeg command is missing or fails.
#[must_use]
pub fn all() -> Vec<(&'static str, PathBuf)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench-clips");
    std::fs::create_dir_all(&directory).expect("target can be written to");
    CLIPS.iter().map(|(name, encoding)| (*name, clip(&directory, name, encoding))).collect()
}

fn clip(directory: &Path, name: &str, encoding: &[&str]) -> PathBuf {
    let path = directory.join(name);
    if !path.exists() {
        let making = directory.join(format!("making-{name}"));
        // Moving shapes under grain: motion for the decoder, and detail for the encoder.
        let picture = format!("testsrc2=size=1920x1080:rate=30:duration={SECONDS},noise=alls=6:allf=t");
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", &picture, "-pix_fmt", "yuv420p"])
            .args(encoding)
            .arg(&making)
            .status()
            .expect("the ffmpeg command is installed (Debian package ffmpeg)");
        assert!(status.success(), "ffmpeg could not make {name}");
        std::fs::rename(making, &path).expect("target can be written to");
    }
    path
}
