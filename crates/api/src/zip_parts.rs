//! Records of a ZIP with stored entries (APPNOTE.TXT 6.3.10).
//!
//! The crate `zip` needs each entry in memory before it writes it, so the size of an archive would
//! be known only at its end. Entries of a stored archive have their sizes and checksums in their
//! local headers, which are copied, so only these records are left to be written.

/// Size of a local header without a name, in bytes (4.3.7).
const LOCAL_BYTES: usize = 30;
/// Size of a directory record without a name, in bytes (4.3.12).
const RECORD_BYTES: u64 = 46;
/// Size of the ZIP64 offset in a directory record, in bytes (4.5.3).
const RECORD_ZIP64_BYTES: u64 = 12;
/// Size of the end record, in bytes (4.3.16).
const END_BYTES: u64 = 22;
/// Size of the ZIP64 end record and its locator, in bytes (4.3.14 and 4.3.15).
const END_ZIP64_BYTES: u64 = 56 + 20;
/// Version that reads ZIP64 fields: 4.5.
const ZIP64_VERSION: u16 = 45;
/// Writer of the attributes: Unix, version 2.0.
const MADE_BY: u16 = u16::from_le_bytes([20, 3]);
/// Attributes of an entry: a file, readable by all, writable by its owner.
const ATTRIBUTES: u32 = 0o100_644 << 16;
/// Date of an entry, 1980-01-01, the first that the format can represent.
const DATE: u16 = 1 << 5 | 1;

/// Size of the local header of an entry, in bytes.
pub const fn local_bytes(name: &str) -> u64 {
    (LOCAL_BYTES + name.len()) as u64
}

/// Local header of a stored entry with an ASCII name.
pub fn local_header(name: &str, crc: u32, length: u32) -> Vec<u8> {
    let mut header = b"PK\x03\x04".to_vec();
    for number in [10, 0, 0, 0, DATE] {
        header.extend(u16::to_le_bytes(number));
    }
    for number in [crc, length, length] {
        header.extend(number.to_le_bytes());
    }
    header.extend((name.len() as u16).to_le_bytes());
    header.extend([0, 0]);
    header.extend(name.bytes());
    header
}

/// Local header at the start of `bytes`, if it is that of a stored entry with this name and length,
/// without extra fields.
pub fn checked_local_header<'a>(bytes: &'a [u8], name: &str, length: u64) -> Option<&'a [u8]> {
    let header = bytes.get(..LOCAL_BYTES + name.len())?;
    let length = u32::try_from(length).ok()?.to_le_bytes();
    let lengths = [(name.len() as u16).to_le_bytes(), [0, 0]].concat();
    let is_stored = header.starts_with(b"PK\x03\x04") && header[8..10] == [0, 0];
    let is_same = header[18..22] == length
        && header[22..26] == length
        && header[26..30] == *lengths
        && header[LOCAL_BYTES..] == *name.as_bytes();
    (is_stored && is_same).then_some(header)
}

/// Directory record of the entry at `offset` with this local header, whose fields it repeats.
pub fn directory_record(header: &[u8], offset: u64) -> Vec<u8> {
    let short_offset = short(offset);
    let is_zip64 = short_offset == u32::MAX;
    let extra_bytes = if is_zip64 { RECORD_ZIP64_BYTES as u16 } else { 0 };
    let mut record = b"PK\x01\x02".to_vec();
    record.extend(MADE_BY.to_le_bytes());
    if is_zip64 {
        record.extend(ZIP64_VERSION.to_le_bytes());
    } else {
        record.extend(&header[4..6]);
    }
    // Flags to length of the name, then lengths of extra fields and comment, disk, attributes.
    record.extend(&header[6..28]);
    for number in [extra_bytes, 0, 0, 0] {
        record.extend(number.to_le_bytes());
    }
    record.extend(ATTRIBUTES.to_le_bytes());
    record.extend(short_offset.to_le_bytes());
    record.extend(&header[LOCAL_BYTES..]);
    if is_zip64 {
        record.extend([1_u16.to_le_bytes(), 8_u16.to_le_bytes()].concat());
        record.extend(offset.to_le_bytes());
    }
    record
}

/// Size of the directory record of the entry `name` at `offset`, in bytes.
pub const fn record_bytes(name: &str, offset: u64) -> u64 {
    let extra = if short(offset) == u32::MAX { RECORD_ZIP64_BYTES } else { 0 };
    RECORD_BYTES + name.len() as u64 + extra
}

