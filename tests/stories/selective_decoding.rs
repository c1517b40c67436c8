//! Leaving out what nobody needs changes nothing: the pictures are those of a decoder that was
//! given every packet.

use std::path::Path;

use frames::{Decoding, Options};

use crate::harness::checks::{check_all, expect_equal};
use crate::harness::clips::clips;
use crate::harness::extraction::{every, extract_and_read};

/// Name (which holds the time) and checksum of every picture.
fn pictures(clip: &Path, options: &Options) -> Result<Vec<(String, String)>, String> {
    let archive = extract_and_read(clip, options)?;
    let text =
        |image: &serde_json::Value, key: &str| image[key].as_str().unwrap_or_default().to_owned();
    let pictures: Vec<_> = archive
        .frame_entries()
        .iter()
        .map(|image| (text(image, "name"), text(image, "sha256")))
        .collect();
    expect_equal("pictures named and written", pictures.len(), archive.frames.len())?;
    Ok(pictures)
}

#[test]
fn selective_decoding_gives_what_linear_decoding_gives() {
    check_all(&clips("good"), |clip| {
        for (num, den) in [(1, 1), (1, 3), (2, 5), (3, 1)] {
            let selective = pictures(clip, &every(num, den))?;
            let linear =
                pictures(clip, &Options { decoding: Decoding::Linear, ..every(num, den) })?;
            let differing = || selective.iter().zip(&linear).find(|(ours, theirs)| ours != theirs);
            if selective != linear {
                let (ours, theirs) = (selective.len(), linear.len());
                return Err(format!(
                    "every {num}/{den} s: {ours} and {theirs} pictures, first difference {:?}",
                    differing()
                ));
            }
        }
        Ok(())
    });
}
