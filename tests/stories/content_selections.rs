//! Selections by the content of frames, each compared with the ffmpeg command or with another
//! implementation of the documented rule.

use std::path::Path;

use frames::{Error, Options};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::archive::Archive;
use crate::harness::checks::{check_all, expect_equal};
use crate::harness::clips::{clips, file_name, fixture};
use crate::harness::extraction::{extract, extract_and_read};
use crate::harness::ffmpeg::{ffmpeg, ffprobe, frame_hashes};

/// Filters of the ffmpeg command that leave only black frames.
const BLACK_FRAMES: &str = "blackframe,metadata=select:key=lavfi.blackframe.pblack";

/// Clip with a black, a moving, a still, a white, another moving scene, the still one again and a
/// black one.
const CUTS: &str = "scenes/cuts.mp4";
/// Seconds at which they start.
const STARTS: [f64; 7] = [0.0, 1.0, 3.0, 5.0, 6.0, 8.0, 9.0];

fn options(recipe: &Value) -> Options {
    let recipe = serde_json::from_value(recipe.clone()).expect("a valid recipe");
    Options { recipe, ..Options::default() }
}

fn select(clip: &Path, recipe: &Value) -> Result<Archive, String> {
    extract_and_read(clip, &options(recipe))
}

/// Numbers of a member of all frames.
fn numbers(archive: &Archive, key: &str) -> Vec<f64> {
    archive.frame_entries().iter().filter_map(|entry| entry[key].as_f64()).collect()
}

/// Compare the times of an archive's frames with those of the ffmpeg command, and their pixels,
/// too, unless the ffmpeg command reduces their depth.
fn compare(archive: &Archive, reference: &[(f64, String)], pixels: bool) -> Result<(), String> {
    expect_equal("complete", &archive.manifest["complete"], &json!(true))?;
    let times = numbers(archive, "timestamp_s");
    let expected: Vec<f64> = reference.iter().map(|(time, _)| *time).collect();
    let are_equal = times.len() == expected.len()
        && times.iter().zip(&expected).all(|(one, other)| (one - other).abs() < 1e-3);
    if !are_equal {
        return Err(format!("times {times:?} instead of {expected:?}"));
    }
    for (frame, (time, hash)) in archive.pixels()?.iter().zip(reference).filter(|_| pixels) {
        let own = hex::encode(Sha256::digest(&frame.bytes));
        expect_equal(&format!("pixels at {time}"), &own, hash)?;
    }
    Ok(())
}

/// Pixel format of an archive's frames.
fn layout(archive: &Archive) -> Result<&'static str, String> {
    Ok(archive.pixels()?.first().ok_or("no frame")?.layout)
}

#[test]
fn key_frames_are_those_of_ffmpeg() {
    check_all(&clips("good"), |clip| {
        let archive = match select(clip, &json!({ "select": { "keyframes": {} } })) {
            // The decoder of this codec marks no frame.
            Err(error) if file_name(clip) == "h261.mkv" => {
                return expect_equal("error", error.ends_with("[NOTHING_SELECTED]"), true);
            }
            archive => archive?,
        };
        // Some decoders ignore the option. Recovery points of H.264 are not marked.
        let is_h264 = archive.manifest["source"]["codec"] == "h264";
        let filters = if is_h264 { "null" } else { "select=key" };
        let layout = layout(&archive)?;
        let reference = frame_hashes(&["-skip_frame", "nokey"], clip, filters, layout)?;
        expect_equal("warnings", &archive.manifest["warnings"], &json!([]))?;
        compare(&archive, &reference, layout != "rgba" || !is_palette(&archive))
    });
}

/// Whether the ffmpeg command would write palettes, which have no raw format to compare them in.
fn is_palette(archive: &Archive) -> bool {
    archive.manifest["source"]["pixel_format"] == "pal8"
}

#[test]
fn scenes_are_those_of_ffmpeg() {
    let all = ["cuts.mp4", "cuts_10bit.mkv", "cuts_422_10bit.mkv"];
    let mut all: Vec<_> = all.map(|name| fixture(&format!("scenes/{name}"))).into();
    all.extend(clips("good"));
    check_all(&all, |clip| {
        for threshold in [0.02, 0.3] {
            let recipe = json!({ "select": { "scenes": { "threshold": threshold } } });
            let archive = select(clip, &recipe)?;
            let filters = format!("select='eq(n,0)+gt(scene,{threshold})'");
            let layout = layout(&archive)?;
            // The ffmpeg command compares and writes frames of other formats in RGB with 8 bits.
            let keeps_depth = match archive.manifest["source"]["pixel_format"].as_str() {
                Some("yuv420p10le") => true,
                _ => layout.ends_with("24") || layout == "gray",
            };
            let layout = if keeps_depth { layout } else { "rgb24" };
            let reference = frame_hashes(&[], clip, &filters, layout)?;
            compare(&archive, &reference, keeps_depth)?;
        }
        Ok(())
    });
}

