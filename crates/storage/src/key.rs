//! The names of objects. They are built here and nowhere else.

use std::fmt;
use std::str::FromStr;

use jobs::{JobId, UserId, VideoFormat};

/// The name of an object.
///
/// ```text
/// videos/{user}/{job}/input.{suffix}        the video as it was uploaded
/// videos/{user}/{job}/output-{fence}.zip    the archive that one attempt made
/// ```
///
/// There are no others, so a key is always safe as a path and in a URL. Keys sort as S3 lists them,
/// by their bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    text: String,
    user: UserId,
    job: JobId,
}

impl Key {
    /// What all keys begin with.
    pub const ROOT: &str = "videos/";

    /// The key of an uploaded video.
    #[must_use]
    pub fn input(user: UserId, job: JobId, format: VideoFormat) -> Self {
        Self { text: format!("{}input.{}", Self::folder(user, job), format.suffix()), user, job }
    }

    /// The key of the archive that the attempt with this fence makes. Each attempt has its own, so
    /// that one that woke up too late cannot touch what another has made.
    #[must_use]
    pub fn archive(user: UserId, job: JobId, fence: i64) -> Self {
        Self { text: format!("{}output-{fence}.zip", Self::folder(user, job)), user, job }
    }

    /// What all keys of a job begin with, and no others.
    #[must_use]
    pub fn folder(user: UserId, job: JobId) -> String {
        format!("{}{user}/{job}/", Self::ROOT)
    }

    /// Whose object it is, and of which job.
    #[must_use]
    pub const fn job(&self) -> (UserId, JobId) {
        (self.user, self.job)
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

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the key of an object")]
pub struct UnknownKey(String);

impl FromStr for Key {
    type Err = UnknownKey;

    fn from_str(text: &str) -> Result<Self, UnknownKey> {
        // Numbers can be written in several ways, keys in one only: it has to be the one that the
        // parts give again.
        parse(text).filter(|key| key.text == text).ok_or_else(|| UnknownKey(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Key> {
    let mut parts = text.strip_prefix(Key::ROOT)?.splitn(3, '/');
    let (user, job, name) =
        (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
    if let Some(suffix) = name.strip_prefix("input.") {
        let format = VideoFormat::ALL.into_iter().find(|format| format.suffix() == suffix)?;
        return Some(Key::input(user, job, format));
    }
    let fence = name.strip_prefix("output-")?.strip_suffix(".zip")?.parse().ok()?;
    Some(Key::archive(user, job, fence))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "0190a000-0000-7000-8000-0000000000aa";
    const JOB: &str = "0190a000-0000-7000-8000-0000000000bb";

    #[test]
    fn keys_read_as_they_are_written() {
        let (user, job): (UserId, JobId) =
            (USER.parse().expect("a UUID"), JOB.parse().expect("a UUID"));
        let folder = format!("videos/{USER}/{JOB}/");
        assert_eq!(Key::folder(user, job), folder);
        assert_eq!(Key::archive(user, job, 12).as_str(), format!("{folder}output-12.zip"));
        assert_eq!(
            Key::input(user, job, VideoFormat::Webm).as_str(),
            format!("{folder}input.webm")
        );
        let keys = VideoFormat::ALL.map(|format| Key::input(user, job, format)).into_iter();
        for key in keys.chain([1, 2, i64::MAX].map(|fence| Key::archive(user, job, fence))) {
            assert_eq!(key.to_string().parse(), Ok(key.clone()));
            assert_eq!(key.job(), (user, job));
        }
    }

    #[test]
    fn nothing_else_is_a_key() {
        let names = [
            "",
            "input",
            "input.",
            "input.exe",
            "input.MP4",
            "input.mp4/",
            "input.mp4\0",
            "input.mp4/../input.mp4",
            "output.zip",
            "output-.zip",
            "output-01.zip",
            "output-+1.zip",
            "output-1.zip ",
            "output-1.tar",
            "output-9223372036854775808.zip",
            "../output-1.zip",
            "./input.mp4",
        ];
        let folder = format!("videos/{USER}/{JOB}/");
        let upper = USER.to_uppercase();
        let simple = USER.replace('-', "");
        let texts = [
            "input.mp4".to_owned(),
            format!("/{folder}input.mp4"),
            format!("./{folder}input.mp4"),
            format!("videos//{USER}/{JOB}/input.mp4"),
            format!("videos/../{JOB}/input.mp4"),
            format!("videos/{USER}/../input.mp4"),
            format!("videos/{upper}/{JOB}/input.mp4"),
            format!("videos/{simple}/{JOB}/input.mp4"),
            format!("videos/{{{USER}}}/{JOB}/input.mp4"),
            format!("videos/{USER}/input.mp4"),
        ];
        for text in names.map(|name| format!("{folder}{name}")).into_iter().chain(texts) {
            assert_eq!(text.parse::<Key>(), Err(UnknownKey(text)));
        }
    }
}
