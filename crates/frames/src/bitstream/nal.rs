//! Network abstraction layer (NAL) units, of which H.264 and HEVC packets consist.

use std::collections::BTreeMap;

/// Separation of units in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// A big-endian length of this many bytes before each unit (ISO/IEC 14496-15).
    Length(usize),
    /// Start codes between units (ITU-T H.264 and H.265, annex B).
    StartCodes,
}

impl Framing {
    /// Units of a packet. Data that violates the framing ends the list with an empty unit.
    pub(super) fn units(self, packet: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Length(size) => {
                let (mut units, rest) = length_prefixed(packet, size, usize::MAX);
                if !rest.is_empty() {
                    units.push(&[]);
                }
                units
            }
            Self::StartCodes => {
                let mut starts: Vec<usize> = packet
                    .windows(3)
                    .enumerate()
                    .filter(|(_, bytes)| *bytes == [0, 0, 1])
                    .map(|(at, _)| at + 3)
                    .collect();
                if starts.is_empty() {
                    return vec![&[]];
                }
                starts.push(packet.len() + 3);
                starts
                    .windows(2)
                    .map(|pair| trim(&packet[pair[0]..(pair[1] - 3).max(pair[0])]))
                    .collect()
            }
        }
    }

    /// Append `unit` to a packet.
    fn append(self, unit: &[u8], packet: &mut Vec<u8>) {
        match self {
            Self::Length(size) => {
                packet.extend_from_slice(&(unit.len() as u64).to_be_bytes()[8 - size..]);
            }
            Self::StartCodes => packet.extend_from_slice(&[0, 0, 0, 1]),
        }
        packet.extend_from_slice(unit);
    }
}

/// Split off at most `count` units, each with a big-endian length of `size` bytes before it. Return
/// them and the data that follows, from the first incomplete unit on.
pub(super) fn length_prefixed(data: &[u8], size: usize, count: usize) -> (Vec<&[u8]>, &[u8]) {
    let mut units = Vec::new();
    let mut rest = data;
    while units.len() < count
        && let Some((length, tail)) = rest.split_at_checked(size)
    {
        let length = length.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        let Some((unit, tail)) = tail.split_at_checked(length) else { break };
        units.push(unit);
        rest = tail;
    }
    (units, rest)
}

/// Remove the zero bytes before the next start code, which belong to no unit.
fn trim(unit: &[u8]) -> &[u8] {
    let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &unit[..end]
}

/// Remove the bytes that prevent start codes within a unit (ITU-T H.264, 7.4.1).
pub(super) fn unescape(unit: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for byte in unit {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        plain.push(*byte);
    }
    plain
}

/// Insert the bytes that prevent start codes within a unit (ITU-T H.264, 7.4.1).
pub(super) fn escape(plain: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(plain.len());
    let mut zeros = 0;
    for byte in plain {
        if zeros >= 2 && *byte <= 3 {
            escaped.push(3);
            zeros = 0;
        }
        escaped.push(*byte);
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
    }
    escaped
}

/// The count nearest to `previous` whose last `bits` bits are `coded` (ITU-T H.264, 8.2.1; H.265,
/// 8.3.1).
pub(super) fn nearest_count(previous: i64, coded: u32, bits: u32) -> i64 {
    let range = 1 << bits;
    let max_decrease = range / 2 - 1;
    previous + (i64::from(coded) - previous + max_decrease).rem_euclid(range) - max_decrease
}

/// Identity of a unit that later packets depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    /// Type of the unit.
    pub kind: u8,
    /// Id by which other units refer to it.
    pub id: u32,
    /// Type and id of the unit that this one refers to.
    pub parent: Option<(u8, u32)>,
}

/// Latest unit of each type and id that later packets depend on: parameter sets, and supplemental
/// information that stays in force.
#[derive(Debug)]
pub(super) struct Headers {
    dependents: Dependents,
    units: BTreeMap<(u8, u32), HeaderUnit>,
    /// Whether they differ from those in the configuration of the stream.
    changed: bool,
    /// Number of changes so far.
    revision: u64,
}

#[derive(Debug)]
struct HeaderUnit {
    unit: Vec<u8>,
    parent: Option<(u8, u32)>,
    /// Parent as it was when the unit was recorded.
    parent_unit: Option<Vec<u8>>,
}

/// What happens to the units that refer to one that is replaced by a different one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dependents {
    /// They end (FFmpeg 5.1, libavcodec/hevc_ps.c, `remove_sps`).
    End,
    /// They still refer to the one that was replaced (FFmpeg 5.1, libavcodec/h264_ps.c).
    Remain,
}

impl Headers {
    pub(super) fn new(dependents: Dependents) -> Self {
        Self { dependents, units: BTreeMap::new(), changed: false, revision: 0 }
    }

    /// Take the units so far as those in the configuration of the stream.
    pub(super) fn set_original(&mut self) {
        self.changed = false;
    }

    /// Record a unit.
    pub(super) fn insert(&mut self, header: Header, unit: &[u8]) {
        let Header { kind, id, parent } = header;
        // Streams repeat their sets at every key frame.
        let parent_unit = parent.and_then(|parent| Some(self.units.get(&parent)?.unit.clone()));
        let is_same = |known: &HeaderUnit| known.unit == unit && known.parent_unit == parent_unit;
        if self.units.get(&(kind, id)).is_some_and(is_same) {
            return;
        }
        self.changed = true;
        self.revision += 1;
        if self.dependents == Dependents::End {
            self.remove_dependents((kind, id));
        }
        let unit = HeaderUnit { unit: unit.to_vec(), parent, parent_unit };
        self.units.insert((kind, id), unit);
    }

