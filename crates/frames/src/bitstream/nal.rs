//! The units that H.264 and HEVC packets are made of.

use std::collections::BTreeMap;

/// How units are told apart in packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// A big-endian length of this many bytes before each unit (ISO/IEC 14496-15).
    Length(usize),
    /// Start codes between units (ITU-T H.264 and H.265, annex B).
    StartCodes,
}

impl Framing {
    /// The units of a packet. What does not follow the framing ends the list and stands in it as an
    /// empty unit.
    pub(super) fn units(self, data: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Length(size) => {
                let mut units = Vec::new();
                let mut rest = data;
                while let Some((length, tail)) = rest.split_at_checked(size) {
                    let length = length
                        .iter()
                        .fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
                    let Some((unit, tail)) = tail.split_at_checked(length) else { break };
                    units.push(unit);
                    rest = tail;
                }
                if !rest.is_empty() {
                    units.push(&[]);
                }
                units
            }
            Self::StartCodes => {
                let mut starts: Vec<usize> = data
                    .windows(3)
                    .enumerate()
                    .filter(|(_, bytes)| *bytes == [0, 0, 1])
                    .map(|(at, _)| at + 3)
                    .collect();
                if starts.is_empty() {
                    return vec![&[]];
                }
                starts.push(data.len() + 3);
                starts
                    .windows(2)
                    .map(|pair| trim(&data[pair[0]..(pair[1] - 3).max(pair[0])]))
                    .collect()
            }
        }
    }

    /// `unit` as it would stand in a packet.
    fn put(self, unit: &[u8], packet: &mut Vec<u8>) {
        match self {
            Self::Length(size) => {
                packet.extend_from_slice(&(unit.len() as u64).to_be_bytes()[8 - size..]);
            }
            Self::StartCodes => packet.extend_from_slice(&[0, 0, 0, 1]),
        }
        packet.extend_from_slice(unit);
    }
}

/// Zero bytes before the next start code belong to no unit.
fn trim(unit: &[u8]) -> &[u8] {
    let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &unit[..end]
}

/// `unit` without the bytes that keep start codes from appearing in it (ITU-T H.264, 7.4.1).
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

/// The newest parameter set of each kind and number that stood in packets.
#[derive(Debug, Default)]
pub(super) struct ParameterSets(BTreeMap<(u8, u32), Vec<u8>>);

impl ParameterSets {
    pub(super) fn keep(&mut self, kind: u8, id: u32, unit: &[u8]) {
        // A stream repeats its sets at every key frame: copy them only when they changed.
        let known = self.0.entry((kind, id)).or_default();
        if known != unit {
            *known = unit.to_vec();
        }
    }

    pub(super) fn as_packet(&self, framing: Framing) -> Vec<u8> {
        let mut packet = Vec::new();
        for unit in self.0.values() {
            framing.put(unit, &mut packet);
        }
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_in_both_framings() {
        let units: [&[u8]; 2] = [&[0x65, 1, 2], &[0x41, 9]];
        for framing in [Framing::Length(4), Framing::Length(1), Framing::StartCodes] {
            let mut packet = Vec::new();
            for unit in units {
                framing.put(unit, &mut packet);
            }
            assert_eq!(framing.units(&packet), units, "{framing:?}");
        }
    }

    #[test]
    fn what_breaks_the_framing_stands_as_an_empty_unit() {
        let nothing: &[u8] = &[];
        assert_eq!(Framing::Length(4).units(&[0, 0, 0, 9, 1]), [nothing]);
        assert_eq!(Framing::Length(1).units(&[1, 6, 7, 8]), [&[6], nothing]);
        assert_eq!(Framing::StartCodes.units(&[7, 7, 7, 7]), [nothing]);
    }

    #[test]
    fn escapes_are_removed() {
        assert_eq!(unescape(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [0, 0, 1, 0, 0, 0, 0]);
    }
}
