//! What the manifest says is so, by ffprobe and by the archive itself; and a damaged video is not
//! passed off as a whole one.

use std::collections::BTreeMap;
use std::path::Path;

use frames::Options;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::archive::{Archive, Pixels};
use crate::harness::checks::{check_all, expect_equal};
use crate::harness::clips::{clips, file_name, fixture, scratch};
use crate::harness::extraction::extract_and_read;
use crate::harness::ffmpeg::ffprobe;

/// Clips that are over before the first instant, of which the first picture is taken instead.
const TOO_SHORT: [&str; 2] = ["short_all_intra.avi", "shorter_than_half_a_second.mp4"];
/// ffprobe prints microseconds.
const ROUNDING: f64 = 2e-6;

fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0.0)
}

/// The stream that a player would show, as ffprobe describes it.
fn video_stream(clip: &Path) -> Result<Value, String> {
    let probed = ffprobe(clip, &["-select_streams", "V", "-show_streams"])?;
    let streams = probed["streams"].as_array().ok_or("ffprobe finds no streams")?;
    let default = streams.iter().find(|stream| stream["disposition"]["default"] == 1);
    default.or(streams.first()).cloned().ok_or_else(|| "ffprobe finds no video".to_owned())
}

/// Time of every picture from the start of the video, and whether it is a key frame.
fn frames_of(clip: &Path, stream: &Value) -> Result<Vec<(f64, bool)>, String> {
    let entries = "frame=best_effort_timestamp_time,key_frame:format=start_time";
    let index = stream["index"].to_string();
    let probed = ffprobe(clip, &["-select_streams", &index, "-show_entries", entries])?;
    let start = number(&probed["format"]["start_time"]);
    let frames = probed["frames"].as_array().ok_or("ffprobe finds no frames")?;
    Ok(frames
        .iter()
        .map(|frame| {
            (number(&frame["best_effort_timestamp_time"]) - start, frame["key_frame"] == 1)
        })
        .collect())
}

/// The archive's own side: names, sizes, checksums and namespaces.
fn check_entries(archive: &Archive) -> Result<(), String> {
    expect_equal("entries", archive.frame_entries().len(), archive.frames.len())?;
    for (image, (name, png)) in archive.frame_entries().iter().zip(&archive.frames) {
        let time = image["timestamp_s"].as_f64().ok_or("no timestamp")?;
        let ms = (time.abs() * 1000.0).round() as u64;
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        let sign = if time < 0.0 { "-" } else { "" };
        let expected = format!(
            "frame_{:05}_{sign}{hours:02}h{minutes:02}m{seconds:02}.{:03}s.png",
            image["number"].as_u64().unwrap_or(0),
            ms % 1000
        );
        expect_equal("name", name, &expected)?;
        expect_equal("name in the manifest", image["name"].as_str(), Some(name.as_str()))?;
        let digest = Sha256::digest(png)
            .iter()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        expect_equal("sha256", image["sha256"].as_str(), Some(digest.as_str()))?;
        expect_equal("length", image["length"].as_u64(), Some(png.len() as u64))?;
        let offset = image["offset"].as_u64().ok_or("no offset")? as usize;
        if archive.bytes.get(offset..offset + png.len()) != Some(png) {
            return Err(format!("the bytes at {offset} are not {name}"));
        }
        let pixels = Pixels::of(png)?;
        let size = [&image["width"], &image["height"]].map(Value::as_u64);
        expect_equal("size", size, [pixels.width, pixels.height].map(|side| Some(side.into())))?;
    }
    Ok(())
}

