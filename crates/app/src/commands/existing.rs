//! Check of an existing file before an archive replaces it.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use jobs::manifest::{Engine, MANIFEST_NAME, Source};
use serde::Deserialize;
use zip::ZipArchive;

use super::video;

/// Maximum size of a manifest that is read, in bytes: that of a video of two days.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// Part of a manifest.
#[derive(Deserialize)]
struct Origin {
    engine: Engine,
    source: Source,
}

/// Return whether a file is an archive of this program, of the same video: one with the same size
/// in bytes, container, codec, width and height. The video is examined only if the sizes match.
pub(super) fn is_archive_of(file: &Path, video: &Path, options: &frames::Options) -> bool {
    let Some(Origin { engine, source }) = origin(file) else { return false };
    let same_size = video.metadata().is_ok_and(|video| video.len() == source.size_bytes);
    if engine.name != "fiapx" || !same_size {
        return false;
    }
    let Ok(video) = video::open(video) else { return false };
    let Ok(forecast) = frames::probe(video, options) else { return false };
    let identity = |source: Source| (source.container, source.codec, source.width, source.height);
    identity(source) == identity(forecast.source)
}

/// Origin that a file's manifest states; `None` if the file is not an archive with a manifest.
fn origin(file: &Path) -> Option<Origin> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(file).ok()?)).ok()?;
    let manifest = archive.by_name(MANIFEST_NAME).ok()?;
    serde_json::from_reader(BufReader::new(manifest.take(MAX_MANIFEST_BYTES))).ok()
}
