//! Motion JPEG: tables that a packet uses but does not contain.
//!
//! A decoder keeps the tables of earlier packets. So a packet without its own can be decoded
//! independently only together with those in force.

use std::collections::{BTreeMap, BTreeSet};

// Markers of ITU-T T.81, table B.1.
const START_OF_IMAGE: u8 = 0xD8;
const START_OF_SCAN: u8 = 0xDA;
const END_OF_IMAGE: u8 = 0xD9;
const QUANTIZATION_TABLES: u8 = 0xDB;
const HUFFMAN_TABLES: u8 = 0xC4;
const ARITHMETIC_CODING: u8 = 0xCC;
const LOSSLESS_EXTENSION: u8 = 0xC8;
const FIRST_START_OF_FRAME: u8 = 0xC0;
const LAST_START_OF_FRAME: u8 = 0xCF;
const FIRST_RESTART: u8 = 0xD0;
const LAST_RESTART: u8 = 0xD7;

/// Kind and destination of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    Quantization(u8),
    /// Class (0 for DC coefficients, 1 for AC) and destination.
    Huffman(u8, u8),
}

/// Tables in force in a stream.
#[derive(Debug, Default)]
pub(super) struct Tables {
    latest: BTreeMap<Table, Vec<u8>>,
    /// Whether a packet relies on the Huffman tables that decoders assume if a stream has none
    /// (FFmpeg, libavcodec/mjpegdec.c, `init_default_huffman_tables`).
    uses_defaults: bool,
    /// Whether packets depend on tables that not all packets have.
    mixed: bool,
}

/// Tables of one packet.
#[derive(Debug, Default)]
struct PacketTables<'a> {
    /// Tables in the order of the packet.
    defined: Vec<(Table, &'a [u8])>,
    /// Tables that a scan uses before the packet defines them.
    borrowed: BTreeSet<Table>,
}

/// What a packet needs from earlier ones.
pub(super) enum Needed {
    Nothing,
    /// These bytes, behind the marker that starts the image.
    Tables(Vec<u8>),
    /// Tables that no earlier packet had.
    Unavailable,
}

impl Tables {
    /// Record the tables of the next packet. Return those that it needs from earlier ones.
    pub(super) fn update(&mut self, packet: &[u8]) -> Needed {
        let Some(PacketTables { defined, borrowed }) = parse(packet) else {
            return Needed::Unavailable;
        };
        let needed = self.needed(&borrowed);
        let is_huffman = |table: &Table| matches!(table, Table::Huffman(..));
        self.uses_defaults |= matches!(needed, Needed::Nothing) && !borrowed.is_empty();
        self.mixed |= matches!(needed, Needed::Tables(_))
            || self.uses_defaults && defined.iter().any(|(table, _)| is_huffman(table));
        for (table, content) in defined {
            let known = self.latest.entry(table).or_default();
            if known != content {
                *known = content.to_vec();
            }
        }
        needed
    }

    /// Whether the result of a packet may depend on the packets that its decoder decoded before.
    pub(super) fn are_mixed(&self) -> bool {
        self.mixed
    }

    fn needed(&self, borrowed: &BTreeSet<Table>) -> Needed {
        let is_default = |table: &Table| matches!(table, Table::Huffman(_, 0 | 1));
        let has_huffman = self.latest.keys().any(|table| matches!(table, Table::Huffman(..)));
        if !has_huffman && borrowed.iter().all(is_default) {
            return Needed::Nothing;
        }
        let mut segments = Vec::new();
        for table in borrowed {
            match self.latest.get(table) {
                Some(content) => append_segment(*table, content, &mut segments),
                None if !has_huffman && is_default(table) => {}
                None => return Needed::Unavailable,
            }
        }
        if segments.is_empty() { Needed::Nothing } else { Needed::Tables(segments) }
    }
}

/// The packet with further segments behind the marker that starts the image.
pub(super) fn with_segments(packet: &[u8], segments: &[u8]) -> Vec<u8> {
    let start = start_of_image(packet).unwrap_or(0);
    [&packet[..start], segments, &packet[start..]].concat()
}

