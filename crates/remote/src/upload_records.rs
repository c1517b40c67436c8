//! Uploads that are not finished, so that a later command continues them: a file for each one in
//! the state directory of the user.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hex::ToHex;
use sha2::{Digest, Sha256};

use crate::error::Error;

/// Age after which a record is deleted. Uploads expire after two days.
const MAX_AGE: Duration = Duration::from_hours(72);

/// Records of uploads.
#[derive(Debug, Clone, Default)]
pub struct UploadRecords {
    /// `None` without a state directory: then only one command continues an upload.
    directory: Option<PathBuf>,
}

/// Name of the record of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordName(String);

impl RecordName {
    /// Name for what identifies an upload: service, file with its size and time, and recipe.
    pub fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().encode_hex())
    }
}

impl UploadRecords {
    /// Records in `fiapx/uploads` in `$XDG_STATE_HOME`, else in `~/.local/state` (XDG Base
    /// Directory Specification).
    #[must_use]
    pub fn of_user(variable: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
        let state =
            absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        Self { directory: state.map(|state| state.join("fiapx/uploads")) }
    }

    /// URL of an upload that was begun.
    pub(crate) fn find(&self, name: &RecordName) -> Option<String> {
        let text = fs::read_to_string(self.path(name)?).ok()?;
        Some(text.trim().to_owned()).filter(|url| !url.is_empty())
    }

    /// Record an upload, and delete old records.
    pub(crate) fn add(&self, name: &RecordName, url: &str) -> Result<(), Error> {
        let (Some(directory), Some(path)) = (&self.directory, self.path(name)) else {
            return Ok(());
        };
        let failed = |error| Error::file(directory, format!("cannot write: {error}"));
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        delete_old(directory);
        fs::write(path, url).map_err(failed)
    }

    /// Forget an upload.
    pub(crate) fn remove(&self, name: &RecordName) {
        if let Some(path) = self.path(name) {
            // A record that is left leads to an upload that has ended, which is noticed.
            let _ = fs::remove_file(path);
        }
    }

    fn path(&self, name: &RecordName) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join(&name.0))
    }
}

/// Delete records of uploads that have expired. What cannot be deleted does no harm.
fn delete_old(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|modified| modified.elapsed().ok());
        if age.is_some_and(|age| age > MAX_AGE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn records_are_kept_until_they_are_old() {
        let home = tempfile::tempdir().expect("a directory");
        let variable = |name: &str| (name == "HOME").then(|| home.path().to_owned());
        let records = UploadRecords::of_user(variable);
        let [one, other] = ["a", "b"].map(|file| RecordName::of(&["http://a", file]));
        assert_eq!(records.find(&one), None);
        records.add(&one, "http://a/uploads/1").expect("it can be written");
        assert_eq!(records.find(&one).as_deref(), Some("http://a/uploads/1"));
        assert_eq!(records.find(&other), None);

        let directory = home.path().join(".local/state/fiapx/uploads");
        let file = fs::read_dir(directory).expect("it exists").flatten().next().expect("a record");
        let file = fs::File::options().write(true).open(file.path()).expect("it can be opened");
        file.set_modified(SystemTime::now() - MAX_AGE * 2).expect("it can be changed");
        records.add(&other, "http://a/uploads/2").expect("it can be written");
        assert_eq!(records.find(&one), None);
        records.remove(&other);
        assert_eq!(records.find(&other), None);
    }

    #[test]
    fn nothing_is_recorded_without_a_home() {
        let records = UploadRecords::of_user(|_| None);
        let name = RecordName::of(&["a"]);
        records.add(&name, "http://a/uploads/1").expect("nothing is written");
        assert_eq!(records.find(&name), None);
        assert_ne!(RecordName::of(&["ab", "c"]), RecordName::of(&["a", "bc"]));
    }
}
