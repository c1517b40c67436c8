//! Clips of the tests, and files and directories.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::programs::{output, root, tool};

/// A clip with one frame.
pub const TINY: &str = "good/short_all_intra.avi";
/// A clip with a few frames, which is processed within a second.
pub const SHORT: &str = "good/h264_aac.mp4";
/// A clip with one frame whose file is a few kilobytes.
pub const ONE_FRAME: &str = "good/shorter_than_half_a_second.mp4";
/// A clip whose processing takes several seconds.
pub const LONG: &str = "long/240_frames.mp4";
/// A clip that fails at once, with `NO_VIDEO_STREAM`.
pub const WRONG: &str = "broken/audio_only.mp4";

/// Directory of the clips, which are generated on the first call.
pub fn fixtures() -> &'static Path {
    static FIXTURES: OnceLock<PathBuf> = OnceLock::new();
    FIXTURES.get_or_init(|| {
        for needed in ["ffmpeg", "perl", "python3", "flock"] {
            tool(needed);
        }
        let directory = root().join("target/fixtures");
        let made = Command::new(root().join("fixtures/make.sh"))
            .arg(&directory)
            .stdin(Stdio::null())
            .output();
        let made = made.expect("fixtures/make.sh can be started");
        assert!(
            made.status.success(),
            "fixtures/make.sh failed: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        directory
    })
}

/// Path of a clip, by its path under the fixtures.
pub fn fixture(path: &str) -> PathBuf {
    let clip = fixtures().join(path);
    assert!(clip.is_file(), "fixtures/make.sh does not make {path}");
    clip
}

/// Content of a clip.
pub fn clip_bytes(path: &str) -> Vec<u8> {
    std::fs::read(fixture(path)).expect("the clip can be read")
}

/// All clips of a directory of the fixtures, sorted by name.
pub fn clips(directory: &str) -> Vec<PathBuf> {
    let mut clips = paths(&fixtures().join(directory));
    clips.retain(|clip| !file_name(clip).starts_with('.'));
    clips.sort();
    assert!(!clips.is_empty(), "there are no clips under {directory}");
    clips
}

/// Paths of the entries of a directory.
pub fn paths(directory: &Path) -> Vec<PathBuf> {
    let entries = directory.read_dir().expect("the directory can be read");
    entries.map(|entry| entry.expect("the directory can be read").path()).collect()
}

/// A clip of four minutes, which repeats twenty seconds. Those in MP4 and Matroska have a key frame
/// every ten seconds, and sound.
pub fn long_clip(suffix: &str) -> PathBuf {
    static CLIPS: OnceLock<TempDir> = OnceLock::new();
    let directory = CLIPS.get_or_init(|| {
        let directory = scratch();
        let path = |name: &str| directory.path().join(name);
        let ffmpeg = |arguments: &[&str], to: &Path| {
            let mut command = tool("ffmpeg");
            command.args(["-v", "error", "-nostdin"]).args(arguments).arg(to);
            output(&mut command).expect("ffmpeg makes the video");
        };
        let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        let source = "testsrc2=size=640x360:rate=25:duration=20,noise=alls=6:allf=t";
        let sources = ["-f", "lavfi", "-i", source, "-f", "lavfi", "-i", "sine=duration=20"];
        let h264 = ["-c:v", "libx264", "-preset", "veryfast", "-c:a", "aac"];
        ffmpeg(&[&sources[..], &h264].concat(), &path("once.mp4"));
        let jpeg = ["-c:v", "mjpeg", "-q:v", "8", "-c:a", "pcm_s16le"];
        ffmpeg(&[&sources[..], &jpeg].concat(), &path("once.avi"));
        let repeat = |once: &str, to: &str| {
            let once = text(&path(once));
            ffmpeg(&["-stream_loop", "11", "-i", &once, "-c", "copy"], &path(to));
        };
        repeat("once.mp4", "long.mp4");
        repeat("once.mp4", "long.mkv");
        repeat("once.avi", "long.all_intra.avi");
        directory
    });
    directory.path().join(format!("long.{suffix}"))
}

/// Last part of a path.
pub fn file_name(path: &Path) -> String {
    path.file_name().expect("the path has a file name").to_string_lossy().into_owned()
}

/// Sorted names of the entries of a directory.
pub fn file_names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = paths(directory).iter().map(|path| file_name(path)).collect();
    names.sort();
    names
}

/// A directory for the files of one test, which is removed when it is dropped.
pub fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be created")
}

/// Clip with one frame per packet.
pub const MJPEG: &str = "good/mjpeg.avi";

/// [`MJPEG`] with a command for the decoder in each of its packets, such as `crash`. Only builds
/// with the feature `failpoints` execute it.
pub fn with_decoder_command(command: &str) -> Vec<u8> {
    with_decoder_command_from(0, command)
}

/// The same with the command only in the packets from `first` on.
pub fn with_decoder_command_from(first: usize, command: &str) -> Vec<u8> {
    let mut clip = clip_bytes(MJPEG);
    let mut packets = 0;
    let list = clip.windows(4).position(|bytes| bytes == b"movi");
    let mut at = list.expect("an AVI file has a movi list") + 4;
    // Chunks: a name, a length, and bytes up to an even length (AVI RIFF file reference).
    while clip.get(at..at + 4).is_some_and(|name| name == b"00dc") {
        let length =
            u32::from_le_bytes(clip[at + 4..at + 8].try_into().expect("four bytes")) as usize;
        let end = at + 8 + length;
        let text = format!("fiapx-test:{command:<5}");
        if packets >= first {
            clip[end - text.len()..end].copy_from_slice(text.as_bytes());
        }
        at = end + length % 2;
        packets += 1;
    }
    assert!(packets > first + 10, "{packets} packets");
    clip
}
