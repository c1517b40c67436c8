//! Temporary directories that do not outlive the test process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Ends when its standard input does, by a drop or because the process at the other end is gone,
/// and takes the directory along. The server may be writing its last words into it just then, so a
/// few tries may be needed.
const JANITOR: &str = r#"trap '' HUP INT TERM; read -r _; for _ in $(seq 100); do rm -rf "$1" 2>/dev/null && exit; sleep 0.1; done"#;

/// A temporary directory. A process of its own removes it, which a test process that is killed
/// could not.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    janitor: Child,
}

impl Directory {
    /// A new, empty directory whose name says what it is for.
    pub(crate) fn new(name: &str) -> Self {
        let path = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
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
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        let _ = self.janitor.wait();
    }
}
