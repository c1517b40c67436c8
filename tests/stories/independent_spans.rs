//! The result of a span does not depend on what its decoder has decoded before.

use frames::stages::Clip;

use crate::harness::checks::{check_all, expect_equal};
use crate::harness::clips::clips;

/// Maximum number of spans of a clip that are compared. Clips of intra-coded frames have one span
/// per frame.
const MAX_SPANS: usize = 12;

#[test]
fn spans_are_independent_of_each_other() {
    check_all(&[clips("good"), clips("cut")].concat(), |video| {
        let bytes = std::fs::read(video).map_err(|error| error.to_string())?;
        let clip = Clip::load(bytes).map_err(|error| error.to_string())?;
        let plans = clip.plan();
        let spans: Vec<usize> = (0..plans.count()).take(MAX_SPANS).collect();
        for span in &spans {
            let others = spans.iter().copied().filter(|other| other != span);
            let order: Vec<usize> = others.rev().chain([*span]).collect();
            let alone = clip.checksum(&plans, &[*span]).map_err(|error| error.to_string())?;
            let last = clip.checksum(&plans, &order).map_err(|error| error.to_string())?;
            expect_equal(&format!("frames of span {span} after all others"), last, alone)?;
        }
        Ok(())
    });
}
