//! Source of a video's bytes, and detection of its container.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use jobs::video::Container;
use parking_lot::Mutex;

use crate::composition;
use crate::error::Error;
use crate::limits::Stop;
use crate::structure::{self, Structure};

/// Anything that reads and seeks: a file, bytes in memory, ranges of a stored object.
pub trait Source: Read + Seek + Send + 'static {}

impl<T: Read + Seek + Send + 'static> Source for T {}

/// Container of a file that starts with `head`; `None` if it is not an accepted one.
///
/// libav never opens any other, so its playlist demuxers are unreachable.
///
/// Sources: ISO/IEC 14496-12 (box type at offset 4) and the `QuickTime` File Format for older
/// first atoms; RFC 8794 for EBML; the ASF specification 1.20 for its header GUID; the FLV
/// specification 10.1.
#[must_use]
pub fn detect_container(head: &[u8]) -> Option<Container> {
    const ASF: [u8; 16] = [
        0x30, 0x26, 0xB2, 0x75, 0x8E, 0x66, 0xCF, 0x11, 0xA6, 0xD9, 0x00, 0xAA, 0x00, 0x62, 0xCE,
        0x6C,
    ];
    match head {
        [_, _, _, _, b'f', b't', b'y', b'p', ..]
        | [_, _, _, _, b'm', b'o', b'o', b'v', ..]
        | [_, _, _, _, b'm', b'd', b'a', b't', ..]
        | [_, _, _, _, b'w', b'i', b'd', b'e', ..]
        | [_, _, _, _, b'f', b'r', b'e', b'e', ..]
        | [_, _, _, _, b's', b'k', b'i', b'p', ..]
        | [_, _, _, _, b'p', b'n', b'o', b't', ..] => Some(Container::Mov),
        [0x1A, 0x45, 0xDF, 0xA3, ..] => Some(Container::Matroska),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => Some(Container::Avi),
        [b'F', b'L', b'V', 1, ..] => Some(Container::Flv),
        _ if head.starts_with(&ASF) => Some(Container::Asf),
        _ => None,
    }
}

/// A source whose container is known, ready for libav.
pub(crate) struct OpenedSource {
    pub source: SharedSource,
    pub reader: GuardedReader,
    pub read_error: ReadError,
    pub container: Container,
    /// Size in bytes.
    pub size: u64,
}

/// Source that is read by one [`GuardedReader`] after another.
#[derive(Clone)]
pub(crate) struct SharedSource(Arc<Mutex<SourceState>>);

struct SourceState {
    bytes: Counted,
    /// Maximum number of bytes of one read.
    max_read: usize,
    position: u64,
    size: u64,
    container: Container,
    structure: Structure,
}

/// Source that counts what is read of it.
struct Counted {
    source: Box<dyn Source>,
    /// Number of bytes that were read.
    read: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.read += length as u64;
        Ok(length)
    }
}

impl Seek for Counted {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.source.seek(position)
    }
}

impl SharedSource {
    /// Number of bytes that were read so far. Bytes that were read twice count twice.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.0.lock().bytes.read
    }

    /// Limit the bytes that libav reads ahead of what it needs, or do not. Its buffer is as large
    /// as sequential reading requires.
    pub(crate) fn limit_read_ahead(&self, limited: bool) {
        /// Half of the first request of a remote store.
        const READ_AHEAD: usize = 128 << 10;
        self.0.lock().max_read = if limited { READ_AHEAD } else { usize::MAX };
    }

    /// Whether the beginning of a Matroska file refers to cues: its index.
    pub(crate) fn has_cues(&self) -> Result<bool, Error> {
        /// Beginning of a file that holds its first list of elements.
        const LIST: u64 = 4096;
        /// `SeekID` of `Cues` (RFC 9559, 5.1.1.1 and 5.1.5).
        const CUES: [u8; 7] = [0x53, 0xAB, 0x84, 0x1C, 0x53, 0xBB, 0x6B];
        self.read_aside(|bytes, _| {
            let mut head = Vec::new();
            bytes.rewind()?;
            bytes.take(LIST).read_to_end(&mut head)?;
            Ok(head.windows(CUES.len()).any(|bytes| bytes == CUES))
        })
    }

    /// Composition offsets of the `count` samples of a track of an MP4 file.
    pub(crate) fn composition_offsets(
        &self,
        track: u32,
        count: usize,
    ) -> Result<Option<Vec<i32>>, Error> {
        self.read_aside(|bytes, size| composition::offsets(bytes, size, track, count))
    }

    /// Read something without moving the reader. `read` receives the source and its size.
    fn read_aside<T>(
        &self,
        read: impl FnOnce(&mut Counted, u64) -> io::Result<T>,
    ) -> Result<T, Error> {
        let mut state = self.0.lock();
        let SourceState { bytes, position, size, .. } = &mut *state;
        let result = read(bytes, *size).map_err(Error::Read)?;
        bytes.seek(SeekFrom::Start(*position)).map_err(Error::Read)?;
        Ok(result)
    }

    /// How the file is known to be truncated, as an English phrase. `None` if it seems complete.
    /// No [`GuardedReader`] may be in use any more.
    pub(crate) fn truncation(&self) -> Result<Option<String>, Error> {
        /// Beginning of an FLV file that holds its metadata.
        const METADATA: u64 = 4096;
        let mut state = self.0.lock();
        let SourceState { bytes, size, container, structure, .. } = &mut *state;
        let truncated = structure.clone().truncated_element(bytes, *size).map_err(Error::Read)?;
        if let Some(offset) = truncated {
            return Ok(Some(format!(
                "the element at byte {offset} reaches past the end of the file at byte {size}"
            )));
        }
        if *container != Container::Flv {
            return Ok(None);
        }
        bytes.rewind().map_err(Error::Read)?;
        let mut head = Vec::new();
        bytes.take(METADATA).read_to_end(&mut head).map_err(Error::Read)?;
        let stated = structure::stated_flv_size(&head).filter(|stated| stated > size);
        Ok(stated.map(|stated| format!("it states a size of {stated} bytes, but has {size}")))
    }
}

