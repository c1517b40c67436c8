//! Where the bytes of a video come from, and what kind of container they are.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex};

use crate::{Error, Stop};

/// Anything that reads and seeks: a file, bytes in memory, ranges of a stored object.
pub trait Source: Read + Seek + Send + 'static {}

impl<T: Read + Seek + Send + 'static> Source for T {}

/// The containers that are accepted. Nothing else is ever handed to libav, so its playlist demuxers
/// are out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Bytes from the start that tell all that this module wants to know.
    pub const HEAD: usize = 256;

    /// The container that starts with these bytes, if it is an accepted one.
    ///
    /// Sources: ISO/IEC 14496-12 (box type at offset 4) and the `QuickTime` File Format for the
    /// older first atoms; RFC 8794 for EBML; the ASF specification 1.20 for its header GUID; the
    /// FLV specification 10.1.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        const ASF: [u8; 16] = [
            0x30, 0x26, 0xB2, 0x75, 0x8E, 0x66, 0xCF, 0x11, 0xA6, 0xD9, 0x00, 0xAA, 0x00, 0x62,
            0xCE, 0x6C,
        ];
        match head {
            [_, _, _, _, b'f', b't', b'y', b'p', ..]
            | [_, _, _, _, b'm', b'o', b'o', b'v', ..]
            | [_, _, _, _, b'm', b'd', b'a', b't', ..]
            | [_, _, _, _, b'w', b'i', b'd', b'e', ..]
            | [_, _, _, _, b'f', b'r', b'e', b'e', ..]
            | [_, _, _, _, b's', b'k', b'i', b'p', ..]
            | [_, _, _, _, b'p', b'n', b'o', b't', ..] => Some(Self::Mov),
            [0x1A, 0x45, 0xDF, 0xA3, ..] => Some(Self::Matroska),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => Some(Self::Avi),
            [b'F', b'L', b'V', 1, ..] => Some(Self::Flv),
            _ if head.starts_with(&ASF) => Some(Self::Asf),
            _ => None,
        }
    }

    /// Where a file that starts with these bytes says that it ends, in bytes from its start.
    ///
    /// Sources: RFC 9559 for Matroska's one Segment; the AVI RIFF file reference for the size of
    /// the first RIFF chunk, after which larger files have more. Live recordings and the other
    /// containers do not say.
    #[must_use]
    pub fn declared_end(self, head: &[u8]) -> Option<u64> {
        match self {
            Self::Avi => Some(u64::from(u32::from_le_bytes(head.get(4..8)?.try_into().ok()?)) + 8),
            Self::Matroska => {
                let (header, at) = ebml_size(head, 4)?;
                let segment = at + usize::try_from(header).ok()?;
                let id = head.get(segment..segment + 4)?;
                let (size, at) = ebml_size(head, segment + 4)?;
                (id == [0x18, 0x53, 0x80, 0x67]).then(|| size.saturating_add(at as u64))
            }
            Self::Mov | Self::Asf | Self::Flv => None,
        }
    }

    /// libav's name of the demuxer.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mov => "mov",
            Self::Matroska => "matroska",
            Self::Avi => "avi",
            Self::Asf => "asf",
            Self::Flv => "flv",
        }
    }
}

/// The size of an EBML element that stands at `at`, and where its data begins; `None` where the
/// size is unknown (RFC 8794, 6).
fn ebml_size(head: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = *head.get(at)?;
    let length = first.leading_zeros() as usize + 1;
    let bytes = head.get(at..at + length.min(8))?;
    let size = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        & ((1 << (7 * bytes.len())) - 1);
    (size != (1 << (7 * bytes.len())) - 1).then_some((size, at + bytes.len()))
}

/// What is known of a source before libav sees it.
pub(crate) struct Opened {
    pub watched: Watched,
    pub failure: ReadFailure,
    pub container: Container,
    /// Bytes.
    pub size: u64,
    /// The file itself says that it should be longer.
    pub cut_off: bool,
}

/// A source under watch: it ends when the stop is asked for, and remembers the error that libav
/// would reduce to a number.
pub(crate) struct Watched {
    inner: Box<dyn Source>,
    stop: Stop,
    failure: Arc<Mutex<Option<io::Error>>>,
}

