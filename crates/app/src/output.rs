//! Where an archive goes. A file appears under its name only when it is complete.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

/// An open place for an archive.
pub enum Output {
    /// A file under another name beside the one that it is to have; dropping it removes it.
    File { partial: NamedTempFile, name: PathBuf },
    /// A device or a pipe, which has no name to give.
    Stream(File),
    /// Standard output.
    Standard(io::Stdout),
}

impl Output {
    /// Open `name`, where `-` is standard output. `video` is what is read and must not be
    /// overwritten.
    pub fn open(name: &Path, video: &Path) -> Result<Self> {
        if name == Path::new("-") {
            let output = io::stdout();
            if output.is_terminal() {
                bail!(
                    "an archive is not for a terminal: name a file with -o, or send standard output elsewhere"
                );
            }
            return Ok(Self::Standard(output));
        }
        let shown = name.display();
        if let Ok(existing) = name.metadata() {
            if existing.is_dir() {
                bail!("{shown} is a directory: name a file with -o");
            }
            if !existing.is_file() {
                let stream = OpenOptions::new().write(true).open(name);
                return Ok(Self::Stream(
                    stream.with_context(|| format!("cannot write to {shown}"))?,
                ));
            }
            if name.canonicalize().ok() == video.canonicalize().ok() {
                bail!("{shown} is the video itself: name another file with -o");
            }
        }
        let directory =
            name.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let partial = tempfile::Builder::new()
            .prefix(".fiapx-")
            .suffix(".partial")
            .permissions(std::fs::Permissions::from_mode(0o666))
            .tempfile_in(directory)
            .with_context(|| format!("cannot write to {}", directory.display()))?;
        Ok(Self::File { partial, name: name.to_owned() })
    }

    /// What the engine writes to.
    pub fn writer(&mut self) -> Box<dyn Write + Send + '_> {
        const BUFFER: usize = 1 << 20;
        match self {
            Self::File { partial, .. } => {
                Box::new(BufWriter::with_capacity(BUFFER, partial.as_file_mut()))
            }
            Self::Stream(file) => Box::new(BufWriter::with_capacity(BUFFER, file)),
            Self::Standard(output) => Box::new(output),
        }
    }

    /// The archive is complete: give it its name.
    pub fn finish(self) -> Result<()> {
        if let Self::File { partial, name } = self {
            partial.persist(&name).with_context(|| format!("cannot write {}", name.display()))?;
        }
        Ok(())
    }
}