#[test]
fn scenes_have_scores_parts_and_a_minimum_distance() {
    let clip = fixture(CUTS);
    let scenes = |recipe: Value| select(&clip, &recipe).expect("a valid clip");
    let whole = scenes(json!({ "select": { "scenes": {} } }));
    assert_eq!(numbers(&whole, "timestamp_s"), STARTS);
    let scores = numbers(&whole, "scene_score");
    assert!(scores[0] == 0.0 && scores[1..].iter().all(|score| *score > 0.3), "{scores:?}");
    for (recipe, times) in [
        (json!({ "select": { "scenes": { "min_seconds": 2 } } }), &[0.0, 3.0, 5.0, 8.0][..]),
        (json!({ "select": { "scenes": { "threshold": 1 } } }), &[0.0]),
        (json!({ "select": { "scenes": {} }, "from": 4, "to": 8 }), &[4.0, 5.0, 6.0]),
        (json!({ "select": { "scenes": {} }, "max_frames": 3 }), &[0.0, 1.0, 3.0]),
        (json!({ "select": { "scenes": {} }, "skip": { "blank": true } }), &[1.0, 3.0, 6.0, 8.0]),
    ] {
        let archive = scenes(recipe.clone());
        assert_eq!(numbers(&archive, "timestamp_s"), times, "{recipe}");
        assert_eq!(archive.manifest["complete"], true, "{recipe}");
    }
    let omitted = scenes(json!({ "select": { "scenes": {} }, "max_frames": 3 }));
    assert_eq!(omitted.manifest["omitted"], 4);
}

