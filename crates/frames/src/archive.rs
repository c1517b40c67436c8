//! Archive of stored ZIP entries, written to a stream.
//!
//! Entries are stored because PNG and similar formats cannot be compressed further. Each entry has
//! its final size and CRC in its local header: some readers reject stored entries with a data
//! descriptor. [`ZipWriter`] fills them in after the data, for which it seeks back; a [`Window`]
//! over the current entry makes that possible on a stream. Times and attributes are fixed, so the
//! same entries always produce the same bytes.

use std::cell::{Cell, RefCell};
use std::io::{self, Cursor, Seek, SeekFrom, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZIP64_BYTES_THR, ZipWriter};

/// Permissions of an entry: readable by all, writable by its owner.
const PERMISSIONS: u32 = 0o644;

/// Archive that is being written. It keeps the current entry and a record of each earlier one in
/// memory.
pub(crate) struct Archive<W> {
    sink: W,
    zip: ZipWriter<Window>,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(sink: W) -> Self {
        Self { sink, zip: ZipWriter::new(Window::default()) }
    }

    /// Add an entry. Return the offset of its data in the archive.
    pub(crate) fn add(&mut self, name: &str, data: &[u8]) -> io::Result<u64> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            // 1980-01-01, the first date that the format can represent.
            .last_modified_time(DateTime::default())
            .system(System::Unix)
            .unix_permissions(PERMISSIONS)
            .large_file(data.len() as u64 >= ZIP64_BYTES_THR);
        let previous_end = self.size();
        self.zip.start_file(name, options)?;
        if let Some(window) = self.zip.get_ref() {
            // The previous entry is finished now.
            window.release(previous_end, &mut self.sink)?;
        }
        let offset = self.size();
        self.zip.write_all(data)?;
        Ok(offset)
    }

    /// Size of the archive so far, in bytes, without its directory.
    pub(crate) fn size(&self) -> u64 {
        self.zip.get_ref().map_or(0, Window::end)
    }

    /// Write the directory and return the size of the complete archive in bytes.
    pub(crate) fn finish(self) -> io::Result<u64> {
        let Self { mut sink, zip } = self;
        let window = zip.finish()?;
        sink.write_all(window.buffer.borrow().get_ref())?;
        sink.flush()?;
        Ok(window.end())
    }
}

/// End of a file that is being written, from its first entry on that is not finished.
///
/// The owner of the [`ZipWriter`] releases the bytes of finished entries to the sink. It has only
/// shared access to the window, so the fields are cells. The window has no access to the sink,
/// because a `ZipWriter` that is dropped still writes a directory, which must not follow a failed
/// archive.
#[derive(Default)]
struct Window {
    /// Offset of the buffer in the file.
    start: Cell<u64>,
    buffer: RefCell<Cursor<Vec<u8>>>,
}

impl Window {
    /// Size of the file.
    fn end(&self) -> u64 {
        self.start.get() + self.buffer.borrow().get_ref().len() as u64
    }

    /// Move the bytes before the offset `until` to `sink`.
    fn release(&self, until: u64, sink: &mut impl Write) -> io::Result<()> {
        let mut buffer = self.buffer.borrow_mut();
        let finished = (until - self.start.get()) as usize;
        sink.write_all(&buffer.get_ref()[..finished])?;
        let position = buffer.position() - finished as u64;
        buffer.get_mut().drain(..finished);
        buffer.set_position(position);
        self.start.set(until);
        Ok(())
    }
}

impl Write for Window {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.get_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Window {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let start = self.start.get();
        let position = match position {
            SeekFrom::Start(offset) => {
                let released = || io::Error::new(io::ErrorKind::InvalidInput, "already written");
                SeekFrom::Start(offset.checked_sub(start).ok_or_else(released)?)
            }
            relative => relative,
        };
        Ok(start + self.buffer.get_mut().seek(position)?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;
    use zip::ZipArchive;

    use super::*;

    /// Counts all bytes and keeps the last ones.
    #[derive(Default)]
    struct Tail {
        size: u64,
        last: Vec<u8>,
    }

    impl Tail {
        const KEPT: usize = 4096;
    }

    impl Write for Tail {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.size += bytes.len() as u64;
            self.last.extend_from_slice(&bytes[bytes.len().saturating_sub(Self::KEPT)..]);
            self.last.drain(..self.last.len().saturating_sub(Self::KEPT));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Archive of these entries, and the offset of each one's data.
    fn archive<N: AsRef<str>, D: AsRef<[u8]>>(entries: &[(N, D)]) -> (Vec<u8>, Vec<u64>) {
        let mut file = Vec::new();
        let mut archive = Archive::new(&mut file);
        let offsets = entries
            .iter()
            .map(|(name, data)| archive.add(name.as_ref(), data.as_ref()).expect("memory suffices"))
            .collect();
        let size = archive.finish().expect("memory suffices");
        assert_eq!(size, file.len() as u64);
        (file, offsets)
    }

    fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
        bytes.windows(part.len()).rposition(|window| window == part)
    }

    fn u16_at(bytes: &[u8], at: usize) -> u16 {
        u16::from_le_bytes([bytes[at], bytes[at + 1]])
    }

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    }

