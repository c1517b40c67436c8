//! Extracting frames with the library `frames`.

use std::num::NonZeroUsize;
use std::path::Path;

use frames::Options;
use jobs::Recipe;
use jobs::recipe::Selection;
use serde_json::{Value, json};

use super::archive::Archive;

/// Options with another interval between the frames, in seconds.
pub fn every(num: i64, den: i64) -> Options {
    let interval = format!("{num}/{den}").parse().expect("a valid interval");
    let recipe = Recipe { select: Selection::Every(interval), ..Recipe::default() };
    Options { recipe, ..Options::default() }
}

/// Options with another form of the frames, in JSON.
pub fn image(json: &Value) -> Options {
    let recipe = Recipe::try_from(json!({ "image": json })).expect("a valid image");
    Options { recipe, ..Options::default() }
}

/// Options with another number of threads.
pub fn threads(number: usize) -> Options {
    Options {
        threads: NonZeroUsize::new(number).expect("at least one thread"),
        ..Options::default()
    }
}

/// Archive that the library makes of a clip.
pub fn extract(clip: &Path, options: &Options) -> Result<Vec<u8>, frames::Error> {
    let source = std::fs::File::open(clip).map_err(frames::Error::Read)?;
    extract_from(source, options)
}

/// Archive that the library makes of a source.
pub fn extract_from(
    source: impl frames::source::Source,
    options: &Options,
) -> Result<Vec<u8>, frames::Error> {
    let mut archive = Vec::new();
    frames::extract(source, &mut archive, options, |_| {})?;
    Ok(archive)
}

/// Content of the archive that the library makes of a clip.
pub fn extract_and_read(clip: &Path, options: &Options) -> Result<Archive, String> {
    Archive::read(extract(clip, options).map_err(|error| format!("{error} [{}]", error.code()))?)
}