/// Variance of the Laplacian of a picture, whose sides are at most 640 pixels.
fn sharpness(picture: &[u8], width: usize) -> f64 {
    let rows: Vec<&[u8]> = picture.chunks_exact(width).collect();
    let mut values = Vec::new();
    for rows in rows.windows(3) {
        for x in 1..width - 1 {
            let at = |y: usize, x: usize| f64::from(rows[y][x]);
            let neighbors = at(0, x) + at(2, x) + at(1, x - 1) + at(1, x + 1);
            values.push(4.0 * at(1, x) - neighbors);
        }
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count
}

#[test]
fn the_sharpest_frame_of_each_interval_has_the_most_detail() {
    let names =
        ["scenes/cuts.mp4", "good/h264_open_gop.mkv", "good/vfr.mp4", "good/late_start.mkv"];
    check_all(&names.map(fixture), |clip| {
        let luma = ["-vf", "extractplanes=y", "-fps_mode", "passthrough", "-pix_fmt", "gray"];
        let pictures = ffmpeg(clip, &[luma.as_slice(), &["-f", "rawvideo"]].concat())?;
        let times: Vec<f64> =
            frame_hashes(&[], clip, "null", "rgb24")?.into_iter().map(|(time, _)| time).collect();
        let entries = ["-select_streams", "v:0", "-show_entries", "stream=width"];
        let width = ffprobe(clip, &entries)?["streams"][0]["width"].as_u64().ok_or("no width")?;
        let size = pictures.len() / times.len();
        let all: Vec<f64> =
            pictures.chunks_exact(size).map(|one| sharpness(one, width as usize)).collect();
        for every in [1.0, 0.5] {
            let recipe = json!({ "select": { "sharpest": { "every": every } }, "from": 0.4 });
            let archive = select(clip, &recipe)?;
            let mut expected: Vec<(i64, f64, f64)> = Vec::new();
            for (time, sharpness) in times.iter().zip(&all).filter(|(time, _)| **time >= 0.3999) {
                let interval = ((time + 1e-6) / every).floor() as i64;
                match expected.last_mut() {
                    Some(last) if last.0 == interval && last.2 + 1e-9 >= *sharpness => {}
                    Some(last) if last.0 == interval => *last = (interval, *time, *sharpness),
                    _ => expected.push((interval, *time, *sharpness)),
                }
            }
            let own =
                numbers(&archive, "timestamp_s").into_iter().zip(numbers(&archive, "sharpness"));
            let own: Vec<_> = own.collect();
            let are_equal = own.len() == expected.len()
                && own.iter().zip(&expected).all(|(own, (_, time, sharpness))| {
                    (own.0 - time).abs() < 1e-3
                        && (own.1 - sharpness).abs() <= 0.01 * sharpness.max(1e-9)
                });
            if !are_equal {
                return Err(format!("{own:?} instead of {expected:?}"));
            }
        }
        Ok(())
    });
}

#[test]
fn blank_and_repeated_frames_are_left_out() {
    let clip = fixture(CUTS);
    let whole = select(&clip, &json!({ "select": { "every": "1/2" } })).expect("a valid clip");
    let times = numbers(&whole, "timestamp_s");
    let scene = |time: f64| STARTS.iter().rposition(|start| *start <= time).expect("a scene");
    let is_blank = |time: f64| [0, 3, 6].contains(&scene(time));
    let is_still = |time: f64| ![1, 4].contains(&scene(time));
    let kept = |skip_blank: bool, skip_repeated: bool| {
        let mut kept: Vec<f64> = Vec::new();
        for time in &times {
            let repeats = |last: &f64| is_still(*time) && scene(*last) == scene(*time);
            let is_left_out =
                skip_blank && is_blank(*time) || skip_repeated && kept.last().is_some_and(repeats);
            if !is_left_out {
                kept.push(*time);
            }
        }
        kept
    };
    for (blank, repeated) in [(true, false), (false, true), (true, true)] {
        let skip = json!({ "blank": blank, "repeated": repeated });
        let recipe = json!({ "select": { "every": "1/2" }, "skip": skip });
        let archive = select(&clip, &recipe).expect("a valid clip");
        let expected = kept(blank, repeated);
        assert_eq!(numbers(&archive, "timestamp_s"), expected, "{skip}");
        let manifest = &archive.manifest;
        assert_eq!(manifest["complete"], true, "{skip}");
        assert_eq!(manifest["expected"], manifest["written"], "{skip}");
        let skipped = manifest["skipped"].as_array().expect("a list");
        assert_eq!(skipped.len(), times.len() - expected.len(), "{skip}");
        for frame in skipped {
            let time = frame["timestamp_s"].as_f64().expect("a number");
            let reason = if blank && is_blank(time) { "blank" } else { "repeated" };
            assert_eq!(frame["reason"], reason, "{frame}");
        }
        // The frames that are left are those of the whole archive.
        let names: Vec<&str> = archive.frames.iter().map(|(name, _)| name.as_str()).collect();
        assert!(archive.frames.iter().all(|frame| whole.frames.contains(frame)), "{names:?}");
        let recipe = json!({ "select": { "every": "1/2" }, "skip": skip, "max_frames": 3 });
        let first = select(&clip, &recipe).expect("a valid clip");
        assert_eq!(first.frames, archive.frames[..3], "{skip}");
        assert_eq!(first.manifest["omitted"], json!(expected.len() - 3), "{skip}");
        assert_eq!(first.manifest["expected"], 3, "{skip}");
    }
    let all_black = json!({ "from": 0, "to": 0.9, "skip": { "blank": true } });
    let error = extract(&clip, &options(&all_black)).expect_err("nothing is left");
    assert!(matches!(error, Error::NothingSelected { left_out: 1, .. }), "{error}");
}

/// The ffmpeg command finds no black frames there either.
#[test]
fn moving_frames_are_neither_blank_nor_repeated() {
    let names = ["h264_aac.mp4", "vfr.mp4", "hevc_hdr10.mkv", "rotate_90.mp4"];
    check_all(&names.map(|name| fixture(&format!("good/{name}"))), |clip| {
        let recipe = json!({ "skip": { "blank": true, "repeated": true } });
        let archive = select(clip, &recipe)?;
        let black = frame_hashes(&[], clip, BLACK_FRAMES, "gray")?;
        expect_equal("black frames of ffmpeg", black.len(), 0)?;
        let whole = select(clip, &json!({}))?;
        expect_equal("frames", archive.frames.len(), whole.frames.len())
    });
}

#[test]
fn damage_and_truncation_make_archives_incomplete() {
    let selections = [
        json!({ "keyframes": {} }),
        json!({ "scenes": { "threshold": 0.02 } }),
        json!({ "sharpest": { "every": 0.5 } }),
    ];
    check_all(&clips("cut"), |clip| {
        let by_time = select(clip, &json!({}));
        for selection in &selections {
            let recipe = json!({ "select": selection, "skip": { "repeated": true } });
            match (select(clip, &recipe), &by_time) {
                (Ok(archive), Ok(by_time)) => {
                    let complete = &by_time.manifest["complete"];
                    expect_equal(&selection.to_string(), &archive.manifest["complete"], complete)?;
                }
                // There may be no frame of this kind in what is left.
                (Err(error), _) if error.contains("[VIDEO_DAMAGED]") => {}
                (Err(error), _) if error.contains("[NOTHING_SELECTED]") => {}
                (other, _) => return Err(format!("{selection}: {:?}", other.map(|_| ()))),
            }
        }
        Ok(())
    });
}

#[test]
fn files_that_are_rejected_are_rejected_for_every_recipe() {
    let recipes = [
        json!({ "select": { "keyframes": {} } }),
        json!({ "select": { "scenes": {} }, "sheet": {} }),
        json!({ "select": { "sharpest": {} }, "image": { "format": "jpeg", "max_width": 64 } }),
        json!({ "select": { "count": 3 }, "image": { "format": "webp" } }),
        json!({ "select": { "at": [0, 1] }, "skip": { "blank": true, "repeated": true } }),
    ];
    check_all(&clips("broken"), |clip| {
        let code = |recipe: &Value| match extract(clip, &options(recipe)) {
            Ok(_) => "an archive".to_owned(),
            Err(error) => error.code().to_string(),
        };
        let expected = code(&json!({}));
        recipes.iter().try_for_each(|recipe| {
            expect_equal(&recipe.to_string(), code(recipe).as_str(), expected.as_str())
        })
    });
}
