//! Destination of an archive. A file appears under its name only when it is complete.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

/// An open destination for an archive.
pub(super) enum Output {
    /// A temporary file in the directory of the destination. Dropping it removes it. `replaces` is
    /// whether a file of this name may be replaced.
    File { partial: NamedTempFile, name: PathBuf, replaces: bool },
    /// A device or a pipe, which is written to directly.
    Stream(File),
    /// Standard output.
    Standard(io::Stdout),
}

impl Output {
    /// Open the destination `name`, where `-` is standard output. `video` is the input, which must
    /// not be overwritten. An existing file is replaced only if it is empty or `may_replace`
    /// returns true.
    pub(super) fn open(
        name: &Path,
        video: &Path,
        may_replace: impl FnOnce() -> bool,
    ) -> Result<Self> {
        if name == Path::new("-") {
            let output = io::stdout();
            if output.is_terminal() {
                bail!("standard output is a terminal: name a file with -o, or redirect the output");
            }
            return Ok(Self::Standard(output));
        }
        let shown = name.display();
        let mut replaces = false;
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
            replaces = existing.len() == 0 || may_replace();
            if !replaces {
                bail!(
                    "{shown} exists and is not an archive of {}: name another file with -o, or \
                     replace it with --force",
                    video.display()
                );
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
        Ok(Self::File { partial, name: name.to_owned(), replaces })
    }

    /// Return the writer for the archive.
    pub(super) fn writer(&mut self) -> Box<dyn Write + Send + '_> {
        const BUFFER_BYTES: usize = 1 << 20;
        match self {
            Self::File { partial, .. } => {
                Box::new(BufWriter::with_capacity(BUFFER_BYTES, partial.as_file_mut()))
            }
            Self::Stream(file) => Box::new(BufWriter::with_capacity(BUFFER_BYTES, file)),
            Self::Standard(output) => Box::new(output),
        }
    }

    /// Rename the complete temporary file to its final name.
    pub(super) fn finish(self) -> Result<()> {
        let Self::File { mut partial, name, replaces } = self else { return Ok(()) };
        let shown = name.display();
        if !replaces {
            match partial.persist_noclobber(&name) {
                Ok(_) => return Ok(()),
                Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => bail!(
                    "{shown} was created by another program meanwhile: name another file with -o, \
                     or replace it with --force"
                ),
                // Not all file systems can rename to a new name only.
                Err(failed) => partial = failed.file,
            }
        }
        partial.persist(&name).with_context(|| format!("cannot write {shown}"))?;
        Ok(())
    }
}