/// The first error that reading the source gave, to be asked for when libav has given up.
#[derive(Clone)]
pub(crate) struct ReadFailure(Arc<Mutex<Option<io::Error>>>);

impl ReadFailure {
    pub(crate) fn take(&self) -> Option<Error> {
        let mut failure = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        failure.take().map(Error::Read)
    }
}

impl Watched {
    /// Find out how long the source is and what container it holds, and put it under watch.
    pub(crate) fn open(mut inner: Box<dyn Source>, stop: Stop) -> Result<Opened, Error> {
        let size = inner.seek(SeekFrom::End(0)).map_err(Error::Read)?;
        if size == 0 {
            return Err(Error::EmptyFile);
        }
        inner.rewind().map_err(Error::Read)?;
        let mut head = Vec::with_capacity(Container::HEAD);
        inner.by_ref().take(Container::HEAD as u64).read_to_end(&mut head).map_err(Error::Read)?;
        inner.rewind().map_err(Error::Read)?;
        let container = Container::of(&head).ok_or(Error::UnsupportedContainer)?;
        let failure = Arc::default();
        let watched = Self { inner, stop, failure: Arc::clone(&failure) };
        let cut_off = container.declared_end(&head).is_some_and(|end| end > size);
        Ok(Opened { watched, failure: ReadFailure(failure), container, size, cut_off })
    }

    fn remember<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            let mut failure =
                self.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            failure.get_or_insert(error);
            kind.into()
        })
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.check().is_err() {
            return Err(io::ErrorKind::Other.into());
        }
        loop {
            match self.inner.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return self.remember(result),
            }
        }
    }
}

impl Seek for Watched {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let result = self.inner.seek(position);
        // A damaged file can ask for an impossible place; that is the file's fault, not the
        // storage's.
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidInput) {
            return result;
        }
        self.remember(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playlists_programs_and_noise_are_no_container() {
        let refused: [&[u8]; 6] = [
            b"#EXTM3U\n#EXT-X-TARGETDURATION",
            b"ffconcat version 1.0",
            b"<?xml version=\"1.0\"?><MPD",
            b"MZ\x90\x00",
            b"",
            b"RIFF\0\0\0\0WAVEfmt ",
        ];
        for head in refused {
            assert_eq!(Container::of(head), None);
        }
    }

    #[test]
    fn a_file_that_should_be_longer_is_known() {
        let riff = b"RIFF\x10\0\0\0AVI LIST";
        assert_eq!(Container::Avi.declared_end(riff), Some(24));
        let mut segment = b"\x1A\x45\xDF\xA3\x82ab\x18\x53\x80\x67\x01\0\0\0\0\0\x10\0".to_vec();
        assert_eq!(Container::Matroska.declared_end(&segment), Some(19 + 0x1000));
        segment[12..].fill(0xFF);
        assert_eq!(
            Container::Matroska.declared_end(&segment),
            None,
            "a live recording does not know its length"
        );
        assert_eq!(Container::Matroska.declared_end(b"\x1A\x45\xDF\xA3"), None);
    }

    #[test]
    fn each_accepted_container_is_known_by_its_first_bytes() {
        assert_eq!(Container::of(b"\0\0\0\x20ftypisom\0\0\0\0"), Some(Container::Mov));
        assert_eq!(Container::of(b"\x1A\x45\xDF\xA3\x01\0\0\0"), Some(Container::Matroska));
        assert_eq!(Container::of(b"RIFF\x10\0\0\0AVI LIST"), Some(Container::Avi));
        assert_eq!(Container::of(b"FLV\x01\x05\0\0\0\x09"), Some(Container::Flv));
        let asf = [
            0x30, 0x26, 0xB2, 0x75, 0x8E, 0x66, 0xCF, 0x11, 0xA6, 0xD9, 0x00, 0xAA, 0x00, 0x62,
            0xCE, 0x6C,
        ];
        assert_eq!(Container::of(&asf), Some(Container::Asf));
    }
}