/// Offset behind the marker that starts the image.
fn start_of_image(packet: &[u8]) -> Option<usize> {
    Some(packet.windows(2).position(|bytes| bytes == [0xFF, START_OF_IMAGE])? + 2)
}

/// Parse the segments of the first image of a packet. `None` if they are damaged.
fn parse(packet: &[u8]) -> Option<PacketTables<'_>> {
    let mut tables = PacketTables::default();
    let mut known = BTreeSet::new();
    let mut progressive = false;
    let mut rest = &packet[start_of_image(packet)?..];
    loop {
        let (marker, tail) = next_marker(rest)?;
        if matches!(marker, START_OF_IMAGE | END_OF_IMAGE) {
            return Some(tables);
        }
        let length = usize::from(u16::from_be_bytes([*tail.first()?, *tail.get(1)?]));
        let segment = tail.get(2..length)?;
        rest = tail.get(length..)?;
        let mut uses = Vec::new();
        match marker {
            QUANTIZATION_TABLES => define(quantization_tables(segment)?, &mut tables, &mut known),
            HUFFMAN_TABLES => define(huffman_tables(segment)?, &mut tables, &mut known),
            START_OF_SCAN => uses = scan_tables(segment, progressive)?,
            ARITHMETIC_CODING | LOSSLESS_EXTENSION => {}
            FIRST_START_OF_FRAME..=LAST_START_OF_FRAME => {
                progressive = marker & 3 == 2;
                let lossless = marker & 3 == 3;
                let components = segment.get(6..)?.chunks_exact(3);
                let quantization =
                    components.map(|component| Table::Quantization(component[2] & 15));
                uses = quantization.filter(|_| !lossless).collect();
            }
            _ => {}
        }
        tables.borrowed.extend(uses.into_iter().filter(|table| !known.contains(table)));
        // Only the scans of progressive images have tables between them.
        if marker == START_OF_SCAN && !progressive {
            return Some(tables);
        }
    }
}

fn define<'a>(
    new: Vec<(Table, &'a [u8])>,
    tables: &mut PacketTables<'a>,
    known: &mut BTreeSet<Table>,
) {
    // libav reads quantization tables when it decodes the scan, which follows all of them.
    for (table, _) in &new {
        known.insert(*table);
        if matches!(table, Table::Quantization(_)) {
            tables.borrowed.remove(table);
        }
    }
    tables.defined.extend(new);
}

/// The next marker, and what follows it. Entropy-coded data before it is skipped.
fn next_marker(mut data: &[u8]) -> Option<(u8, &[u8])> {
    loop {
        let at = data.iter().position(|byte| *byte == 0xFF)?;
        data = &data[at + 1..];
        match *data.first()? {
            // A stuffed byte, a restart, or padding before a marker.
            0 | 0xFF | FIRST_RESTART..=LAST_RESTART => {}
            marker => return Some((marker, &data[1..])),
        }
    }
}

/// Tables of a segment of quantization tables (ITU-T T.81, B.2.4.1).
fn quantization_tables(mut segment: &[u8]) -> Option<Vec<(Table, &[u8])>> {
    let mut tables = Vec::new();
    while let Some(head) = segment.first() {
        let length = 1 + if head >> 4 == 0 { 64 } else { 128 };
        let (table, rest) = segment.split_at_checked(length)?;
        tables.push((Table::Quantization(head & 15), table));
        segment = rest;
    }
    Some(tables)
}

/// Tables of a segment of Huffman tables, without their heads (ITU-T T.81, B.2.4.2).
fn huffman_tables(mut segment: &[u8]) -> Option<Vec<(Table, &[u8])>> {
    let mut tables = Vec::new();
    while let Some((head, rest)) = segment.split_first() {
        let count: usize = rest.get(..16)?.iter().map(|count| usize::from(*count)).sum();
        let (table, rest) = rest.split_at_checked(16 + count)?;
        tables.push((Table::Huffman(head >> 4, head & 15), table));
        segment = rest;
    }
    Some(tables)
}

