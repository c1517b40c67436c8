//! Writes a ZIP archive (APPNOTE.TXT 6.3.10) to anything that takes bytes in order.
//!
//! Entries are stored, since PNGs do not shrink further. Each is whole before it is written, so its
//! local header holds the true CRC and sizes; several readers refuse stored entries that tell these
//! only afterwards. Times and attributes are fixed, so the same entries give the same bytes.

use std::io::{self, Write};

/// 1980-01-01, the first day that a ZIP can name (APPNOTE 4.4.6, MS-DOS date).
const DATE: u16 = 1 << 5 | 1;
/// Bit 11 of the flags: names are UTF-8 (APPNOTE 4.4.4).
const UTF8: u16 = 1 << 11;
/// Version 2.0 to extract; 4.5 where zip64 fields stand (APPNOTE 4.4.3.2).
const PLAIN_VERSION: u16 = 20;
const ZIP64_VERSION: u16 = 45;
/// Upper byte of "version made by": UNIX, so that the attributes below hold (APPNOTE 4.4.2.2).
const MADE_ON_UNIX: u16 = 3 << 8;
/// A regular file that all may read and its owner may write, in the upper half (stat.h's `S_IFREG |
/// 0644`).
const ATTRIBUTES: u32 = 0o100_644 << 16;

/// An archive under way. It holds one small record per entry until [`Archive::finish`].
pub(crate) struct Archive<W> {
    sink: W,
    at: u64,
    entries: Vec<Entry>,
}

struct Entry {
    name: String,
    crc: u32,
    size: u64,
    offset: u64,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(sink: W) -> Self {
        Self { sink, at: 0, entries: Vec::new() }
    }

    /// Write an entry; returns the offset of its first byte of data in the archive. `crc` is the
    /// CRC-32 of `data`.
    pub(crate) fn add(&mut self, name: String, crc: u32, data: &[u8]) -> io::Result<u64> {
        let entry = Entry { name, crc, size: data.len() as u64, offset: self.at };
        let (size, zip64) = field32(entry.size);
        let mut header = Vec::with_capacity(64 + entry.name.len());
        header.extend_from_slice(b"PK\x03\x04");
        put16(&mut header, if zip64 { ZIP64_VERSION } else { PLAIN_VERSION });
        entry.put_common(&mut header, size);
        put16(&mut header, entry.name.len() as u16);
        put16(&mut header, if zip64 { 20 } else { 0 });
        header.extend_from_slice(entry.name.as_bytes());
        if zip64 {
            // APPNOTE 4.5.3: in a local header both sizes must stand.
            put_zip64_extra(&mut header, &[entry.size, entry.size]);
        }
        self.write(&header)?;
        let data_at = self.at;
        self.write(data)?;
        self.entries.push(entry);
        Ok(data_at)
    }

    /// Bytes written so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.at
    }

    /// Write the directory of all entries; the archive is complete then. Gives back its size in
    /// bytes.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        let directory_at = self.at;
        let entries = std::mem::take(&mut self.entries);
        for entry in &entries {
            self.write(&entry.directory_record())?;
        }
        let directory_size = self.at - directory_at;
        let mut end = Vec::new();
        let ((size, a), (offset, b)) = (field32(directory_size), field32(directory_at));
        let count = u16::try_from(entries.len()).unwrap_or(u16::MAX);
        if a || b || count == u16::MAX {
            put_zip64_end(&mut end, entries.len() as u64, directory_size, directory_at, self.at);
        }
        end.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        put16(&mut end, count);
        put16(&mut end, count);
        put32(&mut end, size);
        put32(&mut end, offset);
        put16(&mut end, 0);
        self.write(&end)?;
        self.sink.flush()?;
        Ok(self.at)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

impl Entry {
    /// The fields that local header and directory share (APPNOTE 4.3.7 and 4.3.12).
    fn put_common(&self, header: &mut Vec<u8>, size: u32) {
        put16(header, UTF8);
        put16(header, 0); // stored
        put16(header, 0); // midnight
        put16(header, DATE);
        put32(header, self.crc);
        put32(header, size);
        put32(header, size);
    }

    fn directory_record(&self) -> Vec<u8> {
        let ((size, large), (offset, far)) = (field32(self.size), field32(self.offset));
        let mut wide = Vec::new();
        if large {
            wide.extend([self.size, self.size]);
        }
        if far {
            wide.push(self.offset);
        }
        let version = if wide.is_empty() { PLAIN_VERSION } else { ZIP64_VERSION };
        let mut record = Vec::with_capacity(80 + self.name.len());
        record.extend_from_slice(b"PK\x01\x02");
        put16(&mut record, MADE_ON_UNIX | version);
        put16(&mut record, version);
        self.put_common(&mut record, size);
        put16(&mut record, self.name.len() as u16);
        put16(&mut record, if wide.is_empty() { 0 } else { 4 + 8 * wide.len() as u16 });
        put16(&mut record, 0); // no comment
        put16(&mut record, 0); // first disk
        put16(&mut record, 0); // binary
        put32(&mut record, ATTRIBUTES);
        put32(&mut record, offset);
        record.extend_from_slice(self.name.as_bytes());
        if !wide.is_empty() {
            put_zip64_extra(&mut record, &wide);
        }
        record
    }
}

