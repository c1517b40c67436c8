//! Accepted video formats, their containers, and safe file names.

/// Container of a video file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// ISO base media and `QuickTime`: .mp4, .mov.
    Mov,
    /// Matroska and `WebM`: .mkv, .webm.
    Matroska,
    /// RIFF AVI: .avi.
    Avi,
    /// Advanced Systems Format: .wmv.
    Asf,
    /// Flash Video: .flv.
    Flv,
}

impl Container {
    /// Number of bytes from the start of a file that identify its container.
    pub const HEAD_BYTES: usize = 256;

    /// libav's name of the demuxer.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mov => "mov",
            Self::Matroska => "matroska",
            Self::Avi => "avi",
            Self::Asf => "asf",
            Self::Flv => "flv",
        }
    }
}

/// Format of a video file, identified by its suffix.
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
    /// All formats.
    pub const ALL: [Self; 7] =
        [Self::Mp4, Self::Avi, Self::Mov, Self::Mkv, Self::Wmv, Self::Flv, Self::Webm];

    /// Suffix of file names, in lower case and without the dot.
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

    /// Format that the suffix of a file name stands for; `None` if it is not accepted.
    #[must_use]
    pub fn from_filename(name: &str) -> Option<Self> {
        let (stem, suffix) = name.rsplit_once('.')?;
        Self::ALL
            .into_iter()
            .find(|format| !stem.is_empty() && format.suffix().eq_ignore_ascii_case(suffix))
    }

    /// Container of the format. Formats with the same container are interchangeable.
    #[must_use]
    pub const fn container(self) -> Container {
        match self {
            Self::Mp4 | Self::Mov => Container::Mov,
            Self::Mkv | Self::Webm => Container::Matroska,
            Self::Avi => Container::Avi,
            Self::Wmv => Container::Asf,
            Self::Flv => Container::Flv,
        }
    }
}

/// Maximum length of a file name in characters. Longer names are shortened in the middle.
pub const MAX_FILENAME_CHARS: usize = 200;

/// Length of the end that a shortened name keeps, in characters.
const KEPT_END_CHARS: usize = 20;

/// Return a client's file name in a form that is safe to show, log and offer for download: without
/// directories, control characters and bidirectional formatting, and at most
/// [`MAX_FILENAME_CHARS`] long. The suffix is kept.
#[must_use]
pub fn safe_filename(sent: &str) -> String {
    // Explicit formatting characters of Unicode Standard Annex 9, which can make `exe.4pm` look
    // like `mp4.exe`.
    let is_bidi_formatting = |char| {
        matches!(char, '\u{061C}' | '\u{200E}' | '\u{200F}')
            || matches!(char, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    let name = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: Vec<char> =
        name.chars().filter(|char| !char.is_control() && !is_bidi_formatting(*char)).collect();
    if clean.len() <= MAX_FILENAME_CHARS {
        return clean.into_iter().collect::<String>().trim().to_owned();
    }
    let start = &clean[..MAX_FILENAME_CHARS - KEPT_END_CHARS - 1];
    let end = &clean[clean.len() - KEPT_END_CHARS..];
    start.iter().chain(['…'].iter()).chain(end).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detects_formats_by_suffix() {
        assert_eq!(VideoFormat::from_filename("holiday.mp4"), Some(VideoFormat::Mp4));
        assert_eq!(VideoFormat::from_filename("a.b.WebM"), Some(VideoFormat::Webm));
        for rejected in ["mp4", ".mp4", "holiday.mp3", "holiday.mp4.exe", "holiday", ""] {
            assert_eq!(VideoFormat::from_filename(rejected), None, "{rejected}");
        }
    }

    #[test]
    fn removes_deceptive_parts_of_file_names() {
        assert_eq!(safe_filename("férias na praia.mp4"), "férias na praia.mp4");
        assert_eq!(safe_filename("../../etc/passwd.mp4"), "passwd.mp4");
        assert_eq!(safe_filename("C:\\videos\\a.mov"), "a.mov");
        assert_eq!(safe_filename("a\0b\r\nc.mkv"), "abc.mkv");
        assert_eq!(safe_filename("harmless\u{202E}4pm.exe"), "harmless4pm.exe");
        let long = safe_filename(&format!("{}.webm", "x".repeat(300)));
        assert_eq!(long.chars().count(), MAX_FILENAME_CHARS);
        assert_eq!(VideoFormat::from_filename(&long), Some(VideoFormat::Webm));
    }
}
