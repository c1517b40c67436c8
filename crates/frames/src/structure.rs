//! Structure of a file: whether it ends within an element of its container.
//!
//! libav treats the end of a truncated file mostly as a regular end. So the elements are followed
//! here by their stated sizes, in the bytes that libav reads anyway. What it does not read is
//! visited at the end.

use std::io::{Read, Seek, SeekFrom};

use jobs::video::Container;

/// Maximum size of an element's header, in bytes: that of ASF.
const MAX_HEADER: usize = 24;

/// Follows the elements of a file.
#[derive(Debug, Clone)]
pub(crate) struct Structure {
    container: Container,
    /// Offset of the latest element.
    latest: u64,
    /// Offset of the next element.
    next: u64,
    /// Beginning of its header, as far as it was read.
    header: Vec<u8>,
    /// Whether the element at `next` is not one of the container, so that nothing can be said about
    /// the rest.
    lost: bool,
}

/// Extent of an element, from its header.
#[derive(Debug, PartialEq, Eq)]
enum Extent {
    /// The next element is at this distance.
    Known(u64),
    /// It ends with the file.
    Open,
    /// More bytes of the header are needed.
    Incomplete,
    /// It is not an element of the container.
    Invalid,
}

impl Extent {
    fn known(length: Option<u64>) -> Self {
        length.map_or(Self::Invalid, Self::Known)
    }
}

impl Structure {
    pub(crate) fn new(container: Container) -> Self {
        Self { container, latest: 0, next: 0, header: Vec::new(), lost: false }
    }

    /// Follow the elements that begin in these bytes, which are at an offset of the file.
    pub(crate) fn observe(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        loop {
            let wanted = self.next.saturating_add(self.header.len() as u64);
            if self.lost || !(offset..end).contains(&wanted) {
                return;
            }
            let rest = &bytes[(wanted - offset) as usize..];
            let missing = MAX_HEADER - self.header.len();
            self.header.extend_from_slice(&rest[..missing.min(rest.len())]);
            match extent(self.container, self.next, &self.header) {
                Extent::Known(length) => self.advance(length),
                Extent::Incomplete if self.header.len() < MAX_HEADER => return,
                Extent::Open | Extent::Incomplete | Extent::Invalid => self.lost = true,
            }
        }
    }

    fn advance(&mut self, length: u64) {
        self.latest = self.next;
        self.next = self.next.saturating_add(length);
        self.header.clear();
    }

    /// Follow the remaining elements in a file of `size` bytes. Return the offset of the element
    /// within which the file ends, if there is one.
    pub(crate) fn truncated_element(
        mut self,
        file: &mut (impl Read + Seek),
        size: u64,
    ) -> std::io::Result<Option<u64>> {
        while !self.lost && self.next < size {
            file.seek(SeekFrom::Start(self.next))?;
            self.header.clear();
            file.by_ref().take(MAX_HEADER as u64).read_to_end(&mut self.header)?;
            match extent(self.container, self.next, &self.header) {
                Extent::Known(length) => self.advance(length),
                Extent::Open | Extent::Invalid => self.lost = true,
                Extent::Incomplete => return Ok(Some(self.next)),
            }
        }
        let missing = self.next.saturating_sub(size);
        let truncated = !self.lost && !may_be_absent(self.container, missing);
        Ok(truncated.then_some(self.latest))
    }
}

/// Whether a complete file may lack this number of bytes at the end of its last element.
fn may_be_absent(container: Container, missing: u64) -> bool {
    match container {
        // Some programs count the header of the chunk as part of it.
        Container::Avi => missing <= 8,
        // Some programs write no size field behind the last tag.
        Container::Flv => missing == 0 || missing == 4,
        Container::Mov | Container::Matroska | Container::Asf => missing == 0,
    }
}

/// Extent of the element at `offset` of a file, whose header begins with these bytes.
fn extent(container: Container, offset: u64, header: &[u8]) -> Extent {
    match container {
        Container::Mov => box_extent(header),
        Container::Matroska => ebml_extent(header),
        Container::Avi => chunk_extent(header),
        Container::Asf => object_extent(header),
        Container::Flv if offset == 0 => flv_header_extent(header),
        Container::Flv => tag_extent(header),
    }
}

