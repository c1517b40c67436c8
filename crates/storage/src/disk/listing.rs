//! Listing of objects in the order of their keys.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use jobs::Time;

use super::files::if_exists;
use crate::interface::{Object, PAGE_SIZE};
use crate::key::Key;

/// One page of objects.
pub(super) struct Listing {
    directory: PathBuf,
    prefix: String,
    after: String,
    objects: Vec<Object>,
}

impl Listing {
    /// List the objects in `directory` whose keys begin with `prefix` and sort after `after`.
    pub(super) fn collect(
        directory: PathBuf,
        prefix: String,
        after: String,
    ) -> io::Result<Vec<Object>> {
        let mut listing = Self { directory, prefix, after, objects: Vec::new() };
        listing.visit(Key::ROOT)?;
        Ok(listing.objects)
    }

    /// Add the objects of a directory, whose name ends with a slash. Files and directories that are
    /// deleted meanwhile are skipped.
    fn visit(&mut self, directory: &str) -> io::Result<()> {
        let mut names = Vec::new();
        let Some(entries) = if_exists(fs::read_dir(self.directory.join(directory)))? else {
            return Ok(());
        };
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Some(kind) = if_exists(entry.file_type())? else { continue };
            let slash = if kind.is_dir() { "/" } else { "" };
            names.push(format!("{directory}{name}{slash}"));
        }
        names.sort_unstable();
        for name in names {
            if self.objects.len() == PAGE_SIZE {
                break;
            }
            if name.ends_with('/') {
                let matches = name.starts_with(&self.prefix) || self.prefix.starts_with(&name);
                if matches && (name > self.after || self.after.starts_with(&name)) {
                    self.visit(&name)?;
                }
            } else if name.starts_with(&self.prefix)
                && name > self.after
                && let Ok(key) = name.parse()
                && let Some(metadata) = if_exists(fs::metadata(self.directory.join(&name)))?
                && metadata.is_file()
            {
                self.objects.push(object(key, &metadata));
            }
        }
        Ok(())
    }
}

/// The object that a file with this metadata holds.
pub(super) fn object(key: Key, metadata: &Metadata) -> Object {
    Object {
        key,
        size: metadata.len(),
        modified: Time::from_timestamp(metadata.mtime(), 0).unwrap_or_default(),
    }
}