/// End of an archive of `count` entries, after a directory of `bytes` bytes at `offset`.
pub fn end(count: u16, offset: u64, bytes: u64) -> Vec<u8> {
    let mut end = Vec::new();
    if is_zip64_end(offset) {
        end.extend(b"PK\x06\x06");
        end.extend(44_u64.to_le_bytes());
        end.extend([MADE_BY.to_le_bytes(), ZIP64_VERSION.to_le_bytes()].concat());
        end.extend([0; 8]);
        for number in [u64::from(count), u64::from(count), bytes, offset] {
            end.extend(number.to_le_bytes());
        }
        end.extend(b"PK\x06\x07");
        end.extend([0; 4]);
        end.extend((offset + bytes).to_le_bytes());
        end.extend(1_u32.to_le_bytes());
    }
    end.extend(b"PK\x05\x06");
    end.extend([0; 4]);
    end.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    end.extend([short(bytes).to_le_bytes(), short(offset).to_le_bytes()].concat());
    end.extend([0; 2]);
    end
}

/// Size of the end of an archive whose directory is at `offset`, in bytes.
pub const fn end_bytes(offset: u64) -> u64 {
    END_BYTES + if is_zip64_end(offset) { END_ZIP64_BYTES } else { 0 }
}

/// Return whether the end needs ZIP64 records. The counts and the size of the directory never do.
const fn is_zip64_end(offset: u64) -> bool {
    short(offset) == u32::MAX
}

/// Number in a field of 32 bits: its maximum states that the number is in a ZIP64 field.
const fn short(number: u64) -> u32 {
    if number < u32::MAX as u64 { number as u32 } else { u32::MAX }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Seek, SeekFrom};

    use zip::ZipArchive;

    use super::*;

    #[test]
    fn sizes_are_those_of_the_records() {
        let header = local_header("a.png", 7, 9);
        assert_eq!(header.len() as u64, local_bytes("a.png"));
        for offset in [0, u64::from(u32::MAX) - 1, u64::from(u32::MAX), 5 << 30] {
            let record = directory_record(&header, offset);
            assert_eq!(record.len() as u64, record_bytes("a.png", offset), "{offset}");
            assert_eq!(end(1, offset, 60).len() as u64, end_bytes(offset), "{offset}");
        }
    }

    /// File of zeros with `tail` at `start`.
    struct Sparse {
        start: u64,
        tail: Vec<u8>,
        position: u64,
    }

    impl Read for Sparse {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let mut count = 0;
            for byte in bytes {
                let index = self.position.checked_sub(self.start).map(|index| index as usize);
                let Some(value) = index.map_or(Some(0), |index| self.tail.get(index).copied())
                else {
                    break;
                };
                *byte = value;
                self.position += 1;
                count += 1;
            }
            Ok(count)
        }
    }

    impl Seek for Sparse {
        fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
            let end = self.start + self.tail.len() as u64;
            self.position = match position {
                SeekFrom::Start(position) => position,
                SeekFrom::Current(distance) => self.position.saturating_add_signed(distance),
                SeekFrom::End(distance) => end.saturating_add_signed(distance),
            };
            Ok(self.position)
        }
    }

    #[test]
    fn another_reader_reads_archives_of_any_size() {
        for start in [0, u64::from(u32::MAX) - 60, 5 << 30] {
            let mut tail = Vec::new();
            let mut directory = Vec::new();
            for (name, data) in [("a.png", b"first".as_slice()), ("b.png", b"second!".as_slice())] {
                let header = local_header(name, crc32fast::hash(data), data.len() as u32);
                directory.extend(directory_record(&header, start + tail.len() as u64));
                tail.extend([header.as_slice(), data].concat());
            }
            let offset = start + tail.len() as u64;
            let end = end(2, offset, directory.len() as u64);
            tail.extend([directory, end].concat());
            let mut archive =
                ZipArchive::new(Sparse { start, tail, position: 0 }).expect("a valid directory");
            assert_eq!(archive.len(), 2);
            let mut data = Vec::new();
            let mut last = archive.by_name("b.png").expect("the last entry");
            last.read_to_end(&mut data).expect("a valid CRC");
            assert_eq!(data, b"second!", "from {start}");
        }
    }

    #[test]
    fn local_headers_of_other_entries_are_rejected() {
        let header = local_header("a.png", 7, 9);
        assert_eq!(checked_local_header(&header, "a.png", 9), Some(header.as_slice()));
        for (name, length) in [("b.png", 9), ("a.pn", 9), ("a.png", 8), ("a.png", 1 << 32)] {
            assert_eq!(checked_local_header(&header, name, length), None, "{name} {length}");
        }
        assert_eq!(checked_local_header(&header[1..], "a.png", 9), None);
        assert_eq!(checked_local_header(&header[..20], "a.png", 9), None);
    }
}
