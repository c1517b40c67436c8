//! Opens the video that the user named.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Open a video file. Anything but a regular file is refused before it is opened: opening a pipe
/// could wait for ever.
pub fn open(path: &Path) -> Result<File> {
    let name = path.display();
    let kind = fs::metadata(path).with_context(|| format!("cannot open {name}"))?;
    if kind.is_dir() {
        bail!("{name} is a directory, not a video");
    }
    if !kind.is_file() {
        bail!("{name} is not a regular file");
    }
    File::open(path).with_context(|| format!("cannot open {name}"))
}

/// An engine's error as one line about this video, with its code.
pub fn explain(path: &Path, error: &frames::Error) -> anyhow::Error {
    let code = match error {
        frames::Error::Cancelled => "CANCELLED",
        error => error.code().name(),
    };
    anyhow::anyhow!("{}: {error} [{code}]", path.display())
}
