//! Source files of the repository.

use std::path::{Path, PathBuf};

use crate::harness::programs::root;

/// All files under these directories of the repository whose names end with `suffix`, relative to
/// its root. Build results in `target` are left out.
pub fn files(directories: &[&str], suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = directories
        .iter()
        .map(|directory| root().join(directory))
        .filter(|path| path.is_dir())
        .collect();
    while let Some(directory) = left.pop() {
        for entry in directory.read_dir().expect("the directory can be read") {
            let path = entry.expect("the directory can be read").path();
            if path.is_dir() && !path.ends_with("target") {
                left.push(path);
            } else if path.to_string_lossy().ends_with(suffix) {
                let relative = path.strip_prefix(root()).expect("it is in the repository");
                found.push(relative.to_owned());
            }
        }
    }
    assert!(!found.is_empty(), "no {suffix} under {directories:?}");
    found.sort();
    found
}

/// Content of a file.
pub fn text(path: &Path) -> String {
    std::fs::read_to_string(root().join(path))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
