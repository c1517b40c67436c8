//! Mails as files, for those who have no mail server: one `.eml` each, which mail programs open.

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::fs;
use tokio::io::AsyncWriteExt;

use crate::{Error, Mail, Mailer};

/// Writes mails into a directory, which is made if it is not there.
#[derive(Debug, Clone)]
pub struct Files {
    directory: PathBuf,
}

impl Files {
    /// A mailer that writes into `directory`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Write a file that is there complete or not at all.
    async fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.directory).await?;
        let part = self.directory.join(format!("{name}.part"));
        write_durably(&part, bytes).await?;
        fs::rename(&part, self.directory.join(name)).await
    }

    fn failed(&self, error: &io::Error) -> Error {
        Error::transient(format!(
            "mails cannot be written to the directory {}: {error}",
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
impl Mailer for Files {
    /// A repetition takes the place of the first.
    async fn send(&self, mail: &Mail) -> Result<(), Error> {
        self.write(&format!("{}.eml", mail.id()), &mail.bytes())
            .await
            .map_err(|error| self.failed(&error))
    }

    async fn check(&self) -> Result<(), Error> {
        let probe = async {
            self.write("check", b"").await?;
            fs::remove_file(self.directory.join("check")).await
        };
        probe.await.map_err(|error| self.failed(&error))
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
    async fn a_repetition_is_the_same_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = Files::new(directory.path().join("mails"));
        let mail = sample("ana@example.com", "Ana");
        for _ in 0..2 {
            files.send(&mail).await.expect("a written mail");
        }
        let path = directory.path().join("mails");
        assert_eq!(names(&path), [format!("{}.eml", mail.id())]);
        let written = std::fs::read(path.join(format!("{}.eml", mail.id()))).expect("the mail");
        assert_eq!(written, mail.bytes());
    }

    #[tokio::test]
    async fn a_check_leaves_nothing_and_names_what_is_wrong() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("mails");
        Files::new(&path).check().await.expect("a directory to write to");
        assert_eq!(names(&path), [""; 0]);

        std::fs::write(directory.path().join("file"), b"").expect("a file");
        let blocked = directory.path().join("file/mails");
        let error = Files::new(&blocked).check().await.expect_err("no directory below a file");
        assert!(error.to_string().contains(&blocked.display().to_string()), "{error}");
        assert!(!error.permanent);
    }
}
