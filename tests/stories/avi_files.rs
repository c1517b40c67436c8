//! AVI files whose packets state half the duration of their frames, or that have no packets. AVI
//! has one rate per stream; ffmpeg's muxer writes that of H.264's fields.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use frames::{Error, Options};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::archive::Archive;
use crate::harness::checks::{check_all, expect_equal};
use crate::harness::clips::scratch;
use crate::harness::extraction::{extract_and_read, extract_from};
use crate::harness::ffmpeg::frame_hashes;
use crate::harness::programs::{output, tool};

/// A clip of four seconds at 25 frames per second, as MP4 and as AVI with the same packets.
struct Clip {
    directory: TempDir,
}

impl Clip {
    /// Make the clip with this number of frames between two that are not reordered.
    fn with_reordered_frames(number: &str) -> Self {
        let clip = Self { directory: scratch() };
        let ffmpeg = |arguments: &[&str], to: &Path| {
            let mut command = tool("ffmpeg");
            command.args(["-v", "error", "-nostdin"]).args(arguments).arg(to);
            output(&mut command).expect("ffmpeg makes the clip");
        };
        let source = "testsrc2=size=160x120:rate=25:duration=4";
        let h264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", number];
        ffmpeg(&[&["-f", "lavfi", "-i", source][..], &h264].concat(), &clip.mp4());
        let mp4 = clip.mp4();
        ffmpeg(&["-i", mp4.to_str().expect("UTF-8"), "-c", "copy"], &clip.avi());
        clip
    }

    fn mp4(&self) -> PathBuf {
        self.directory.path().join("clip.mp4")
    }

    fn avi(&self) -> PathBuf {
        self.directory.path().join("clip.avi")
    }
}

fn options(recipe: &Value) -> Options {
    let recipe = serde_json::from_value(recipe.clone()).expect("a valid recipe");
    Options { recipe, ..Options::default() }
}

/// Instant and timestamp of each frame in milliseconds, and the hash of its file.
fn frames(archive: &Archive) -> Vec<(u64, u64, Value)> {
    let entries = archive.frame_entries().iter();
    let ms = |value: &Value| (value.as_f64().expect("a number") * 1e3).round() as u64;
    let frame = |entry: &Value| {
        (ms(&entry["instant_s"]), ms(&entry["timestamp_s"]), entry["sha256"].clone())
    };
    entries.map(frame).collect()
}

/// Recipes with instants in both halves of frames, and just before the end.
fn listed() -> [Value; 3] {
    [
        json!({ "select": { "at": [0, 0.01, 0.03, 2, 2.03, 3, 3.01, 3.03, 3.97, 3.99] } }),
        json!({ "select": { "count": 199 } }),
        json!({ "select": { "count": 7 }, "from": 1.03 }),
    ]
}

#[test]
fn the_frames_on_screen_are_those_of_the_same_packets_in_mp4() {
    let clip = Clip::with_reordered_frames("0");
    check_all(&listed(), |recipe| {
        let mp4 = extract_and_read(&clip.mp4(), &options(recipe))?;
        let avi = extract_and_read(&clip.avi(), &options(recipe))?;
        expect_equal("frames", frames(&avi), frames(&mp4))?;
        for archive in [&mp4, &avi] {
            expect_equal("complete", &archive.manifest["complete"], &json!(true))?;
            expect_equal("warnings", &archive.manifest["warnings"], &json!([]))?;
        }
        Ok(())
    });
}

/// Damage the data of a frame, whatever the container.
fn damage(video: &Path, data: &[u8]) -> Vec<u8> {
    let mut bytes = std::fs::read(video).expect("the clip can be read");
    let at = bytes.windows(data.len()).position(|window| window == data);
    let at = at.expect("the frame is in the file");
    for byte in &mut bytes[at + 10..at + data.len()] {
        *byte ^= 0x5a;
    }
    bytes
}

/// Data of the chunks of an AVI file that are not empty.
fn chunks(avi: &[u8]) -> Vec<&[u8]> {
    let at = avi.windows(4).enumerate().filter(|(_, window)| window == b"00dc");
    let chunk = |(at, _): (usize, _)| {
        let size = u32::from_le_bytes(avi.get(at + 4..at + 8)?.try_into().ok()?);
        avi.get(at + 8..at + 8 + size as usize).filter(|data| data.len() > 100)
    };
    at.filter_map(chunk).collect()
}

/// A frame behind damage is the one on screen for its whole duration.
#[test]
fn damage_loses_no_instants_in_the_second_half_of_a_frame() {
    let clip = Clip::with_reordered_frames("0");
    let avi = std::fs::read(clip.avi()).expect("the clip can be read");
    let data = chunks(&avi)[30];
    check_all(&listed(), |recipe| {
        let extract = |video: &Path| {
            let bytes = extract_from(Cursor::new(damage(video, data)), &options(recipe));
            Archive::read(bytes.map_err(|error| error.to_string())?)
        };
        let (mp4, avi) = (extract(&clip.mp4())?, extract(&clip.avi())?);
        let places = |archive: &Archive| -> Vec<_> {
            frames(archive).into_iter().map(|(instant, time, _)| (instant, time)).collect()
        };
        expect_equal("frames", places(&avi), places(&mp4))?;
        expect_equal("missing", &avi.manifest["missing"], &mp4.manifest["missing"])?;
        expect_equal("complete", &avi.manifest["complete"], &json!(false))
    });
}

/// The decoder still holds frames when the packets end. The ffmpeg command gives them the times
/// that follow from the rate of frames, and ends the video by the duration of its last packet.
#[test]
fn frames_at_regular_instants_are_those_of_ffmpeg() {
    for reordered in ["0", "2"] {
        let clip = Clip::with_reordered_frames(reordered);
        check_all(&[1, 25, 50, 100], |rate| {
            let recipe = json!({ "select": { "every": format!("1/{rate}") } });
            let archive = extract_and_read(&clip.avi(), &options(&recipe))?;
            let expected = frame_hashes(&[], &clip.avi(), &format!("fps={rate}"), "gray")?;
            expect_equal("frames", archive.frames.len(), expected.len())?;
            expect_equal("complete", &archive.manifest["complete"], &json!(true))?;
            // Instants of one frame have one hash.
            let entries = archive.frame_entries().windows(2);
            let own: Vec<_> = entries.map(|pair| pair[0]["sha256"] == pair[1]["sha256"]).collect();
            let theirs: Vec<_> = expected.windows(2).map(|pair| pair[0].1 == pair[1].1).collect();
            expect_equal("repetitions", own, theirs)
        });
    }
}

/// Whatever a recipe selects, the fault is that of the file.
#[test]
fn a_file_without_video_packets_is_damaged() {
    let clip = Clip::with_reordered_frames("0");
    let mut avi = std::fs::read(clip.avi()).expect("the clip can be read");
    for at in 0..avi.len() - 4 {
        if &avi[at..at + 4] == b"00dc" {
            avi[at..at + 4].copy_from_slice(b"JUNK");
        }
    }
    let recipes = [
        json!({}),
        json!({ "select": { "count": 3 } }),
        json!({ "select": { "at": [1] } }),
        json!({ "from": 1, "to": 2 }),
        json!({ "select": { "every": 20 }, "max_frames": 1 }),
        json!({ "select": { "keyframes": {} } }),
        json!({ "select": { "scenes": {} } }),
    ];
    check_all(&recipes, |recipe| match extract_from(Cursor::new(avi.clone()), &options(recipe)) {
        Err(Error::NothingDecodable) => Ok(()),
        other => Err(format!("{other:?}")),
    });
}
