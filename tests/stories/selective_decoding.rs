//! Skipping unneeded packets changes nothing: the frames equal those of a decoder that gets every
//! packet.

use std::path::Path;

use frames::{Decoding, Options};

use crate::harness::checks::{check_all, expect_equal};
use crate::harness::clips::clips;
use crate::harness::extraction::{every, extract_and_read};

/// Name (which includes the time) and checksum of every frame.
fn frame_checksums(clip: &Path, options: &Options) -> Result<Vec<(String, String)>, String> {
    let archive = extract_and_read(clip, options)?;
    let text =
        |entry: &serde_json::Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let frames: Vec<_> = archive
        .frame_entries()
        .iter()
        .map(|entry| (text(entry, "name"), text(entry, "sha256")))
        .collect();
    expect_equal("frames in the manifest and in the archive", frames.len(), archive.frames.len())?;
    Ok(frames)
}

#[test]
fn selective_and_linear_decoding_extract_the_same_frames() {
    check_all(&clips("good"), |clip| {
        for (num, den) in [(1, 1), (1, 3), (2, 5), (3, 1)] {
            let selective = frame_checksums(clip, &every(num, den))?;
            let linear =
                frame_checksums(clip, &Options { decoding: Decoding::Linear, ..every(num, den) })?;
            let differing = || selective.iter().zip(&linear).find(|(ours, theirs)| ours != theirs);
            if selective != linear {
                let (ours, theirs) = (selective.len(), linear.len());
                return Err(format!(
                    "every {num}/{den} s: {ours} and {theirs} frames, first difference {:?}",
                    differing()
                ));
            }
        }
        Ok(())
    });
}