    #[test]
    fn local_headers_hold_the_final_size_and_crc() {
        let (file, offsets) =
            archive(&[("a.png", b"first".as_slice()), ("b.png", b"second!".as_slice())]);
        assert_eq!(offsets, [35, 35 + 5 + 35]);
        for (offset, data) in offsets.iter().zip([b"first".as_slice(), b"second!"]) {
            let header = &file[*offset as usize - 35..];
            assert!(header.starts_with(b"PK\x03\x04"));
            let (flags, method) = (u16_at(header, 6), u16_at(header, 8));
            assert_eq!((flags & 1 << 3, method), (0, 0), "data descriptor, method");
            assert_eq!((u16_at(header, 10), u16_at(header, 12)), (0, 1 << 5 | 1), "1980-01-01");
            assert_eq!(u32_at(header, 14), crc32fast::hash(data));
            assert_eq!(u32_at(header, 18), data.len() as u32, "compressed size");
            assert_eq!(u32_at(header, 22), data.len() as u32, "size");
            assert_eq!((u16_at(header, 26), u16_at(header, 28)), (5, 0), "name, extra field");
            assert_eq!(&header[35..35 + data.len()], data);
        }
        let record = position(&file, b"PK\x01\x02").expect("a directory");
        assert_eq!(file[record + 5], 3, "attributes are those of Unix");
        assert_eq!(u32_at(&file, record + 38), 0o100_644 << 16, "attributes");
        assert_eq!(position(&file, b"PK\x06\x06"), None, "no zip64 without need");
    }

    #[test]
    fn releases_each_entry_when_the_next_is_added() {
        let mut file = Vec::new();
        let mut archive = Archive::new(&mut file);
        archive.add("first", b"data").expect("memory suffices");
        archive.add("second", b"more data").expect("memory suffices");
        assert_eq!(archive.sink.len(), 30 + 5 + 4);
        drop(archive);
        assert_eq!(file.len(), 30 + 5 + 4, "an archive that is dropped writes nothing more");
    }

    #[test]
    fn more_than_65535_entries_can_be_read_back() {
        let entries: Vec<_> = (0..70_000_u32).map(|n| (n.to_string(), n.to_le_bytes())).collect();
        let (file, _) = archive(&entries);
        let mut archive = ZipArchive::new(Cursor::new(file)).expect("a valid directory");
        assert_eq!(archive.len(), 70_000);
        let mut data = Vec::new();
        let mut last = archive.by_name("69999").expect("the last entry");
        last.read_to_end(&mut data).expect("a valid CRC");
        assert_eq!(data, 69_999_u32.to_le_bytes());
    }

    #[test]
    fn only_entries_beyond_four_gibibytes_have_zip64_fields() {
        let mut tail = Tail::default();
        let mut archive = Archive::new(&mut tail);
        // 64 entries of 64 MiB, and their headers of 38 bytes, exceed 32 bits.
        let data = vec![0; 64 << 20];
        for n in 0..=64 {
            archive.add(&format!("entry {n:02}"), &data).expect("the sink accepts everything");
        }
        let size = archive.finish().expect("the sink accepts everything");
        assert_eq!(size, tail.size);
        let offset = 64 * ((64_u64 << 20) + 38);
        let name = position(&tail.last, b"entry 64").expect("a directory record");
        let extra: Vec<u8> =
            [&1_u16.to_le_bytes()[..], &8_u16.to_le_bytes(), &offset.to_le_bytes()].concat();
        assert_eq!(&tail.last[name + 8..][..12], extra);
        let previous = position(&tail.last, b"entry 63").expect("a directory record");
        let next = &tail.last[previous + 8..][..4];
        assert_eq!(next, b"PK\x01\x02", "no extra field of an entry below four gibibytes");
        let zip64 = position(&tail.last, b"PK\x06\x06");
        assert!(zip64.is_some(), "the directory itself lies beyond four gibibytes");
    }

    proptest! {
        #[test]
        fn another_reader_reads_what_was_written(
            entries in prop::collection::btree_map(
                "[a-zA-Z0-9éß._-]{1,40}",
                prop::collection::vec(any::<u8>(), 0..2_000),
                0..20,
            )
        ) {
            let entries: Vec<_> = entries.into_iter().collect();
            let (file, offsets) = archive(&entries);
            let mut archive = ZipArchive::new(Cursor::new(&file)).expect("a valid directory");
            prop_assert_eq!(archive.len(), entries.len());
            for (index, ((name, data), offset)) in entries.iter().zip(offsets).enumerate() {
                let mut entry = archive.by_index(index).expect("an entry");
                let mut read = Vec::new();
                entry.read_to_end(&mut read).expect("a valid CRC");
                let entry_name = entry.name().expect("a name in UTF-8");
                prop_assert_eq!((&*entry_name, &read), (name.as_str(), data));
                prop_assert_eq!(&file[offset as usize..][..data.len()], data.as_slice());
            }
        }
    }
}