/// A number for a field of 32 bits: itself, or all ones where it stands in a zip64 field instead.
fn field32(number: u64) -> (u32, bool) {
    match u32::try_from(number) {
        Ok(number) if number != u32::MAX => (number, false),
        _ => (u32::MAX, true),
    }
}

/// APPNOTE 4.5.3.
fn put_zip64_extra(bytes: &mut Vec<u8>, numbers: &[u64]) {
    put16(bytes, 1);
    put16(bytes, 8 * numbers.len() as u16);
    for number in numbers {
        put64(bytes, *number);
    }
}

/// The zip64 end of directory and its locator (APPNOTE 4.3.14 and 4.3.15).
fn put_zip64_end(
    bytes: &mut Vec<u8>,
    entries: u64,
    directory_size: u64,
    directory_at: u64,
    at: u64,
) {
    bytes.extend_from_slice(b"PK\x06\x06");
    put64(bytes, 44);
    put16(bytes, MADE_ON_UNIX | ZIP64_VERSION);
    put16(bytes, ZIP64_VERSION);
    put64(bytes, 0); // this disk and the directory's
    put64(bytes, entries);
    put64(bytes, entries);
    put64(bytes, directory_size);
    put64(bytes, directory_at);
    bytes.extend_from_slice(b"PK\x06\x07\0\0\0\0");
    put64(bytes, at);
    put32(bytes, 1);
}

fn put16(bytes: &mut Vec<u8>, number: u16) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn put32(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn put64(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts everything and keeps the last bytes.
    #[derive(Default)]
    struct Tail {
        bytes: u64,
        last: Vec<u8>,
    }

    impl Write for Tail {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.bytes += bytes.len() as u64;
            self.last.extend_from_slice(&bytes[bytes.len().saturating_sub(4096)..]);
            self.last.drain(..self.last.len().saturating_sub(4096));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
        bytes.windows(what.len()).rposition(|window| window == what)
    }

    #[test]
    fn more_entries_than_the_old_format_counts_are_all_found() {
        let mut file = Vec::new();
        let mut archive = Archive::new(&mut file);
        for n in 0..70_000_u32 {
            archive
                .add(format!("{n}"), crc32fast::hash(&n.to_le_bytes()), &n.to_le_bytes())
                .expect("memory takes everything");
        }
        archive.finish().expect("memory takes everything");
        let mut archive =
            zip::ZipArchive::new(io::Cursor::new(file)).expect("the directory is read");
        assert_eq!(archive.len(), 70_000);
        let mut last = Vec::new();
        io::Read::read_to_end(
            &mut archive.by_name("69999").expect("the last entry is there"),
            &mut last,
        )
        .expect("its CRC is right");
        assert_eq!(last, 69_999_u32.to_le_bytes());
    }

    #[test]
    fn only_an_entry_past_four_gibibytes_has_wide_fields() {
        let mut tail = Tail::default();
        let mut archive = Archive::new(&mut tail);
        let gibibyte = vec![0; 1 << 30];
        for n in 0..5 {
            archive.add(format!("entry {n}"), 0, &gibibyte).expect("the sink takes everything");
        }
        let size = archive.finish().expect("the sink takes everything");
        assert_eq!(size, tail.bytes);
        // Local headers of 37 bytes; the fifth entry begins at 4 * (1 GiB + 37), past what 32 bits
        // hold.
        let fifth = 4 * ((1_u64 << 30) + 37);
        let name = find(&tail.last, b"entry 4").expect("the directory names the entry");
        let extra: Vec<u8> =
            [&1_u16.to_le_bytes()[..], &8_u16.to_le_bytes(), &fifth.to_le_bytes()].concat();
        assert_eq!(&tail.last[name + 7..][..12], extra);
        let fourth = find(&tail.last, b"entry 3").expect("the directory names the entry");
        assert_eq!(
            &tail.last[fourth + 7..][..4],
            b"PK\x01\x02",
            "no extra field behind the fourth entry's name"
        );
        assert!(
            find(&tail.last, b"PK\x06\x06").is_some(),
            "the directory itself lies past four gibibytes"
        );
    }
}
