//! The manifest agrees with ffprobe and with the archive itself, and reports what is missing or
//! damaged.

use std::collections::BTreeMap;
use std::path::Path;

use frames::Options;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::archive::{Archive, Pixels};
use crate::harness::checks::{check_all, expect_equal};
use crate::harness::clips::{clips, file_name, fixture, scratch};
use crate::harness::extraction::extract_and_read;
use crate::harness::ffmpeg::{ffprobe, reference_frames};

/// Clips that end before the first instant; their first frame is extracted instead.
const TOO_SHORT: [&str; 3] =
    ["short_all_intra.avi", "short_mpeg4.avi", "shorter_than_half_a_second.mp4"];
/// Rounding error of times, in seconds: ffprobe prints microseconds.
const ROUNDING: f64 = 2e-6;

fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0.0)
}

/// ffprobe's description of the stream that a player would show.
fn video_stream(clip: &Path) -> Result<Value, String> {
    let probed = ffprobe(clip, &["-select_streams", "V", "-show_streams"])?;
    let streams = probed["streams"].as_array().ok_or("ffprobe finds no streams")?;
    let default = streams.iter().find(|stream| stream["disposition"]["default"] == 1);
    default.or(streams.first()).cloned().ok_or_else(|| "ffprobe finds no video".to_owned())
}

/// A frame as ffprobe reports it.
struct ProbedFrame {
    /// Seconds from the start of the video.
    time: f64,
    key_frame: bool,
}

/// All frames of a stream.
fn frames_of(clip: &Path, stream: &Value) -> Result<Vec<ProbedFrame>, String> {
    let entries = "frame=best_effort_timestamp_time,key_frame:format=start_time";
    let index = stream["index"].to_string();
    let probed = ffprobe(clip, &["-select_streams", &index, "-show_entries", entries])?;
    let start = number(&probed["format"]["start_time"]);
    let frames = probed["frames"].as_array().ok_or("ffprobe finds no frames")?;
    let frame = |frame: &Value| ProbedFrame {
        time: number(&frame["best_effort_timestamp_time"]) - start,
        key_frame: frame["key_frame"] == 1,
    };
    Ok(frames.iter().map(frame).collect())
}

/// Check names, sizes, checksums and offsets of the frames.
fn check_entries(archive: &Archive) -> Result<(), String> {
    expect_equal("entries", archive.frame_entries().len(), archive.frames.len())?;
    for (entry, (name, png)) in archive.frame_entries().iter().zip(&archive.frames) {
        let time = entry["timestamp_s"].as_f64().ok_or("no timestamp")?;
        let ms = (time.abs() * 1000.0).round() as u64;
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        let sign = if time < 0.0 { "-" } else { "" };
        let expected = format!(
            "frame_{:05}_{sign}{hours:02}h{minutes:02}m{seconds:02}.{:03}s.png",
            entry["number"].as_u64().unwrap_or(0),
            ms % 1000
        );
        expect_equal("name", name, &expected)?;
        expect_equal("name in the manifest", entry["name"].as_str(), Some(name.as_str()))?;
        let digest = Sha256::digest(png)
            .iter()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        expect_equal("sha256", entry["sha256"].as_str(), Some(digest.as_str()))?;
        expect_equal("length", entry["length"].as_u64(), Some(png.len() as u64))?;
        let offset = entry["offset"].as_u64().ok_or("no offset")? as usize;
        if archive.bytes.get(offset..offset + png.len()) != Some(png) {
            return Err(format!("the bytes at offset {offset} are not {name}"));
        }
        let pixels = Pixels::of(png)?;
        let size = [&entry["width"], &entry["height"]].map(Value::as_u64);
        expect_equal("size", size, [pixels.width, pixels.height].map(|side| Some(side.into())))?;
    }
    Ok(())
}

