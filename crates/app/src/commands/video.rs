//! Opening of the video named on the command line.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Open a video file. Everything but a regular file is rejected before it is opened, because
/// opening a pipe may block forever.
pub(super) fn open(path: &Path) -> Result<File> {
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

/// Convert an error of the engine to one line with the name of the video and the failure code.
pub(super) fn describe_error(path: &Path, error: &frames::Error) -> anyhow::Error {
    anyhow::anyhow!("{}: {error} [{}]", path.display(), error.code().name())
}
