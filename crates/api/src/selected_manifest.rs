//! Manifest of selected frames of an archive.

use jobs::Manifest;
use jobs::manifest::{FrameEntry, MissingRange, SelectedFrames};

use crate::frame_numbers::FrameNumbers;

/// Manifest of an archive with these frames of another one, whose manifest is `whole`. Contact
/// sheets are left out.
pub fn selected_manifest(
    whole: &Manifest,
    numbers: &FrameNumbers,
    frames: Vec<FrameEntry>,
) -> Manifest {
    // The ends of selected ranges are frames, so a gap is selected as a whole or not at all.
    let missing: Vec<MissingRange> =
        whole.missing.iter().filter(|gap| numbers.contains(gap.first_number)).cloned().collect();
    let gaps = missing
        .iter()
        .map(|gap| gap.last_number.saturating_sub(gap.first_number).saturating_add(1));
    let (written, missing_count) = (frames.len() as u64, gaps.fold(0, u64::saturating_add));
    let skipped = whole.skipped.iter().filter(|frame| numbers.contains(frame.number));
    Manifest {
        manifest_version: whole.manifest_version,
        engine: whole.engine.clone(),
        source: whole.source.clone(),
        recipe: whole.recipe.clone(),
        compression: whole.compression,
        complete: missing.is_empty() && frames.iter().all(|frame| !frame.decode_errors),
        expected: written.saturating_add(missing_count),
        written,
        omitted: 0,
        skipped: skipped.cloned().collect(),
        read: whole.read.clone(),
        missing,
        damaged: whole.damaged.clone(),
        warnings: whole.warnings.clone(),
        sheets: Vec::new(),
        webvtt: None,
        selected: Some(SelectedFrames {
            numbers: numbers.to_string(),
            left_out: (whole.frames.len() as u64).saturating_sub(written),
        }),
        frames,
    }
}
