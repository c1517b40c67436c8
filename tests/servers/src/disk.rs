//! Small file systems, which a test can fill.

use std::path::Path;

use crate::process::Program;

/// Mount a file system of this size in MiB on a directory, until it is unmounted or the last
/// process that sees it ends.
///
/// # Panics
/// This process may not mount.
pub fn mount(directory: &Path, mib: usize) {
    let options = format!("size={mib}m");
    Program::new("/usr/bin/mount", "mount")
        .arguments(["-t", "tmpfs", "-o", &options, "tmpfs"])
        .arguments([directory.display().to_string()])
        .output();
}
