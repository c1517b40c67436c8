//! Mails as files, for installations without a mail server: one `.eml` file each, which mail
//! programs can open.

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::fs;
use tokio::io::AsyncWriteExt;

use crate::error::Error;
use crate::mail::Mail;
use crate::mailer::Mailer;

/// Writes mails to a directory, which is created if it does not exist.
#[derive(Debug, Clone)]
pub struct FileMailer {
    directory: PathBuf,
}

impl FileMailer {
    /// Mailer that writes to `directory`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Write a file atomically.
    async fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.directory).await?;
        let temporary = self.directory.join(format!("{name}.part"));
        write_durably(&temporary, bytes).await?;
        fs::rename(&temporary, self.directory.join(name)).await
    }

    fn write_error(&self, error: &io::Error) -> Error {
        Error::transient(format!(
            "cannot write mails to the directory {}: {error}",
            self.directory.display()
        ))
    }
}

async fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path).await?;
    file.write_all(bytes).await?;
    file.sync_all().await
}

#[async_trait]
impl Mailer for FileMailer {
    /// Replaces the file of an earlier attempt.
    async fn send(&self, mail: &Mail) -> Result<(), Error> {
        self.write(&format!("{}.eml", mail.id()), &mail.bytes())
            .await
            .map_err(|error| self.write_error(&error))
    }

    async fn check(&self) -> Result<(), Error> {
        let write_test_file = async {
            self.write("check", b"").await?;
            fs::remove_file(self.directory.join("check")).await
        };
        write_test_file.await.map_err(|error| self.write_error(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::sample;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).expect("the directory");
        entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect()
    }

    #[tokio::test]
    async fn sending_again_replaces_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = FileMailer::new(directory.path().join("mails"));
        let mail = sample("ana@example.com", "Ana");
        for _ in 0..2 {
            files.send(&mail).await.expect("the mail is written");
        }
        let path = directory.path().join("mails");
        assert_eq!(names(&path), [format!("{}.eml", mail.id())]);
        let written = std::fs::read(path.join(format!("{}.eml", mail.id()))).expect("the mail");
        assert_eq!(written, mail.bytes());
    }

    #[tokio::test]
    async fn check_leaves_no_file_and_names_the_directory() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("mails");
        FileMailer::new(&path).check().await.expect("the directory is writable");
        assert_eq!(names(&path), [""; 0]);

        std::fs::write(directory.path().join("file"), b"").expect("a file");
        let blocked = directory.path().join("file/mails");
        let error = FileMailer::new(&blocked).check().await.expect_err("no directory below a file");
        assert!(error.to_string().contains(&blocked.display().to_string()), "{error}");
        assert!(!error.permanent);
    }
}
