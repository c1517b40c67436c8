//! Temporary directories that do not outlive the test process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Script that waits for the end of its standard input, at a drop or at the end of the test
/// process, and removes the directory, with a file system that is mounted on it. It retries,
/// because the server may still be writing its last log lines.
const JANITOR: &str = r#"
    trap '' HUP INT TERM
    read -r _
    umount --lazy "$1" 2>/dev/null
    for _ in $(seq 100); do
        rm -rf "$1" 2>/dev/null && exit
        sleep 0.1
    done
"#;

/// A temporary directory. A separate process removes it, even if the test process is killed.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    janitor: Child,
}

impl Directory {
    /// Create an empty directory with this prefix of its name.
    pub(crate) fn new(prefix: &str) -> Self {
        let path = tempfile::Builder::new()
            .prefix(&format!("{prefix}-"))
            .tempdir()
            .expect("a temporary directory")
            .keep();
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Self { path, janitor }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Path of a file in the directory, as text.
    pub(crate) fn join(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        let _ = self.janitor.wait();
    }
}
