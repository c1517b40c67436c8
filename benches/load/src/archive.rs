//! Whether a file that was fetched is the archive that was promised.

use std::io::{Read, Seek};

use zip::ZipArchive;

/// The number of pictures by the archive's directory, or what is wrong with it.
pub fn pictures(archive: impl Read + Seek) -> Result<u64, String> {
    let archive =
        ZipArchive::new(archive).map_err(|error| format!("the archive cannot be read: {error}"))?;
    let (mut pictures, mut manifest) = (0, false);
    for name in archive.file_names() {
        let name = name.map_err(|error| format!("the archive cannot be read: {error}"))?;
        match &*name {
            "manifest.json" => manifest = true,
            name if name
                .strip_prefix("frame_")
                .and_then(|name| name.strip_suffix(".png"))
                .is_some() =>
            {
                pictures += 1;
            }
            name => return Err(format!("the archive holds `{name}`")),
        }
    }
    if manifest { Ok(pictures) } else { Err("the archive has no manifest".to_owned()) }
}