/// Numbers of `N` bytes at an offset.
fn bytes<const N: usize>(header: &[u8], at: usize) -> Option<[u8; N]> {
    header.get(at..at + N)?.try_into().ok()
}

/// Extent of a box (ISO/IEC 14496-12, 4.2).
fn box_extent(header: &[u8]) -> Extent {
    let (Some(size), Some(name)) = (bytes::<4>(header, 0), bytes::<4>(header, 4)) else {
        return Extent::Incomplete;
    };
    match u32::from_be_bytes(size) {
        0 => Extent::Open,
        _ if !name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') => Extent::Invalid,
        1 => match bytes(header, 8) {
            Some(size) => Extent::known(Some(u64::from_be_bytes(size)).filter(|size| *size >= 16)),
            None => Extent::Incomplete,
        },
        size => Extent::known(Some(u64::from(size)).filter(|size| *size >= 8)),
    }
}

/// Extent of an element (RFC 8794, sections 5 and 6). The elements within a segment or cluster of
/// unknown size follow its header.
fn ebml_extent(header: &[u8]) -> Extent {
    const SEGMENT: u32 = 0x1853_8067;
    const CLUSTER: u32 = 0x1F43_B675;
    let length = |at: usize| header.get(at).map(|first| first.leading_zeros() as usize + 1);
    let Some(id_length) = length(0) else { return Extent::Incomplete };
    if id_length > 4 {
        return Extent::Invalid;
    }
    let Some(size_length) = length(id_length) else { return Extent::Incomplete };
    if size_length > 8 {
        return Extent::Invalid;
    }
    let Some(size) = header.get(id_length..id_length + size_length) else {
        return Extent::Incomplete;
    };
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let unknown = (1 << (7 * size_length)) - 1;
    let start = (id_length + size_length) as u64;
    match number(size) & unknown {
        size if size != unknown => Extent::known(start.checked_add(size)),
        _ if [SEGMENT, CLUSTER].map(u64::from).contains(&number(&header[..id_length])) => {
            Extent::known(Some(start))
        }
        _ => Extent::Invalid,
    }
}

/// Extent of a top-level chunk (AVI RIFF file reference; `OpenDML` AVI file format extensions).
fn chunk_extent(header: &[u8]) -> Extent {
    const NAME: &[u8] = b"RIFF";
    if !header.starts_with(&NAME[..NAME.len().min(header.len())]) {
        return Extent::Invalid;
    }
    let Some(size) = bytes::<4>(header, 4).map(u32::from_le_bytes).map(u64::from) else {
        return Extent::Incomplete;
    };
    // Recordings that were not finished state no size.
    if size == 0 {
        return Extent::Invalid;
    }
    Extent::Known(8 + size + size % 2)
}

/// Extent of a top-level object (ASF specification 1.20, section 2.1).
fn object_extent(header: &[u8]) -> Extent {
    let Some(size) = bytes(header, 16).map(u64::from_le_bytes) else { return Extent::Incomplete };
    Extent::known(Some(size).filter(|size| *size >= 24))
}

/// Extent of the header of an FLV file, with the size field behind it (FLV specification 10.1,
/// E.2 and E.3).
fn flv_header_extent(header: &[u8]) -> Extent {
    let Some(offset) = bytes(header, 5).map(u32::from_be_bytes) else { return Extent::Incomplete };
    if offset < 9 {
        return Extent::Invalid;
    }
    Extent::Known(u64::from(offset) + 4)
}

/// Extent of a tag, with the size field behind it (FLV specification 10.1, E.4.1).
fn tag_extent(header: &[u8]) -> Extent {
    const AUDIO: u8 = 8;
    const VIDEO: u8 = 9;
    const SCRIPT: u8 = 18;
    let [kind, high, middle, low, _, _, _, _, _, _, _, ..] = *header else {
        return Extent::Incomplete;
    };
    if ![AUDIO, VIDEO, SCRIPT].contains(&(kind & 31)) {
        return Extent::Invalid;
    }
    let size = u32::from_be_bytes([0, high, middle, low]);
    Extent::Known(11 + u64::from(size) + 4)
}

