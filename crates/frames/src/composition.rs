//! Composition offsets of an MP4 or MOV file: how much later than its decoding time each frame is
//! displayed. libav reads them, but does not expose them before the packets.

use std::io::{Read, Result, Seek, SeekFrom};
use std::ops::Range;

/// Largest plausible offset (FFmpeg 5.1, libavformat/mov.c, `mov_read_ctts`).
const MAX_OFFSET: i32 = 1 << 28;

/// Offset of each of the `count` samples of a track, in units of its time base. `None` if they
/// cannot be determined.
///
/// Source: ISO/IEC 14496-12, 8.3.2 (`tkhd`) and 8.6.1.3 (`ctts`).
pub(crate) fn offsets(
    file: &mut (impl Read + Seek),
    size: u64,
    track: u32,
    count: usize,
) -> Result<Option<Vec<i32>>> {
    let Some(movie) = child(file, 0..size, *b"moov")? else { return Ok(None) };
    let mut rest = movie;
    while let Some(candidate) = child(file, rest.clone(), *b"trak")? {
        rest.start = candidate.end;
        if track_id(file, candidate.clone())? != Some(track) {
            continue;
        }
        let mut table = candidate;
        for name in [*b"mdia", *b"minf", *b"stbl"] {
            let Some(inner) = child(file, table, name)? else { return Ok(None) };
            table = inner;
        }
        return match child(file, table, *b"ctts")? {
            Some(offsets) => read_offsets(file, offsets, count),
            None => Ok(Some(vec![0; count])),
        };
    }
    Ok(None)
}

/// Content of the first box of this name within a range of the file.
fn child(
    file: &mut (impl Read + Seek),
    mut range: Range<u64>,
    name: [u8; 4],
) -> Result<Option<Range<u64>>> {
    while range.start < range.end {
        let mut header = Vec::new();
        file.seek(SeekFrom::Start(range.start))?;
        file.by_ref().take(16).read_to_end(&mut header)?;
        let Some((size, rest)) = header.split_first_chunk() else { return Ok(None) };
        let Some((found, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let (length, start) = match (u32::from_be_bytes(*size), rest.first_chunk()) {
            (0, _) => (range.end - range.start, 8),
            (1, Some(size)) => (u64::from_be_bytes(*size), 16),
            (size, _) => (u64::from(size), 8),
        };
        let end = range.start.checked_add(length).filter(|_| length >= start);
        let Some(end) = end.filter(|end| *end <= range.end) else { return Ok(None) };
        if *found == name {
            return Ok(Some(range.start + start..end));
        }
        range.start = end;
    }
    Ok(None)
}

/// Id that the header of a track states.
fn track_id(file: &mut (impl Read + Seek), track: Range<u64>) -> Result<Option<u32>> {
    let Some(header) = child(file, track, *b"tkhd")? else { return Ok(None) };
    let bytes = read(file, header.start..header.end.min(header.start + 24))?;
    let at = if bytes.first() == Some(&1) { 20 } else { 12 };
    Ok(bytes.get(at..at + 4).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes))
}

/// Offsets that a `ctts` box lists for `count` samples.
fn read_offsets(
    file: &mut (impl Read + Seek),
    table: Range<u64>,
    count: usize,
) -> Result<Option<Vec<i32>>> {
    /// Version, flags and number of entries.
    const HEADER: u64 = 8;
    const ENTRY: u64 = 8;
    if table.end - table.start > HEADER + ENTRY * count as u64 {
        return Ok(None);
    }
    let bytes = read(file, table)?;
    let Some((header, entries)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
    let stated = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let (entries, _) = entries.as_chunks::<8>();
    let Some(entries) = entries.get(..stated as usize) else { return Ok(None) };
    let mut offsets = Vec::with_capacity(count);
    for [a, b, c, d, offset @ ..] in entries {
        let (repeated, offset) =
            (u32::from_be_bytes([*a, *b, *c, *d]), i32::from_be_bytes(*offset));
        let total = offsets.len() + repeated as usize;
        if repeated == 0 || total > count || !(-MAX_OFFSET..MAX_OFFSET).contains(&offset) {
            return Ok(None);
        }
        offsets.resize(total, offset);
    }
    Ok((offsets.len() == count).then_some(offsets))
}

fn read(file: &mut (impl Read + Seek), range: Range<u64>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(range.start))?;
    file.take(range.end - range.start).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn boxed(name: [u8; 4], content: &[u8]) -> Vec<u8> {
        let size = (8 + content.len() as u32).to_be_bytes();
        [&size[..], &name, content].concat()
    }

    /// A movie with two tracks, of which the second has this table of offsets.
    fn movie(table: Option<&[(u32, i32)]>) -> Vec<u8> {
        let track = |id: u8, table: &[u8]| {
            let inner = boxed(*b"mdia", &boxed(*b"minf", &boxed(*b"stbl", table)));
            let header = boxed(*b"tkhd", &[[0; 12].as_slice(), &[0, 0, 0, id], &[0; 8]].concat());
            boxed(*b"trak", &[header, inner].concat())
        };
        let table = table.map_or_else(Vec::new, |entries| {
            let mut content = vec![0; 4];
            content.extend((entries.len() as u32).to_be_bytes());
            for (count, offset) in entries {
                content.extend(count.to_be_bytes());
                content.extend(offset.to_be_bytes());
            }
            [boxed(*b"stts", &[0; 8]), boxed(*b"ctts", &content)].concat()
        });
        let tracks = [track(1, &[]), track(2, &table)].concat();
        [boxed(*b"ftyp", b"isom"), boxed(*b"mdat", &[7; 100]), boxed(*b"moov", &tracks)].concat()
    }

    fn listed(file: &[u8], track: u32, count: usize) -> Option<Vec<i32>> {
        let size = file.len() as u64;
        offsets(&mut Cursor::new(file), size, track, count).expect("memory can be read")
    }

    #[test]
    fn lists_the_offset_of_each_sample() {
        let file = movie(Some(&[(1, 1024), (2, -512), (1, 0)]));
        assert_eq!(listed(&file, 2, 4), Some(vec![1024, -512, -512, 0]));
        assert_eq!(listed(&file, 1, 3), Some(vec![0; 3]), "a track without offsets");
        assert_eq!(listed(&file, 3, 4), None, "no such track");
        for count in [3, 5] {
            assert_eq!(listed(&file, 2, count), None, "another number of samples");
        }
    }

    #[test]
    fn rejects_implausible_tables() {
        for table in [&[(0, 1), (1, 1)][..], &[(1, i32::MIN)], &[(u32::MAX, 0)]] {
            assert_eq!(listed(&movie(Some(table)), 2, 1), None, "{table:?}");
        }
    }

    proptest! {
        #[test]
        fn damaged_movies_never_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut file = movie(Some(&[(1, 1024), (2, -512)]));
            for (at, byte) in changes {
                *at.get_mut(&mut file) = byte;
            }
            file.truncate(cut.index(file.len() + 1));
            listed(&file, 2, 3);
        }
    }
}
