//! Check of a downloaded archive.

use std::io::{Read, Seek};

use zip::ZipArchive;

/// Return the number of frames in the archive's directory, or what is wrong with the archive.
pub fn frame_count(archive: impl Read + Seek) -> Result<u64, String> {
    let archive =
        ZipArchive::new(archive).map_err(|error| format!("cannot read the archive: {error}"))?;
    let (mut frames, mut manifest) = (0, false);
    for name in archive.file_names() {
        let name = name.map_err(|error| format!("cannot read the archive: {error}"))?;
        match &*name {
            "manifest.json" => manifest = true,
            name if is_frame(name) => frames += 1,
            name => return Err(format!("the archive contains an unexpected file `{name}`")),
        }
    }
    if manifest { Ok(frames) } else { Err("the archive has no manifest".to_owned()) }
}

/// Whether this is the name of a frame, such as `frame_00001_00h00m00.467s.png`.
fn is_frame(name: &str) -> bool {
    name.strip_prefix("frame_").and_then(|name| name.strip_suffix(".png")).is_some()
}