    /// Parent of a unit, if it was replaced since.
    fn replaced_parent<'a>(&self, unit: &'a HeaderUnit) -> Option<&'a [u8]> {
        let parent = unit.parent_unit.as_deref()?;
        let current = self.units.get(&unit.parent?).map(|parent| parent.unit.as_slice());
        (current != Some(parent)).then_some(parent)
    }

    /// Number of changes so far.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Forget a unit.
    pub(super) fn remove(&mut self, header: Header) {
        if self.units.remove(&(header.kind, header.id)).is_some() {
            self.changed = true;
            self.revision += 1;
        }
    }

    /// Whether there is such a unit.
    pub(super) fn contains(&self, header: Header) -> bool {
        self.units.contains_key(&(header.kind, header.id))
    }

    fn remove_dependents(&mut self, parent: (u8, u32)) {
        let is_dependent = |(_, unit): &(_, &HeaderUnit)| unit.parent == Some(parent);
        let dependents: Vec<_> =
            self.units.iter().filter(is_dependent).map(|(key, _)| *key).collect();
        for key in dependents {
            self.remove_dependents(key);
            self.units.remove(&key);
        }
    }

    /// Whether the units are small enough to precede every entry. Usual sets have some hundred
    /// bytes; a file with large ones would be copied over and over.
    pub(super) fn can_be_repeated(&self) -> bool {
        const MAX_BYTES: usize = 1 << 16;
        let size =
            |unit: &HeaderUnit| unit.unit.len() + self.replaced_parent(unit).map_or(0, <[u8]>::len);
        !self.changed || self.units.values().map(size).sum::<usize>() <= MAX_BYTES
    }

    /// All units, in the form in which they can precede a packet. `None` if they are those in the
    /// configuration of the stream.
    pub(super) fn to_packet(&self, framing: Framing) -> Option<Vec<u8>> {
        if !self.changed {
            return None;
        }
        let mut packet = Vec::new();
        let (mut current, mut stale) = (Vec::new(), Vec::new());
        for unit in self.units.values() {
            match self.replaced_parent(unit) {
                None => current.push(unit.unit.as_slice()),
                Some(parent) => stale.extend([parent, unit.unit.as_slice()]),
            }
        }
        // Those that refer to a replaced unit precede its successor.
        for unit in stale.into_iter().chain(current) {
            framing.append(unit, &mut packet);
        }
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_packets_in_both_framings() {
        let units: [&[u8]; 2] = [&[0x65, 1, 2], &[0x41, 9]];
        for framing in [Framing::Length(4), Framing::Length(1), Framing::StartCodes] {
            let mut packet = Vec::new();
            for unit in units {
                framing.append(unit, &mut packet);
            }
            assert_eq!(framing.units(&packet), units, "{framing:?}");
        }
    }

    #[test]
    fn returns_an_empty_unit_for_invalid_framing() {
        let nothing: &[u8] = &[];
        assert_eq!(Framing::Length(4).units(&[0, 0, 0, 9, 1]), [nothing]);
        assert_eq!(Framing::Length(1).units(&[1, 6, 7, 8]), [&[6], nothing]);
        assert_eq!(Framing::StartCodes.units(&[7, 7, 7, 7]), [nothing]);
    }

    #[test]
    fn counts_wrap_around() {
        let counts = [(0, 6), (6, 14), (14, 2), (18, 14), (14, 15)];
        let counts = counts.map(|(previous, coded)| nearest_count(previous, coded, 4));
        assert_eq!(counts, [6, 14, 18, 14, 15]);
    }

    #[test]
    fn a_changed_header_ends_those_that_refer_to_it() {
        let sequence = Header { kind: 7, id: 0, parent: None };
        let picture = Header { kind: 8, id: 3, parent: Some((7, 0)) };
        let mut headers = Headers::new(Dependents::End);
        headers.insert(sequence, b"s1");
        headers.insert(picture, b"p1");
        headers.set_original();
        headers.insert(picture, b"p1");
        assert_eq!(headers.to_packet(Framing::Length(1)), None, "nothing has changed");
        headers.insert(sequence, b"s2");
        assert_eq!(headers.to_packet(Framing::Length(1)), Some(b"\x02s2".to_vec()));
        headers.insert(picture, b"p1");
        assert_eq!(headers.to_packet(Framing::Length(1)), Some(b"\x02s2\x02p1".to_vec()));
    }

    #[test]
    fn a_header_can_refer_to_one_that_was_replaced() {
        let sequence = Header { kind: 7, id: 0, parent: None };
        let picture = |id| Header { kind: 8, id, parent: Some((7, 0)) };
        let mut headers = Headers::new(Dependents::Remain);
        headers.insert(sequence, b"s1");
        headers.insert(picture(0), b"p0");
        headers.insert(picture(1), b"p1");
        headers.insert(sequence, b"s2");
        headers.insert(picture(1), b"p1");
        let expected = b"\x02s1\x02p0\x02s2\x02p1".to_vec();
        assert_eq!(headers.to_packet(Framing::Length(1)), Some(expected));
    }

    #[test]
    fn removes_and_inserts_escape_bytes() {
        assert_eq!(unescape(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(escape(&[0, 0, 1, 0, 0, 0, 4]), [0, 0, 3, 1, 0, 0, 3, 0, 4]);
    }
}
