//! The archive of a video has the same bytes for any number of threads and in every run.

use std::path::Path;

use frames::Options;

use crate::harness::checks::check_all;
use crate::harness::clips::{clips, fixture};
use crate::harness::extraction::{extract, threads};

/// The archive, or the error code.
fn outcome(clip: &Path, number: usize) -> Result<Vec<u8>, &'static str> {
    extract(clip, &threads(number)).map_err(|error| error.code().name())
}

#[test]
fn archives_do_not_depend_on_the_number_of_threads() {
    check_all(&[clips("good"), clips("contradictory"), clips("cut")].concat(), |clip| {
        let one = outcome(clip, 1);
        for number in [2, 3, 5] {
            let other = outcome(clip, number);
            if one != other {
                let summary = |outcome: &Result<Vec<u8>, _>| {
                    outcome.as_ref().map(Vec::len).map_err(|code| *code)
                };
                return Err(format!(
                    "1 thread writes {:?} bytes, {number} threads {:?}",
                    summary(&one),
                    summary(&other)
                ));
            }
        }
        Ok(())
    });
}

#[test]
fn archives_do_not_depend_on_the_run() {
    let clip = fixture("good/hevc_open_gop.mkv");
    let [first, second] =
        [(); 2].map(|()| extract(&clip, &Options::default()).expect("the clip is valid"));
    assert!(first == second, "two runs differ");
}
