//! Copies of objects on one disk.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use tempfile::NamedTempFile;

use super::files::{UNFINISHED, open, remove_empty_directories, require_space};
use super::upload::{enter_directory, move_to_key, sync_directories};
use crate::error::Error;
use crate::key::Key;

/// Copy an object of a storage in `directory`, and return its size in bytes. An object never
/// changes in place, so both names may belong to one file. Where the file system has no links, or
/// no more of this file, its bytes are copied.
pub(super) fn copy(directory: &Path, from: &Key, to: &Key) -> Result<u64, Error> {
    let [source, path] = [from, to].map(|key| directory.join(key.as_str()));
    let (file, size) = open(&source, from)?;
    match link(&source, &path) {
        Ok(()) => sync_directories(&path)?,
        Err(_) if !source.exists() => {
            remove_empty_directories(&path);
            return Err(Error::NotFound { key: from.clone() });
        }
        Err(_) => copy_bytes(directory, file, size, &path, to)?,
    }
    Ok(size)
}

/// Add a name of a file.
fn link(source: &Path, path: &Path) -> io::Result<()> {
    enter_directory(source, path, || match fs::hard_link(source, path) {
        // Another object that has to be replaced, not a directory that was removed.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(ErrorKind::Other.into()),
        linked => linked,
    })
}

/// Copy the bytes of a file to the key of an object.
fn copy_bytes(
    directory: &Path,
    mut file: File,
    size: u64,
    path: &Path,
    to: &Key,
) -> Result<(), Error> {
    let unfinished = directory.join(UNFINISHED);
    require_space(&unfinished, usize::try_from(size).unwrap_or(usize::MAX))?;
    let copied = NamedTempFile::new_in(&unfinished).and_then(|mut copy| {
        io::copy(&mut file, copy.as_file_mut())?;
        copy.as_file().sync_all()?;
        Ok(copy)
    });
    let copy = copied.map_err(|error| Error::from_io(|| format!("write {to}"), error))?;
    move_to_key(copy, path, to)?;
    sync_directories(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use jobs::{JobId, UserId, VideoFormat};

    use super::*;

    #[test]
    fn copies_share_their_blocks_until_one_is_replaced() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        fs::create_dir(directory.path().join(UNFINISHED)).expect("a directory can be made");
        let user = UserId::generate();
        let [from, to] = [(); 2].map(|()| Key::input(user, JobId::generate(), VideoFormat::Mp4));
        let [source, path] = [&from, &to].map(|key| directory.path().join(key.as_str()));
        let missing = copy(directory.path(), &from, &to);
        assert!(matches!(missing, Err(Error::NotFound { key }) if key == from));
        assert!(!path.exists() && !path.parent().expect("a directory").exists());

        fs::create_dir_all(source.parent().expect("a directory")).expect("it can be made");
        fs::write(&source, b"video").expect("it can be written");
        assert_eq!(copy(directory.path(), &from, &to).expect("it is copied"), 5);
        let file = |path: &Path| fs::metadata(path).expect("it exists").ino();
        assert_eq!(file(&path), file(&source));
        // A repetition finds the name in use and copies the bytes.
        assert_eq!(copy(directory.path(), &from, &to).expect("it is copied"), 5);
        assert_ne!(file(&path), file(&source));
        fs::remove_file(&source).expect("it can be deleted");
        assert_eq!(fs::read(&path).expect("the copy remains"), b"video");
        let left = fs::read_dir(directory.path().join(UNFINISHED)).expect("it exists").count();
        assert_eq!(left, 0);
    }
}
