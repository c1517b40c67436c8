//! Supplemental enhancement information (SEI): messages beside the coded frames.

use super::bits::Bits;
use super::nal::{escape, unescape};

// Types of messages, the same in both standards (ITU-T H.264, D.1.1; H.265, D.2.1).
pub(super) const RECOVERY_POINT: u32 = 6;
pub(super) const FILM_GRAIN: u32 = 19;
pub(super) const DISPLAY_ORIENTATION: u32 = 47;

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub kind: u32,
    /// Its payload, as far as the unit contains it.
    pub payload: Vec<u8>,
}

impl Message {
    /// Unit with only this message. `header` is that of the unit.
    pub(super) fn to_unit(&self, header: &[u8]) -> Vec<u8> {
        let mut plain = Vec::with_capacity(self.payload.len() + 8);
        for mut number in [self.kind as usize, self.payload.len()] {
            while number >= 255 {
                plain.push(255);
                number -= 255;
            }
            plain.push(number as u8);
        }
        plain.extend(&self.payload);
        plain.push(0x80); // rbsp_trailing_bits
        [header, &escape(&plain)].concat()
    }

    /// Whether the frames from this one on in presentation order refer to no earlier ones
    /// (ITU-T H.264, D.2.8).
    pub(super) fn recovers_at_once(&self) -> bool {
        let recovery_frame_cnt = Bits::new(&self.payload).ue();
        self.kind == RECOVERY_POINT && recovery_frame_cnt == Some(0)
    }
}

/// Messages of these kinds in a unit whose header has this many bytes (ITU-T H.264, 7.3.2.3; H.265,
/// 7.3.5); of each kind the last one.
pub(super) fn messages<const N: usize>(
    unit: &[u8],
    header_size: usize,
    kinds: [u32; N],
) -> [Option<Message>; N] {
    let plain = unescape(unit.get(header_size..).unwrap_or_default());
    let mut rest = plain.as_slice();
    let mut messages = [const { None }; N];
    while let (Some(kind), Some(size)) = (number(&mut rest), number(&mut rest)) {
        let (payload, tail) = rest.split_at((size as usize).min(rest.len()));
        if let Some(position) = kinds.iter().position(|wanted| *wanted == kind) {
            messages[position] = Some(Message { kind, payload: payload.to_vec() });
        }
        rest = tail;
    }
    messages
}

/// Take a type or a size: a sum of bytes, of which all but the last are 255.
fn number(bytes: &mut &[u8]) -> Option<u32> {
    let mut sum = 0_u32;
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        sum = sum.saturating_add(u32::from(*byte));
        if *byte != 255 {
            return Some(sum);
        }
    }
}

/// Whether film grain remains in force after its frame (ITU-T H.265, D.2.14 and D.3.14); `None` if
/// the payload cannot be parsed.
pub(super) fn film_grain_persists(payload: &[u8]) -> Option<bool> {
    let mut bits = Bits::new(payload);
    if bits.bit()? == 1 {
        return Some(false); // film_grain_characteristics_cancel_flag
    }
    bits.bits(2)?; // film_grain_model_id
    if bits.bit()? == 1 {
        bits.bits(31)?; // bit depths, range, color description
    }
    bits.bits(6)?; // blending_mode_id, log2_scale_factor
    let components = bits.bits(3)?;
    for _ in 0..components.count_ones() {
        let (intervals, values) = (bits.bits(8)? + 1, bits.bits(3)? + 1);
        for _ in 0..intervals {
            bits.bits(16)?; // intensity_interval_lower_bound, intensity_interval_upper_bound
            for _ in 0..values {
                bits.se()?; // comp_model_value
            }
        }
    }
    Some(bits.bit()? == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_messages() {
        let unit = [6, 255, 1, 2, 7, 8, 19, 1, 9, 0x80];
        let expected = [(256, vec![7, 8]), (FILM_GRAIN, vec![9])];
        let expected = expected.map(|(kind, payload)| Some(Message { kind, payload }));
        assert_eq!(messages(&unit, 1, [256, FILM_GRAIN]), expected);
        assert_eq!(messages(&unit, 1, [DISPLAY_ORIENTATION]), [None]);
    }

    #[test]
    fn a_message_can_have_a_unit_of_its_own() {
        let message = Message { kind: 300, payload: vec![0, 0, 1] };
        let unit = message.to_unit(&[78, 1]);
        assert_eq!(unit, [78, 1, 255, 45, 3, 0, 0, 3, 1, 0x80]);
        assert_eq!(messages(&unit, 2, [300]), [Some(message)]);
    }

    #[test]
    fn a_payload_ends_with_the_unit() {
        let cut = Message { kind: 5, payload: vec![1, 2] };
        assert_eq!(messages(&[6, 5, 9, 1, 2], 1, [5]), [Some(cut)]);
        assert_eq!(messages(&[6, 5], 1, [5]), [None]);
    }

    #[test]
    fn knows_whether_film_grain_persists() {
        // One component with one interval and one value: 0 00 0, 00 0101, 100, 0 (8 bits), 0 (3
        // bits), 0 and 255 (16 bits), se(0), flag.
        let grain = |flag: u8| [0b0000_0001, 0b0110_0000, 0, 0, 0xFF, 0b1000_0000 | flag << 6];
        assert_eq!(film_grain_persists(&grain(1)), Some(true));
        assert_eq!(film_grain_persists(&grain(0)), Some(false));
        assert_eq!(film_grain_persists(&[0x80]), Some(false), "cancelled");
        assert_eq!(film_grain_persists(&grain(0)[..3]), None);
    }
}
