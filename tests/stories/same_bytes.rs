//! The same video gives the same bytes, however many threads work on it.

use std::path::Path;

use crate::harness::{clips, each, extract, threads};

/// The archive, or the code of the failure.
fn outcome(clip: &Path, number: usize) -> Result<Vec<u8>, &'static str> {
    extract(clip, &threads(number)).map_err(|error| error.code().name())
}

#[test]
fn archives_do_not_depend_on_the_number_of_threads() {
    each(&[clips("good"), clips("cut")].concat(), |clip| {
        let one = outcome(clip, 1);
        for number in [2, 3, 5] {
            let other = outcome(clip, number);
            if one != other {
                let tell = |outcome: &Result<Vec<u8>, _>| {
                    outcome.as_ref().map(Vec::len).map_err(|code| *code)
                };
                return Err(format!(
                    "1 thread gives {:?} bytes, {number} threads {:?}",
                    tell(&one),
                    tell(&other)
                ));
            }
        }
        Ok(())
    });
}
