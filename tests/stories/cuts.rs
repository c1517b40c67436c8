//! A clip that is cut anywhere is reported as incomplete, unless no frame is lost.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use frames::Options;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::harness::archive::Archive;
use crate::harness::checks::check_all;
use crate::harness::clips::{clip_bytes, clips, file_name};
use crate::harness::extraction::{extract, extract_from};

#[test]
fn a_cut_live_recording_is_incomplete() {
    for clip in ["good/live.mkv", "good/fragmented.mp4"] {
        let mut video = clip_bytes(clip);
        video.truncate(video.len() * 6 / 10);
        let archive = extract_from(Cursor::new(video), &Options::default());
        let archive = Archive::read(archive.expect("the beginning is intact")).expect("an archive");
        assert_eq!(archive.manifest["complete"], false, "{clip}");
        let warnings = archive.manifest["warnings"].to_string();
        assert!(warnings.contains("the file is truncated: the element at byte"), "{warnings}");
    }
}

/// Checksum of each frame, by its number, and whether the archive is stated to be complete.
struct Extracted {
    frames: BTreeMap<u64, String>,
    complete: bool,
}

fn read(archive: Vec<u8>) -> Result<Extracted, String> {
    let archive = Archive::read(archive)?;
    let frame = |entry: &serde_json::Value| {
        Some((entry["number"].as_u64()?, entry["sha256"].as_str()?.to_owned()))
    };
    let frames = archive.frame_entries().iter().filter_map(frame).collect();
    Ok(Extracted { frames, complete: archive.manifest["complete"] == true })
}

/// Number of cuts of each clip. `make cuts` sets another one.
fn number_of_cuts() -> usize {
    let number = std::env::var("CUTS_PER_CLIP").ok();
    number.map_or(5, |number| number.parse().expect("CUTS_PER_CLIP is a number"))
}

#[test]
fn no_cut_that_loses_a_frame_is_reported_complete() {
    let seed = rand::random();
    println!("seed {seed}");
    check_all(&clips("good"), |clip| check_cuts(clip, seed));
}

fn check_cuts(clip: &Path, seed: u64) -> Result<(), String> {
    let options = Options::default();
    let video = std::fs::read(clip).map_err(|error| error.to_string())?;
    let whole = read(extract(clip, &options).map_err(|error| error.to_string())?)?;
    if !whole.complete {
        return Err("the intact clip is reported incomplete".to_owned());
    }
    let name_seed: u64 = file_name(clip).bytes().map(u64::from).sum();
    let mut random = StdRng::seed_from_u64(seed ^ name_seed);
    for _ in 0..number_of_cuts() {
        let end = random.random_range(1..video.len());
        // Nothing is left of a clip that is cut before its index or first frame.
        let Ok(archive) = extract_from(Cursor::new(video[..end].to_vec()), &options) else {
            continue;
        };
        let cut = read(archive)?;
        if cut.complete && cut.frames != whole.frames {
            return Err(format!(
                "cut at byte {end} of {}, {} of {} frames are stated to be complete (seed {seed})",
                video.len(),
                cut.frames.len(),
                whole.frames.len()
            ));
        }
    }
    Ok(())
}