/// Numbers without a picture, by the ranges in the manifest. Each instant has to be its number's.
fn missing_numbers(archive: &Archive) -> Result<Vec<u64>, String> {
    let mut numbers = Vec::new();
    for range in archive.manifest["missing"].as_array().ok_or("no list of what is missing")? {
        let (first, last) = (
            range["first_number"].as_u64().unwrap_or(0),
            range["last_number"].as_u64().unwrap_or(0),
        );
        expect_equal(
            "range's length in seconds",
            number(&range["to_s"]) - number(&range["from_s"]),
            last as f64 - first as f64,
        )?;
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

#[test]
fn manifests_of_good_clips_say_what_is_so() {
    check_all(&clips("good"), |clip| {
        let archive = extract_and_read(clip, &Options::default())?;
        let manifest = &archive.manifest;
        expect_equal("complete", &manifest["complete"], &Value::from(true))?;
        expect_equal("expected", &manifest["expected"], &Value::from(archive.frames.len()))?;
        expect_equal("written", &manifest["written"], &manifest["expected"])?;
        for nothing in ["missing", "damaged", "warnings"] {
            expect_equal(nothing, &manifest[nothing], &Value::from(Vec::<Value>::new()))?;
        }
        check_entries(&archive)?;

        let source = &manifest["source"];
        let stream = video_stream(clip)?;
        let facts = [
            ("codec", "codec_name"),
            ("width", "width"),
            ("height", "height"),
            ("pixel_format", "pix_fmt"),
        ];
        for (ours, theirs) in facts {
            expect_equal(ours, &source[ours], &stream[theirs])?;
        }
        let size = clip.metadata().map_err(|error| error.to_string())?.len();
        expect_equal("size_bytes", source["size_bytes"].as_u64(), Some(size))?;

        let frames = frames_of(clip, &stream)?;
        let too_short = TOO_SHORT.contains(&file_name(clip).as_str());
        for (index, image) in archive.frame_entries().iter().enumerate() {
            expect_equal("number", image["number"].as_u64(), Some(index as u64 + 1))?;
            expect_equal("decode_errors", &image["decode_errors"], &Value::from(false))?;
            let instant = number(&image["instant_s"]);
            let before = frames.iter().filter(|(time, _)| *time < instant - ROUNDING);
            let chosen =
                if too_short { frames.first() } else { before.max_by(|a, b| a.0.total_cmp(&b.0)) };
            let (time, key_frame) =
                *chosen.ok_or_else(|| format!("no picture lies before {instant} s"))?;
            let ours = number(&image["timestamp_s"]);
            if (ours - time).abs() > ROUNDING {
                return Err(format!(
                    "at {instant} s: the picture of {ours} s, expected that of {time} s"
                ));
            }
            expect_equal("key_frame", image["key_frame"].as_bool(), Some(key_frame))?;
        }
        Ok(())
    });
}

#[test]
fn turned_pictures_say_so() {
    // Named after the angle that ffprobe reports, which is counted against the clock.
    let expected = [("rotate_90.mp4", 180), ("rotate_180.mp4", 320), ("rotate_270.mp4", 180)];
    let mut rotations = Vec::new();
    for (clip, width) in expected {
        let archive = extract_and_read(&fixture(&format!("good/{clip}")), &Options::default())
            .expect("the clip is good");
        assert_eq!(archive.frame_entries()[0]["width"], width, "{clip}");
        rotations
            .push(archive.manifest["source"]["rotation"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(rotations, ["counter_clockwise", "half_turn", "clockwise"]);
}

#[test]
fn damaged_clips_say_what_is_missing() {
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
        expect_equal("numbers here and missing", all, (1..=expected).collect())?;
        if missing.is_empty() && manifest["damaged"].as_array().is_none_or(Vec::is_empty) {
            return Err("neither missing nor damaged parts are named".to_owned());
        }
        Ok(())
    });
}

/// All cut clips hold the same packets, so what is left of them is held against the whole.
#[test]
fn what_is_left_of_a_damaged_clip_is_unaltered() {
    let whole = extract_and_read(&fixture("good/seventy_seconds.mp4"), &Options::default())
        .expect("the clip is good");
    let whole: BTreeMap<u64, &Vec<u8>> =
        (1..).zip(whole.frames.iter().map(|(_, png)| png)).collect();
    check_all(&clips("cut"), |clip| {
        let archive = extract_and_read(clip, &Options::default())?;
        expect_equal("pictures of the whole", archive.manifest["expected"].as_u64(), Some(70))?;
        if file_name(clip).starts_with("cut_at_60_percent")
            && !(35..=45).contains(&archive.frames.len())
        {
            return Err(format!("{} of 70 pictures are left of 60%", archive.frames.len()));
        }
        let mut altered = Vec::new();
        for (image, (name, png)) in archive.frame_entries().iter().zip(&archive.frames) {
            let number = image["number"].as_u64().unwrap_or(0);
            let original = whole.get(&number).ok_or_else(|| format!("{name} is past the end"))?;
            if image["decode_errors"] == false && Pixels::of(png)? != Pixels::of(original)? {
                altered.push(name);
            }
        }
        expect_equal("pictures that are altered and not marked", altered, Vec::new())
    });
}

#[test]
fn a_lost_beginning_is_missing_and_shifts_no_number() {
    let mut video = std::fs::read(fixture("cut/.fast.mp4")).expect("the fixture is there");
    let media =
        video.windows(4).position(|bytes| bytes == b"mdat").expect("an MP4 has media data") + 4;
    // The first group of pictures lasts four of seventy seconds, and nothing of it is left.
    let end = media + video.len() / 20;
    video[media..end].fill(0);
    let scratch = scratch();
    let clip = scratch.path().join("lost.mp4");
    std::fs::write(&clip, video).expect("the scratch directory can be written to");

    let archive = extract_and_read(&clip, &Options::default()).expect("the rest is extracted");
    assert_eq!(archive.manifest["expected"], 70);
    assert_eq!(archive.manifest["complete"], false);
    let missing = archive.manifest["missing"].as_array().expect("a list");
    assert_eq!(
        missing.first().map(|range| &range["first_number"]),
        Some(&Value::from(1)),
        "{missing:?}"
    );
    for image in archive.frame_entries() {
        let instant = image["instant_s"].as_f64().expect("an instant");
        assert_eq!(image["number"].as_f64(), Some(instant + 0.5), "{image}");
    }
}