/// Reader of a source that ends when the extraction is stopped, and keeps the first error, which
/// libav would reduce to a number.
pub(crate) struct GuardedReader {
    source: SharedSource,
    stop: Stop,
    error: Arc<Mutex<Option<io::Error>>>,
}

/// First error of a [`GuardedReader`], to be reported instead of libav's error.
#[derive(Clone)]
pub(crate) struct ReadError(Arc<Mutex<Option<io::Error>>>);

impl ReadError {
    pub(crate) fn take(&self) -> Option<Error> {
        self.0.lock().take().map(Error::Read)
    }
}

impl GuardedReader {
    /// Determine size and container of a source.
    pub(crate) fn open(source: Box<dyn Source>, stop: Stop) -> Result<OpenedSource, Error> {
        let mut inner = Counted { source, read: 0 };
        let size = inner.seek(SeekFrom::End(0)).map_err(Error::Read)?;
        if size == 0 {
            return Err(Error::EmptyFile);
        }
        inner.rewind().map_err(Error::Read)?;
        let mut head = Vec::with_capacity(Container::HEAD_BYTES);
        inner
            .by_ref()
            .take(Container::HEAD_BYTES as u64)
            .read_to_end(&mut head)
            .map_err(Error::Read)?;
        inner.rewind().map_err(Error::Read)?;
        let container = detect_container(&head).ok_or(Error::UnsupportedContainer)?;
        let structure = Structure::new(container);
        let state = SourceState {
            bytes: inner,
            max_read: usize::MAX,
            position: 0,
            size,
            container,
            structure,
        };
        let source = SharedSource(Arc::new(Mutex::new(state)));
        let read_error = ReadError(Arc::default());
        let reader = Self { source: source.clone(), stop, error: Arc::clone(&read_error.0) };
        Ok(OpenedSource { source, reader, read_error, container, size })
    }

    /// Read a source again from its start. The reader before must not be used any more.
    pub(crate) fn reopen(
        source: &SharedSource,
        stop: Stop,
        read_error: &ReadError,
    ) -> Result<Self, Error> {
        let mut state = source.0.lock();
        state.bytes.rewind().map_err(Error::Read)?;
        state.position = 0;
        drop(state);
        Ok(Self { source: source.clone(), stop, error: Arc::clone(&read_error.0) })
    }

    /// Keep the error if it is the first, and return one of the same kind.
    fn keep_error<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            self.error.lock().get_or_insert(error);
            kind.into()
        })
    }
}

impl Read for GuardedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.check().is_err() {
            return Err(io::ErrorKind::Other.into());
        }
        loop {
            let mut state = self.source.0.lock();
            let length = buffer.len().min(state.max_read);
            match state.bytes.read(&mut buffer[..length]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.keep_error(Err(error)),
                Ok(length) => {
                    let offset = state.position;
                    state.structure.observe(offset, &buffer[..length]);
                    state.position += length as u64;
                    return Ok(length);
                }
            }
        }
    }
}

impl Seek for GuardedReader {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let mut state = self.source.0.lock();
        let result = state.bytes.seek(position);
        if let Ok(position) = result {
            state.position = position;
        }
        drop(state);
        // A damaged file can request an impossible position. That is not an error of the storage.
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidInput) {
            return result;
        }
        self.keep_error(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_playlists_programs_and_other_files() {
        let rejected: [&[u8]; 6] = [
            b"#EXTM3U\n#EXT-X-TARGETDURATION",
            b"ffconcat version 1.0",
            b"<?xml version=\"1.0\"?><MPD",
            b"MZ\x90\x00",
            b"",
            b"RIFF\0\0\0\0WAVEfmt ",
        ];
        for head in rejected {
            assert_eq!(detect_container(head), None);
        }
    }

    #[test]
    fn detects_each_accepted_container() {
        assert_eq!(detect_container(b"\0\0\0\x20ftypisom\0\0\0\0"), Some(Container::Mov));
        assert_eq!(detect_container(b"\x1A\x45\xDF\xA3\x01\0\0\0"), Some(Container::Matroska));
        assert_eq!(detect_container(b"RIFF\x10\0\0\0AVI LIST"), Some(Container::Avi));
        assert_eq!(detect_container(b"FLV\x01\x05\0\0\0\x09"), Some(Container::Flv));
        let asf = [
            0x30, 0x26, 0xB2, 0x75, 0x8E, 0x66, 0xCF, 0x11, 0xA6, 0xD9, 0x00, 0xAA, 0x00, 0x62,
            0xCE, 0x6C,
        ];
        assert_eq!(detect_container(&asf), Some(Container::Asf));
    }
}
