//! Which files are accepted as videos, by their names.

/// A kind of video file, named by its suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoFormat {
    /// MPEG-4.
    Mp4,
    /// Audio Video Interleave.
    Avi,
    /// `QuickTime`.
    Mov,
    /// Matroska.
    Mkv,
    /// Windows Media.
    Wmv,
    /// Flash Video.
    Flv,
    /// `WebM`.
    Webm,
}

impl VideoFormat {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Mp4, Self::Avi, Self::Mov, Self::Mkv, Self::Wmv, Self::Flv, Self::Webm];

    /// The suffix, in lower case and without its dot.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Avi => "avi",
            Self::Mov => "mov",
            Self::Mkv => "mkv",
            Self::Wmv => "wmv",
            Self::Flv => "flv",
            Self::Webm => "webm",
        }
    }

    /// The format that a file of this name should have; none if its suffix is not accepted.
    #[must_use]
    pub fn of_filename(name: &str) -> Option<Self> {
        let (stem, suffix) = name.rsplit_once('.')?;
        Self::ALL
            .into_iter()
            .find(|format| !stem.is_empty() && format.suffix().eq_ignore_ascii_case(suffix))
    }

    /// libav's name of the container that such a file holds. Two suffixes that share a container
    /// may stand for each other.
    #[must_use]
    pub const fn container(self) -> &'static str {
        match self {
            Self::Mp4 | Self::Mov => "mov",
            Self::Mkv | Self::Webm => "matroska",
            Self::Avi => "avi",
            Self::Wmv => "asf",
            Self::Flv => "flv",
        }
    }
}

/// Longest name that is kept, in characters; a longer one loses its middle.
pub const LONGEST_FILENAME: usize = 200;

/// How much of its end a shortened name keeps, in characters.
const TAIL: usize = 20;

/// A file name as a client sent it, made safe to show, to log and to offer for download: without
/// directories, control characters and characters that change the direction of writing, and not too
/// long. The suffix stays.
#[must_use]
pub fn safe_filename(sent: &str) -> String {
    // Unicode Standard Annex 9: the explicit formatting characters, which can make `exe.4pm` look
    // like `mp4.exe`.
    let turns = |char| matches!(char, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let name = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: Vec<char> =
        name.chars().filter(|char| !char.is_control() && !turns(*char)).collect();
    if clean.len() <= LONGEST_FILENAME {
        return clean.into_iter().collect::<String>().trim().to_owned();
    }
    let (head, tail) = (&clean[..LONGEST_FILENAME - TAIL - 1], &clean[clean.len() - TAIL..]);
    head.iter().chain(['…'].iter()).chain(tail).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_suffix() {
        assert_eq!(VideoFormat::of_filename("holiday.mp4"), Some(VideoFormat::Mp4));
        assert_eq!(VideoFormat::of_filename("a.b.WebM"), Some(VideoFormat::Webm));
        for refused in ["mp4", ".mp4", "holiday.mp3", "holiday.mp4.exe", "holiday", ""] {
            assert_eq!(VideoFormat::of_filename(refused), None, "{refused}");
        }
    }

    #[test]
    fn names_lose_what_could_deceive() {
        assert_eq!(safe_filename("férias na praia.mp4"), "férias na praia.mp4");
        assert_eq!(safe_filename("../../etc/passwd.mp4"), "passwd.mp4");
        assert_eq!(safe_filename("C:\\videos\\a.mov"), "a.mov");
        assert_eq!(safe_filename("a\0b\r\nc.mkv"), "abc.mkv");
        assert_eq!(safe_filename("harmless\u{202E}4pm.exe"), "harmless4pm.exe");
        let long = safe_filename(&format!("{}.webm", "x".repeat(300)));
        assert_eq!(long.chars().count(), LONGEST_FILENAME);
        assert_eq!(VideoFormat::of_filename(&long), Some(VideoFormat::Webm));
    }
}
