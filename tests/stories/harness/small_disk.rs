//! A small file system of its own, for a story that fills its disk.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::statvfs;

/// Free space of the file system of a directory, in bytes.
pub fn free_space(directory: &Path) -> u64 {
    let disk = statvfs(directory).expect("the file system responds");
    disk.blocks_available() * disk.fragment_size()
}

/// Occupy all of the space but `left` bytes with a file in the directory, at once.
pub fn fill(directory: &Path, name: &str, left: u64) {
    let file = File::create(directory.join(name)).expect("a file can be created");
    loop {
        let length = free_space(directory).saturating_sub(left);
        // Another process may write meanwhile.
        if fallocate(&file, FallocateFlags::empty(), 0, length as i64).is_ok() {
            return;
        }
    }
}

/// Bytes that a file occupies; 0 if it does not exist.
pub fn occupied(path: &Path) -> u64 {
    // `st_blocks` counts units of 512 bytes (stat(2)).
    path.metadata().map_or(0, |metadata| metadata.blocks() * 512)
}
