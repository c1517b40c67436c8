//! Names of objects. No other module builds them.

use std::fmt;
use std::str::FromStr;

use jobs::{JobId, UserId, VideoFormat};

/// Name of an object.
///
/// ```text
/// videos/{user}/{job}/input.{suffix}        the uploaded video
/// videos/{user}/{job}/input-{fence}.{suffix} the video that one attempt fetched from its address
/// videos/{user}/{job}/output-{fence}.zip    the archive of one attempt
/// videos/{user}/{job}/tail-{fence}.part     the last bytes of a resumable upload
/// videos/{user}/{job}/preview-{fence}-{number}-{milliseconds}.jpg  a frame of a running attempt
/// ```
///
/// These are the only forms, so a key is always safe as a path and in a URL. Keys are ordered
/// by their bytes, as S3 lists them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    text: String,
    user_id: UserId,
    job_id: JobId,
    kind: Kind,
}

/// Kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Video,
    Archive,
    Tail,
    Preview(PreviewName),
}

/// Parts of the name of a preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PreviewName {
    /// Fence of the attempt.
    pub fence: i64,
    /// Number of the frame.
    pub number: u64,
    /// Timestamp of the frame, in milliseconds from the start of the video.
    pub milliseconds: u64,
}

impl Key {
    /// Prefix of all keys.
    pub const ROOT: &str = "videos/";

    /// Key of an uploaded video.
    #[must_use]
    pub fn input(user_id: UserId, job_id: JobId, format: VideoFormat) -> Self {
        let prefix = Self::job_prefix(user_id, job_id);
        let text = format!("{prefix}input.{}", format.suffix());
        Self { text, user_id, job_id, kind: Kind::Video }
    }

    /// Key of the video that the attempt with this fence fetched. Each attempt has its own, so that
    /// a delayed one cannot replace the video that another one reads.
    #[must_use]
    pub fn fetched(user_id: UserId, job_id: JobId, fence: i64, format: VideoFormat) -> Self {
        let prefix = Self::job_prefix(user_id, job_id);
        let text = format!("{prefix}input-{fence}.{}", format.suffix());
        Self { text, user_id, job_id, kind: Kind::Video }
    }

    /// Key of the archive of the attempt with this fence. Each attempt has its own, so that a
    /// delayed one cannot overwrite the archive of another.
    #[must_use]
    pub fn archive(user_id: UserId, job_id: JobId, fence: i64) -> Self {
        let prefix = Self::job_prefix(user_id, job_id);
        Self { text: format!("{prefix}output-{fence}.zip"), user_id, job_id, kind: Kind::Archive }
    }

    /// Key of the last bytes of a resumable upload, which the writer with this fence has stored.
    /// Each has its own, so that a delayed one cannot overwrite those of another.
    #[must_use]
    pub fn tail(user_id: UserId, job_id: JobId, fence: i64) -> Self {
        let prefix = Self::job_prefix(user_id, job_id);
        Self { text: format!("{prefix}tail-{fence}.part"), user_id, job_id, kind: Kind::Tail }
    }

    /// Key of the preview of a frame, as long as the attempt with this fence runs.
    #[must_use]
    pub fn preview(
        user_id: UserId,
        job_id: JobId,
        fence: i64,
        number: u64,
        milliseconds: u64,
    ) -> Self {
        let prefix = Self::previews_prefix(user_id, job_id);
        let text = format!("{prefix}{fence}-{number}-{milliseconds}.jpg");
        let kind = Kind::Preview(PreviewName { fence, number, milliseconds });
        Self { text, user_id, job_id, kind }
    }

    /// Prefix of the keys of all previews of a job, and of no others.
    #[must_use]
    pub fn previews_prefix(user_id: UserId, job_id: JobId) -> String {
        format!("{}preview-", Self::job_prefix(user_id, job_id))
    }

    /// Prefix of all keys of a job, and of no others.
    #[must_use]
    pub fn job_prefix(user_id: UserId, job_id: JobId) -> String {
        format!("{}{job_id}/", Self::user_prefix(user_id))
    }

    /// Prefix of all keys of a user, and of no others.
    #[must_use]
    pub fn user_prefix(user_id: UserId) -> String {
        format!("{}{user_id}/", Self::ROOT)
    }

    /// User who owns the object.
    #[must_use]
    pub const fn user_id(&self) -> UserId {
        self.user_id
    }

    /// Job that the object belongs to.
    #[must_use]
    pub const fn job_id(&self) -> JobId {
        self.job_id
    }

    /// Whether the object is an archive.
    #[must_use]
    pub const fn is_archive(&self) -> bool {
        matches!(self.kind, Kind::Archive)
    }

    /// Whether the object is a part of a resumable upload.
    #[must_use]
    pub const fn is_tail(&self) -> bool {
        matches!(self.kind, Kind::Tail)
    }

