//! Input of the benches: clips of 1080p with motion and grain, made by the ffmpeg command on first
//! use, and the optimized `fiapx` command. [`client`] is a user of a service, [`role`] a process of
//! one.

pub mod client;
pub mod role;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Duration of each clip in seconds.
pub const SECONDS: u32 = 20;

/// File name and encoding options of each clip.
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

/// Return the name and path of each clip.
///
/// # Panics
/// The ffmpeg command is missing or fails.
#[must_use]
pub fn all() -> Vec<(&'static str, PathBuf)> {
    // Moving shapes under grain: motion for the decoder, detail for the encoder.
    let content = format!("testsrc2=size=1920x1080:rate=30:duration={SECONDS},noise=alls=6:allf=t");
    let source = ["-f", "lavfi", "-i", &content, "-pix_fmt", "yuv420p"];
    CLIPS
        .iter()
        .map(|(name, encoding)| (*name, make(name, &[&source[..], encoding].concat())))
        .collect()
}

/// Return the H.264 clip repeated `times`.
///
/// # Panics
/// The ffmpeg command is missing or fails.
#[must_use]
pub fn repeated(times: u32) -> PathBuf {
    let (name, clip) = all().remove(0);
    let repetitions = (times - 1).to_string();
    make(
        &format!("{times}_times_{name}"),
        &["-stream_loop", &repetitions, "-i", &clip.to_string_lossy(), "-c", "copy"],
    )
}

/// Return the first `seconds` of the H.264 clip.
///
/// # Panics
/// The ffmpeg command is missing or fails.
#[must_use]
pub fn beginning(seconds: u32) -> PathBuf {
    let (name, clip) = all().remove(0);
    make(
        &format!("{seconds}_s_of_{name}"),
        &["-t", &seconds.to_string(), "-i", &clip.to_string_lossy(), "-c", "copy"],
    )
}

/// Return the path of the optimized command, which must have been built.
#[must_use]
pub fn binary() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/fiapx")
}

/// Make a clip with the ffmpeg command and these arguments, unless it exists.
fn make(name: &str, arguments: &[&str]) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench-clips");
    std::fs::create_dir_all(&directory).expect("target is writable");
    let path = directory.join(name);
    if !path.exists() {
        let partial = directory.join(format!("making-{name}"));
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y"])
            .args(arguments)
            .arg(&partial)
            .status()
            .expect("the ffmpeg command is installed (Debian package ffmpeg)");
        assert!(status.success(), "ffmpeg could not make {name}");
        std::fs::rename(partial, &path).expect("target is writable");
    }
    path
}