/// Numbers of missing frames, from the ranges in the manifest, whose times have to match.
fn missing_numbers(archive: &Archive) -> Result<Vec<u64>, String> {
    let mut numbers = Vec::new();
    for range in archive.manifest["missing"].as_array().ok_or("no list of missing frames")? {
        let (first, last) = (
            range["first_number"].as_u64().unwrap_or(0),
            range["last_number"].as_u64().unwrap_or(0),
        );
        expect_equal(
            "length of a range in seconds",
            number(&range["to_s"]) - number(&range["from_s"]),
            last as f64 - first as f64,
        )?;
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

#[test]
fn manifests_of_valid_clips_are_correct() {
    check_all(&clips("good"), |clip| {
        let archive = extract_and_read(clip, &Options::default())?;
        let manifest = &archive.manifest;
        expect_equal("complete", &manifest["complete"], &Value::from(true))?;
        expect_equal("expected", &manifest["expected"], &Value::from(archive.frames.len()))?;
        expect_equal("written", &manifest["written"], &manifest["expected"])?;
        for list in ["missing", "damaged", "warnings"] {
            expect_equal(list, &manifest[list], &Value::from(Vec::<Value>::new()))?;
        }
        check_entries(&archive)?;
        let stream = video_stream(clip)?;
        check_source(&manifest["source"], &stream, clip)?;
        check_selection(&archive, &frames_of(clip, &stream)?, clip)
    });
}

/// Check the manifest's description of the source.
fn check_source(source: &Value, stream: &Value, clip: &Path) -> Result<(), String> {
    let fields = [
        ("codec", "codec_name"),
        ("width", "width"),
        ("height", "height"),
        ("pixel_format", "pix_fmt"),
    ];
    for (ours, theirs) in fields {
        expect_equal(ours, &source[ours], &stream[theirs])?;
    }
    let size = clip.metadata().map_err(|error| error.to_string())?.len();
    expect_equal("size_bytes", source["size_bytes"].as_u64(), Some(size))
}

/// Check that each instant has the last frame before it.
fn check_selection(archive: &Archive, frames: &[ProbedFrame], clip: &Path) -> Result<(), String> {
    let too_short = TOO_SHORT.contains(&file_name(clip).as_str());
    for (index, entry) in archive.frame_entries().iter().enumerate() {
        expect_equal("number", entry["number"].as_u64(), Some(index as u64 + 1))?;
        expect_equal("decode_errors", &entry["decode_errors"], &Value::from(false))?;
        let instant = number(&entry["instant_s"]);
        let before = frames.iter().filter(|frame| frame.time < instant - ROUNDING);
        let expected = if too_short {
            frames.first()
        } else {
            before.max_by(|one, other| one.time.total_cmp(&other.time))
        };
        let expected = expected.ok_or_else(|| format!("no frame before {instant} s"))?;
        let time = number(&entry["timestamp_s"]);
        if (time - expected.time).abs() > ROUNDING {
            return Err(format!(
                "at {instant} s: the frame of {time} s, expected that of {} s",
                expected.time
            ));
        }
        expect_equal("key_frame", entry["key_frame"].as_bool(), Some(expected.key_frame))?;
    }
    Ok(())
}

#[test]
fn rotation_is_applied_and_reported() {
    // Named after the angle that ffprobe reports, which is counterclockwise.
    let expected = [("rotate_90.mp4", 180), ("rotate_180.mp4", 320), ("rotate_270.mp4", 180)];
    let mut rotations = Vec::new();
    for (clip, width) in expected {
        let archive = extract_and_read(&fixture(&format!("good/{clip}")), &Options::default())
            .expect("the clip is valid");
        assert_eq!(archive.frame_entries()[0]["width"], width, "{clip}");
        rotations
            .push(archive.manifest["source"]["rotation"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(rotations, ["counter_clockwise", "half_turn", "clockwise"]);
}

#[test]
fn manifests_of_damaged_clips_name_missing_frames() {
    check_all(&clips("cut"), |clip| {
        let archive = extract_and_read(clip, &Options::default())?;
        check_entries(&archive)?;
        let manifest = &archive.manifest;
        expect_equal("complete", &manifest["complete"], &Value::from(false))?;
        let numbers: Vec<u64> =
            archive.frame_entries().iter().filter_map(|image| image["number"].as_u64()).collect();
        let missing = missing_numbers(&archive)?;
        let (expected, written) =
            (manifest["expected"].as_u64().unwrap_or(0), manifest["written"].as_u64().unwrap_or(0));
        expect_equal("written", written, numbers.len() as u64)?;
        let mut all = [numbers, missing.clone()].concat();
        all.sort_unstable();
        expect_equal("numbers of written and missing frames", all, (1..=expected).collect())?;
        if missing.is_empty() && manifest["damaged"].as_array().is_none_or(Vec::is_empty) {
            return Err("neither missing nor damaged frames are named".to_owned());
        }
        Ok(())
    });
}

/// All truncated clips have the same packets, so their frames are compared with those of the
/// complete clip.
#[test]
fn frames_of_damaged_clips_are_unaltered_or_marked() {
    let complete = extract_and_read(&fixture("good/seventy_seconds.mp4"), &Options::default())
        .expect("the clip is valid");
    let complete: BTreeMap<u64, &Vec<u8>> =
        (1..).zip(complete.frames.iter().map(|(_, png)| png)).collect();
    check_all(&clips("cut"), |clip| {
        let archive = extract_and_read(clip, &Options::default())?;
        expect_equal("expected frames", archive.manifest["expected"].as_u64(), Some(70))?;
        if file_name(clip).starts_with("cut_at_60_percent") {
            check_number_of_remaining_frames(clip, &archive)?;
        }
        let mut altered = Vec::new();
        for (entry, (name, png)) in archive.frame_entries().iter().zip(&archive.frames) {
            let number = entry["number"].as_u64().unwrap_or(0);
            let original =
                complete.get(&number).ok_or_else(|| format!("{name} is past the end"))?;
            if entry["decode_errors"] == false && Pixels::of(png)? != Pixels::of(original)? {
                altered.push(name);
            }
        }
        expect_equal("frames that are altered and not marked", altered, Vec::new())
    });
}

/// Check that a truncated clip has as many frames left as the ffmpeg command decodes. Their number
/// depends on the container, and on how that version of ffmpeg wrote it.
fn check_number_of_remaining_frames(clip: &Path, archive: &Archive) -> Result<(), String> {
    const FRAME: usize = 320 * 180 * 3;
    let remaining = archive.frames.len();
    expect_equal(
        "frames that ffmpeg decodes",
        remaining,
        reference_frames(clip, "1", "rgb24")?.len() / FRAME,
    )?;
    if (35..70).contains(&remaining) {
        Ok(())
    } else {
        Err(format!("{remaining} of 70 frames are left of 60%"))
    }
}

#[test]
fn a_missing_beginning_does_not_shift_the_numbers() {
    let mut video = std::fs::read(fixture("cut/.fast.mp4")).expect("the clip can be read");
    let media =
        video.windows(4).position(|bytes| bytes == b"mdat").expect("an MP4 has media data") + 4;
    // Overwrites the first group of pictures, which lasts four of seventy seconds.
    let end = media + video.len() / 20;
    video[media..end].fill(0);
    let scratch = scratch();
    let clip = scratch.path().join("damaged.mp4");
    std::fs::write(&clip, video).expect("it can be written");

    let archive = extract_and_read(&clip, &Options::default()).expect("the rest is valid");
    assert_eq!(archive.manifest["expected"], 70);
    assert_eq!(archive.manifest["complete"], false);
    let missing = archive.manifest["missing"].as_array().expect("a list");
    assert_eq!(
        missing.first().map(|range| &range["first_number"]),
        Some(&Value::from(1)),
        "{missing:?}"
    );
    for entry in archive.frame_entries() {
        let instant = entry["instant_s"].as_f64().expect("an instant");
        assert_eq!(entry["number"].as_f64(), Some(instant + 0.5), "{entry}");
    }
}