    /// Parts of the name, if the object is a preview.
    #[must_use]
    pub const fn as_preview(&self) -> Option<PreviewName> {
        match self.kind {
            Kind::Preview(name) => Some(name),
            _ => None,
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Error of parsing a text that is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the key of an object")]
pub struct InvalidKey(String);

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        // Numbers and UUIDs have several notations, but a key has only one: the one in which its
        // parts are written again.
        parse(text).filter(|key| key.text == text).ok_or_else(|| InvalidKey(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Key> {
    let mut parts = text.strip_prefix(Key::ROOT)?.splitn(3, '/');
    let user_id = parts.next()?.parse().ok()?;
    let job_id = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let format = |suffix| VideoFormat::ALL.into_iter().find(|format| format.suffix() == suffix);
    if let Some(suffix) = name.strip_prefix("input.") {
        return Some(Key::input(user_id, job_id, format(suffix)?));
    }
    if let Some((fence, suffix)) = name.strip_prefix("input-").and_then(|it| it.split_once('.')) {
        return Some(Key::fetched(user_id, job_id, fence.parse().ok()?, format(suffix)?));
    }
    if let Some(fence) = name.strip_prefix("tail-") {
        return Some(Key::tail(user_id, job_id, fence.strip_suffix(".part")?.parse().ok()?));
    }
    if let Some(parts) = name.strip_prefix("preview-") {
        let mut numbers = parts.strip_suffix(".jpg")?.splitn(3, '-');
        let fence = numbers.next()?.parse().ok()?;
        let (number, milliseconds) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        return Some(Key::preview(user_id, job_id, fence, number, milliseconds));
    }
    let fence = name.strip_prefix("output-")?.strip_suffix(".zip")?.parse().ok()?;
    Some(Key::archive(user_id, job_id, fence))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "0190a000-0000-7000-8000-0000000000aa";
    const JOB: &str = "0190a000-0000-7000-8000-0000000000bb";

    #[test]
    fn parses_every_key_it_writes() {
        let user_id: UserId = USER.parse().expect("a UUID");
        let job_id: JobId = JOB.parse().expect("a UUID");
        let prefix = format!("videos/{USER}/{JOB}/");
        assert_eq!(Key::job_prefix(user_id, job_id), prefix);
        assert_eq!(Key::archive(user_id, job_id, 12).as_str(), format!("{prefix}output-12.zip"));
        assert_eq!(
            Key::input(user_id, job_id, VideoFormat::Webm).as_str(),
            format!("{prefix}input.webm")
        );
        let videos = VideoFormat::ALL.map(|format| Key::input(user_id, job_id, format));
        let archives = [1, 2, i64::MAX].map(|fence| Key::archive(user_id, job_id, fence));
        let tails = [1, i64::MAX].map(|fence| Key::tail(user_id, job_id, fence));
        let fetched = Key::fetched(user_id, job_id, 7, VideoFormat::Mkv);
        assert_eq!(fetched.as_str(), format!("{prefix}input-7.mkv"));
        let preview = Key::preview(user_id, job_id, 7, 12, 11_500);
        assert_eq!(preview.as_str(), format!("{prefix}preview-7-12-11500.jpg"));
        let others = [fetched, preview];
        for key in videos.into_iter().chain(archives).chain(tails).chain(others) {
            assert_eq!(key.to_string().parse(), Ok(key.clone()));
            assert_eq!((key.user_id(), key.job_id()), (user_id, job_id));
            assert_eq!(key.is_archive(), key.as_str().contains("/output-"));
            assert_eq!(key.is_tail(), key.as_str().contains("/tail-"));
            assert_eq!(key.as_preview().is_some(), key.as_str().contains("/preview-"));
        }
    }

    #[test]
    fn rejects_everything_else() {
        let names = [
            "",
            "input",
            "input.",
            "input.exe",
            "input.MP4",
            "input.mp4/",
            "input.mp4\0",
            "input.mp4/../input.mp4",
            "input-.mp4",
            "input-01.mp4",
            "input-1.exe",
            "input-1.mp4.mp4",
            "output.zip",
            "output-.zip",
            "output-01.zip",
            "output-+1.zip",
            "output-1.zip ",
            "output-1.tar",
            "output-9223372036854775808.zip",
            "../output-1.zip",
            "tail-1",
            "tail-01.part",
            "tail-1.part/",
            "preview-1-2.jpg",
            "preview-1-02-3.jpg",
            "preview-1-2-3-4.jpg",
            "preview-1-2-3.png",
            "./input.mp4",
        ];
        let prefix = format!("videos/{USER}/{JOB}/");
        let upper = USER.to_uppercase();
        let without_hyphens = USER.replace('-', "");
        let texts = [
            "input.mp4".to_owned(),
            format!("/{prefix}input.mp4"),
            format!("./{prefix}input.mp4"),
            format!("videos//{USER}/{JOB}/input.mp4"),
            format!("videos/../{JOB}/input.mp4"),
            format!("videos/{USER}/../input.mp4"),
            format!("videos/{upper}/{JOB}/input.mp4"),
            format!("videos/{without_hyphens}/{JOB}/input.mp4"),
            format!("videos/{{{USER}}}/{JOB}/input.mp4"),
            format!("videos/{USER}/input.mp4"),
        ];
        for text in names.map(|name| format!("{prefix}{name}")).into_iter().chain(texts) {
            assert_eq!(text.parse::<Key>(), Err(InvalidKey(text)));
        }
    }
}
