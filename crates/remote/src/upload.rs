//! Upload of videos.

use std::path::Path;

use jobs::{MEGABYTE, Recipe};
use serde::Deserialize;

use crate::client::Client;
use crate::error::Error;
use crate::job::AcceptedVideo;
use crate::resumable_upload::metadata;
use crate::retry::{Call, Step};
use crate::upload_records::UploadRecords;
use crate::video_file::VideoFile;

/// Limits of uploads, and how a service receives them.
#[derive(Debug, Clone, Deserialize)]
pub struct UploadLimits {
    suffixes: Vec<String>,
    max_video_bytes: u64,
    /// Whether an upload can be continued.
    #[serde(skip)]
    is_resumable: bool,
}

impl UploadLimits {
    /// Return whether the service would accept the name and the size of a video, which it checks
    /// itself only when bytes have been sent.
    fn check(&self, video: &VideoFile) -> Result<(), Error> {
        let name = video.name.to_lowercase();
        if !self.suffixes.iter().any(|suffix| name.ends_with(suffix)) {
            let supported = self.suffixes.join(" ");
            let reason = format!("the format is not supported. Supported: {supported}");
            return Err(Error::file(&video.path, reason));
        }
        if video.size > self.max_video_bytes {
            let limit = self.max_video_bytes / MEGABYTE;
            let reason = format!("it is larger than {limit} MB, the limit of the service");
            return Err(Error::file(&video.path, reason));
        }
        Ok(())
    }
}

impl Client {
    /// Return the limits of uploads.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn upload_limits(&self) -> Result<UploadLimits, Error> {
        let limits: UploadLimits = Call::get("/videos/upload").send(self).await?;
        Ok(UploadLimits { is_resumable: self.has_resumable_uploads().await?, ..limits })
    }

    /// Upload a video, which is processed by a recipe. If the service supports it, an upload that
    /// was interrupted continues, by the records also in a later process.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn upload(
        &self,
        file: &Path,
        recipe: &Recipe,
        limits: &UploadLimits,
        records: &UploadRecords,
        report: &(dyn Fn(Step<'_>) + Sync),
    ) -> Result<AcceptedVideo, Error> {
        let video = VideoFile::new(file)?;
        limits.check(&video)?;
        match metadata(&video, recipe).filter(|_| limits.is_resumable) {
            Some(metadata) => self.upload_resumable(&video, &metadata, records, report).await,
            None => self.upload_form(&video, recipe, report).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sizes_are_checked_before_the_upload() {
        let limits = UploadLimits {
            suffixes: vec![".mp4".to_owned()],
            max_video_bytes: 2_000_000,
            is_resumable: false,
        };
        let check = |name: &str, size| {
            let (path, name) = (name.into(), name.to_owned());
            let video = VideoFile { path, name, size, modified: None };
            limits.check(&video).err().map(|error| error.to_string())
        };
        assert_eq!(check("A.MP4", 2_000_000), None);
        let text = "a.txt: the format is not supported. Supported: .mp4";
        assert_eq!(check("a.txt", 1).as_deref(), Some(text));
        assert!(check("a.mp4", 2_000_001).is_some_and(|text| text.contains("larger than 2 MB")));
    }
}
