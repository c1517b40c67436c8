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

/// Number of cuts of each clip, and the seed of their places. `make cuts` sets the number; the
/// places are others at each run then.
fn cuts() -> (usize, u64) {
    let number = std::env::var("CUTS_PER_CLIP").ok();
    number.map_or((5, 1), |number| {
        (number.parse().expect("CUTS_PER_CLIP is a number"), rand::random())
    })
}

#[test]
fn no_cut_that_loses_a_frame_is_reported_complete() {
    let (number, seed) = cuts();
    println!("seed {seed}");
    check_all(&clips("good"), |clip| check_cuts(clip, number, seed));
}

/// Recordings that state neither a duration nor a size. One that ends between two of its elements
/// is itself such a recording, so only cuts within an element can be noticed.
const LIVE: [&str; 3] = ["live.mkv", "fragmented.mp4", "h264_replaced_header.flv"];

fn check_cuts(clip: &Path, number: usize, seed: u64) -> Result<(), String> {
    let options = Options::default();
    let video = std::fs::read(clip).map_err(|error| error.to_string())?;
    let whole = read(extract(clip, &options).map_err(|error| error.to_string())?)?;
    if !whole.complete {
        return Err("the intact clip is reported incomplete".to_owned());
    }
    let name_seed: u64 = file_name(clip).bytes().map(u64::from).sum();
    let mut random = StdRng::seed_from_u64(seed ^ name_seed);
    // Nothing is left of a clip that is cut before its index or first frame.
    let cut = |end: usize| extract_from(Cursor::new(video[..end].to_vec()), &options).ok();
    let is_live = LIVE.iter().any(|live| clip.ends_with(live));
    for _ in 0..number {
        let end = random.random_range(1..video.len());
        let Some(archive) = cut(end) else { continue };
        let shorter = read(archive)?;
        if !shorter.complete || shorter.frames == whole.frames {
            continue;
        }
        let is_within = |end: usize| -> Result<bool, String> {
            cut(end).map_or(Ok(true), |archive| Ok(!read(archive)?.complete))
        };
        if is_live && is_within(end - 1)? && is_within(end + 1)? {
            continue;
        }
        return Err(format!(
            "cut at byte {end} of {}, {} of {} frames are stated to be complete (seed {seed})",
            video.len(),
            shorter.frames.len(),
            whole.frames.len()
        ));
    }
    Ok(())
}