/// Huffman tables that a scan uses (ITU-T T.81, B.2.3). In a progressive image, the first
/// coefficient of the scan decides which class they are of.
fn scan_tables(segment: &[u8], progressive: bool) -> Option<Vec<Table>> {
    let (count, rest) = segment.split_first()?;
    let (components, spectrum) = rest.split_at_checked(2 * usize::from(*count))?;
    let (&first, &refinement) = (spectrum.first()?, spectrum.get(2)?);
    let mut tables = Vec::new();
    for component in components.chunks_exact(2) {
        let uses_dc = !progressive || first == 0 && refinement >> 4 == 0;
        let uses_ac = !progressive || first > 0;
        if uses_dc {
            tables.push(Table::Huffman(0, component[1] >> 4));
        }
        if uses_ac {
            tables.push(Table::Huffman(1, component[1] & 15));
        }
    }
    Some(tables)
}

/// Append a segment with one table.
fn append_segment(table: Table, content: &[u8], bytes: &mut Vec<u8>) {
    let (marker, head) = match table {
        Table::Quantization(_) => (QUANTIZATION_TABLES, None),
        Table::Huffman(class, id) => (HUFFMAN_TABLES, Some(class << 4 | id)),
    };
    let length = (2 + usize::from(head.is_some()) + content.len()) as u16;
    bytes.extend([0xFF, marker]);
    bytes.extend(length.to_be_bytes());
    bytes.extend(head);
    bytes.extend(content);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Image with a quantization table and a Huffman table of each class, or without them.
    fn image(with_tables: bool) -> Vec<u8> {
        let mut image = vec![0xFF, START_OF_IMAGE];
        if with_tables {
            append_segment(Table::Quantization(0), &[0; 65], &mut image);
            for class in 0..2 {
                append_segment(Table::Huffman(class, 0), &[0; 16], &mut image);
            }
        }
        // One component of 8 by 8 pixels, and a scan of it.
        image.extend([0xFF, FIRST_START_OF_FRAME, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0]);
        image.extend([0xFF, START_OF_SCAN, 0, 8, 1, 1, 0, 0, 63, 0, 0x12, 0xFF, END_OF_IMAGE]);
        image
    }

    #[test]
    fn an_image_without_tables_needs_those_of_the_first_one() {
        let mut tables = Tables::default();
        assert!(matches!(tables.update(&image(false)), Needed::Unavailable));
        assert!(matches!(tables.update(&image(true)), Needed::Nothing));
        assert!(!tables.are_mixed());
        let Needed::Tables(segments) = tables.update(&image(false)) else {
            panic!("the tables of the first image are needed");
        };
        assert!(tables.are_mixed());
        assert_eq!(with_segments(&image(false), &segments), image(true));
    }

    #[test]
    fn standard_huffman_tables_are_not_added() {
        let mut without_huffman = vec![0xFF, START_OF_IMAGE];
        append_segment(Table::Quantization(0), &[0; 65], &mut without_huffman);
        without_huffman.extend(&image(false)[2..]);
        let mut tables = Tables::default();
        assert!(matches!(tables.update(&without_huffman), Needed::Nothing));
        assert!(matches!(tables.update(&without_huffman), Needed::Nothing));
        assert!(!tables.are_mixed());
        tables.update(&image(true));
        assert!(tables.are_mixed(), "the decoder of the others must not receive these tables");
    }

    proptest! {
        #[test]
        fn damaged_images_are_accepted(
            mut image in prop_oneof![Just(image(true)), prop::collection::vec(any::<u8>(), 0..300)],
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            length in 0..400_usize,
        ) {
            for (index, value) in changes {
                if !image.is_empty() {
                    let index = index.index(image.len());
                    image[index] = value;
                }
            }
            image.truncate(length);
            let mut tables = Tables::default();
            tables.update(&image);
            tables.update(&image);
        }
    }
}
