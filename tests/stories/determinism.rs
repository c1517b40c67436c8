//! The archive of a video has the same bytes for any number of threads and in every run.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use frames::Options;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::harness::checks::check_all;
use crate::harness::clips::{clips, fixture};
use crate::harness::extraction::{extract, extract_from, threads};

/// Check that a video results in the same archive, or the same error, with these numbers of
/// threads as with one.
fn expect_equal_archives(video: &[u8], numbers: &[usize]) -> Result<(), String> {
    let outcome = |number| {
        let archive = extract_from(Cursor::new(video.to_vec()), &threads(number));
        archive.map_err(|error| error.code().name())
    };
    let one = outcome(1);
    for number in numbers {
        let other = outcome(*number);
        if one != other {
            let summary =
                |outcome: &Result<Vec<u8>, _>| outcome.as_ref().map(Vec::len).map_err(|code| *code);
            return Err(format!(
                "1 thread writes {:?} bytes, {number} threads {:?}",
                summary(&one),
                summary(&other)
            ));
        }
    }
    Ok(())
}

fn read(clip: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(clip).map_err(|error| error.to_string())
}

#[test]
fn archives_do_not_depend_on_the_number_of_threads() {
    let directories = ["good", "contradictory", "cut", "lost"];
    check_all(&directories.map(clips).concat(), |clip| {
        expect_equal_archives(&read(clip)?, &[2, 3, 5])
    });
}

/// A few wrong bytes at fixed places of each clip. Errors must be noticed in every run.
#[test]
fn archives_of_damaged_videos_do_not_depend_on_the_number_of_threads() {
    let damaged: Vec<(PathBuf, u64)> = clips("good")
        .into_iter()
        .flat_map(|clip| (0..2).map(move |seed| (clip.clone(), seed)))
        .collect();
    check_all(&damaged, |(clip, seed)| {
        let mut video = read(clip)?;
        let mut random = StdRng::seed_from_u64(*seed);
        let middle = video.len() / 5..video.len() * 4 / 5;
        for _ in 0..4 {
            video[random.random_range(middle.clone())] = random.random();
        }
        expect_equal_archives(&video, &[2, 5, 2])
    });
}

#[test]
fn archives_do_not_depend_on_the_run() {
    let clip = fixture("good/hevc_open_gop.mkv");
    let [first, second] =
        [(); 2].map(|()| extract(&clip, &Options::default()).expect("the clip is valid"));
    assert!(first == second, "two runs differ");
}