/// Size of an FLV file that its metadata state, in bytes. `head` is its beginning.
pub(crate) fn stated_flv_size(head: &[u8]) -> Option<u64> {
    // A name in a list of properties, followed by the mark of a number (AMF 0, 2.2).
    const PROPERTY: &[u8] = b"filesize\0";
    let at = head.windows(PROPERTY.len()).position(|bytes| bytes == PROPERTY)?;
    let size = f64::from_be_bytes(bytes(head, at + PROPERTY.len())?);
    (size >= 0.0).then_some(size as u64)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn truncated(container: Container, file: &[u8]) -> Option<u64> {
        let size = file.len() as u64;
        Structure::new(container)
            .truncated_element(&mut Cursor::new(file), size)
            .expect("memory can be read")
    }

    /// A file of each container, and the offsets at which it can be cut between two elements.
    fn files() -> [(Container, Vec<u8>, Vec<usize>); 5] {
        let mut mov = b"\0\0\0\x10ftypisom\0\0\0\0".to_vec();
        mov.extend(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x18 8 bytes");
        mov.extend(b"\0\0\0\x08free");
        let mut matroska = b"\x1A\x45\xDF\xA3\x82ab".to_vec();
        matroska.extend(b"\x18\x53\x80\x67\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
        matroska.extend(b"\x1F\x43\xB6\x75\xFF\xA3\x84data\xA3\x81d");
        let avi = b"RIFF\x14\0\0\0AVI 16 further bytesRIFF\x14\0\0\0AVIX16 further bytes".to_vec();
        let asf =
            [[7; 16].as_slice(), &26_u64.to_le_bytes(), b"ab", &[8; 16], &24_u64.to_le_bytes()];
        let mut flv = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
        flv.extend(b"\x09\0\0\x03\0\0\0\0\0\0\0abc\0\0\0\x0E");
        flv.extend(b"\x08\0\0\x01\0\0\0\0\0\0\0a\0\0\0\x0C");
        [
            (Container::Mov, mov, vec![16, 40]),
            (Container::Matroska, matroska, vec![7, 19, 24, 30]),
            (Container::Avi, avi, vec![28]),
            (Container::Asf, asf.concat(), vec![26]),
            (Container::Flv, flv, vec![13, 31]),
        ]
    }

    #[test]
    fn a_complete_file_is_not_truncated() {
        for (container, file, _) in files() {
            assert_eq!(truncated(container, &file), None, "{container:?}");
        }
    }

    #[test]
    fn a_file_that_ends_within_an_element_is_truncated() {
        for (container, file, mut between) in files() {
            between.push(file.len());
            for end in 1..file.len() {
                let mut missing = between.iter().filter_map(|at| at.checked_sub(end));
                let is_between = missing.any(|missing| may_be_absent(container, missing as u64));
                let found = truncated(container, &file[..end]);
                assert_eq!(found.is_some(), !is_between, "{container:?}, {end} bytes: {found:?}");
            }
        }
    }

    #[test]
    fn padding_and_foreign_data_are_not_judged() {
        let (_, mov, _) = &files()[0];
        for rest in [b"\0\0\0\0\0\0\0\0\0\0".as_slice(), b"\x7F\xFF\0\x01\x02\x03\x04\x05"] {
            assert_eq!(truncated(Container::Mov, &[mov, rest].concat()), None);
        }
    }

    #[test]
    fn reads_the_stated_size_of_an_flv_file() {
        let mut head = b"FLV\x01...\0\x08filesize\0".to_vec();
        head.extend(1234.0_f64.to_be_bytes());
        assert_eq!(stated_flv_size(&head), Some(1234));
        assert_eq!(stated_flv_size(b"filesize\0"), None);
        assert_eq!(stated_flv_size(b"FLV"), None);
    }

    proptest! {
        #[test]
        fn what_was_observed_does_not_matter(
            index in 0..5_usize,
            cut in 1..60_usize,
            pieces in prop::collection::vec((0..60_usize, 0..40_usize), 0..12),
        ) {
            let (container, file, _) = &files()[index];
            let file = &file[..cut.min(file.len())];
            let mut structure = Structure::new(*container);
            for (start, length) in pieces {
                let start = start.min(file.len());
                structure.observe(start as u64, &file[start..(start + length).min(file.len())]);
            }
            let size = file.len() as u64;
            let found = structure.truncated_element(&mut Cursor::new(file), size);
            prop_assert_eq!(found.expect("memory can be read"), truncated(*container, file));
        }
    }
}
