//! HEVC: clean and open entries, and non-reference frames.

use super::bits::Bits;
use super::nal::{Framing, ParameterSets, length_prefixed, unescape};
use super::role::{Entry, Role};

// Unit types of ITU-T H.265, table 7-1.
const RASL_N: u8 = 8;
const RASL_R: u8 = 9;
const LAST_NON_REFERENCE: u8 = 14;
const FIRST_IRAP: u8 = 16;
const LAST_BLA: u8 = 18;
const IDR_W_RADL: u8 = 19;
const IDR_N_LP: u8 = 20;
const CRA: u8 = 21;
const LAST_IRAP: u8 = 23;
const LAST_SLICE: u8 = 31;
const VIDEO_PARAMETER_SET: u8 = 32;
const SEQUENCE_PARAMETER_SET: u8 = 33;
const PICTURE_PARAMETER_SET: u8 = 34;
const LAST_SUPPLEMENTAL_INFORMATION: u8 = 40;

/// Size of an `hvcC` record before its arrays of units.
const RECORD_HEADER: usize = 23;

/// Parser of the packets of an HEVC stream.
pub(super) struct Parser {
    framing: Framing,
    /// Highest temporal sub-layer that the stream declares. Frames of the `*_N` types are
    /// non-reference frames only within their own sub-layer, so only those of the highest can be
    /// dropped.
    top_layer: Option<u8>,
    /// Whether the next RASL pictures cannot be decoded by any decoder, because they refer to
    /// pictures before a point at which the stream begins or was spliced (ITU-T H.265, 8.1.3,
    /// NoRaslOutputFlag). `None` before the first such point.
    rasl_undecodable: Option<bool>,
    sets: ParameterSets,
}

impl Parser {
    /// `extradata` is an `hvcC` record (ISO/IEC 14496-15, 8.3.3.1) or units with start codes.
    pub(super) fn new(extradata: &[u8]) -> Self {
        let mut framing = Framing::StartCodes;
        let units = if extradata.first() == Some(&1) && extradata.len() >= RECORD_HEADER {
            framing = Framing::Length(usize::from(extradata[21] & 3) + 1);
            record_units(extradata)
        } else {
            framing.units(extradata)
        };
        let mut parser = Self {
            framing,
            top_layer: None,
            rasl_undecodable: None,
            sets: ParameterSets::default(),
        };
        for unit in units {
            parser.update_top_layer(unit);
        }
        parser
    }

    /// Role of the next packet.
    pub(super) fn role(&mut self, packet: &[u8]) -> Role {
        let mut first = None;
        let mut unknown = false;
        for unit in self.framing.units(packet) {
            let [header, layer, ..] = *unit else {
                unknown = true;
                continue;
            };
            match header >> 1 & 63 {
                unit_type @ ..=LAST_SLICE => {
                    first.get_or_insert((unit_type, (layer & 7).saturating_sub(1)));
                }
                unit_type @ VIDEO_PARAMETER_SET..=PICTURE_PARAMETER_SET => {
                    self.update_top_layer(unit);
                    self.sets.insert(unit_type, set_id(unit_type, unit), unit);
                }
                ..=LAST_SUPPLEMENTAL_INFORMATION => {}
                _ => unknown = true,
            }
        }
        let Some((unit_type, layer)) = first else {
            // Parameter sets and similar units yield no frame. Unknown units may be a damaged
            // frame, which has to be reported as missing.
            return Role { displayed: unknown, ..Role::UNKNOWN };
        };
        if (FIRST_IRAP..=LAST_IRAP).contains(&unit_type) {
            self.rasl_undecodable = Some(unit_type <= LAST_BLA || self.rasl_undecodable.is_none());
        }
        if matches!(unit_type, RASL_N | RASL_R) && self.rasl_undecodable == Some(true) {
            return Role { disposable: true, displayed: false, ..Role::UNKNOWN };
        }
        Role {
            entry: match unit_type {
                FIRST_IRAP..=LAST_BLA | IDR_W_RADL | IDR_N_LP => Entry::Clean,
                CRA => Entry::Open,
                _ => Entry::None,
            },
            disposable: unit_type <= LAST_NON_REFERENCE
                && unit_type % 2 == 0
                && Some(layer) == self.top_layer,
            displayed: true,
            slots: None,
        }
    }

    pub(super) fn parameter_sets(&self) -> Vec<u8> {
        self.sets.to_packet(self.framing)
    }

    /// Read `sps_max_sub_layers_minus1` from a sequence parameter set: three bits after two header
    /// bytes and the four-bit id of the video parameter set (ITU-T H.265, 7.3.2.2).
    fn update_top_layer(&mut self, unit: &[u8]) {
        if let [header, _, layers, ..] = unit
            && header >> 1 & 63 == SEQUENCE_PARAMETER_SET
        {
            self.top_layer = self.top_layer.max(Some(layers >> 1 & 7));
        }
    }
}

/// Id by which other units refer to a parameter set; 0 if it cannot be parsed.
fn set_id(unit_type: u8, unit: &[u8]) -> u32 {
    let plain = unescape(&unit[2.min(unit.len())..unit.len().min(64)]);
    let mut bits = Bits::new(&plain);
    match unit_type {
        VIDEO_PARAMETER_SET => bits.bits(4),
        SEQUENCE_PARAMETER_SET => sequence_set_id(&mut bits),
        _ => bits.ue(),
    }
    .unwrap_or(0)
}

/// Id of a sequence parameter set, which follows the profile, tier and level of all sub-layers
/// (ITU-T H.265, 7.3.2.2 and 7.3.3).
fn sequence_set_id(bits: &mut Bits) -> Option<u32> {
    bits.bits(4)?; // sps_video_parameter_set_id
    let layers = bits.bits(3)?;
    bits.bit()?; // sps_temporal_id_nesting_flag
    bits.skip(96); // general profile, tier and level
    let mut sub_layer_bits = 0;
    if layers > 0 {
        for _ in 0..layers {
            sub_layer_bits += 88 * bits.bit()? as usize + 8 * bits.bit()? as usize;
        }
        bits.skip(2 * (8 - layers as usize));
    }
    bits.skip(sub_layer_bits);
    bits.ue()
}

/// Units of an `hvcC` record: arrays of a type, a 16-bit count and units with 16-bit lengths.
fn record_units(record: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    let mut rest = &record[RECORD_HEADER..];
    for _ in 0..record[RECORD_HEADER - 1] {
        let [_, high, low, tail @ ..] = rest else { break };
        let count = usize::from(u16::from_be_bytes([*high, *low]));
        let (array, tail) = length_prefixed(tail, 2, count);
        let complete = array.len() == count;
        units.extend(array);
        if !complete {
            break;
        }
        rest = tail;
    }
    units
}
