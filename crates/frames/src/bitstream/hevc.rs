//! HEVC: which pictures are clean entries and which are no references.

use super::bits::Bits;
use super::nal::{Framing, ParameterSets, unescape};
use super::{Entry, Role};

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
const LAST_PICTURE: u8 = 31;
const VIDEO_PARAMETERS: u8 = 32;
const SEQUENCE_PARAMETERS: u8 = 33;
const PICTURE_PARAMETERS: u8 = 34;
const LAST_SUPPLEMENT: u8 = 40;

/// Follows the packets of an HEVC stream.
pub(super) struct Reader {
    framing: Framing,
    /// The highest temporal sub-layer that the stream declares. Pictures of the `*_N` types are no
    /// references only within their own sub-layer, so only those of the highest are needed by
    /// nobody.
    top_layer: Option<u8>,
    /// Whether the RASL pictures that come now are lost to every decoder: they refer to pictures
    /// before a point at which the stream begins or was spliced (ITU-T H.265, 8.1.3,
    /// NoRaslOutputFlag). Before the first such point nothing is known.
    rasl_lost: Option<bool>,
    sets: ParameterSets,
}

impl Reader {
    /// `extradata` is an `hvcC` record (ISO/IEC 14496-15, 8.3.3.1) or units with start codes.
    pub(super) fn new(extradata: &[u8]) -> Self {
        let mut reader = Self {
            framing: Framing::StartCodes,
            top_layer: None,
            rasl_lost: None,
            sets: ParameterSets::default(),
        };
        if extradata.first() == Some(&1) && extradata.len() > 22 {
            reader.framing = Framing::Length(usize::from(extradata[21] & 3) + 1);
            for unit in arrays(extradata) {
                reader.look_for_layers(unit);
            }
        } else {
            for unit in reader.framing.units(extradata) {
                reader.look_for_layers(unit);
            }
        }
        reader
    }

    pub(super) fn role(&mut self, data: &[u8]) -> Role {
        let mut first = None;
        let mut strange = false;
        for unit in self.framing.units(data) {
            let [header, layer, ..] = *unit else {
                strange = true;
                continue;
            };
            match header >> 1 & 63 {
                kind @ ..=LAST_PICTURE => {
                    first.get_or_insert((kind, (layer & 7).saturating_sub(1)));
                }
                kind @ VIDEO_PARAMETERS..=PICTURE_PARAMETERS => {
                    self.look_for_layers(unit);
                    self.sets.keep(kind, id(kind, unit), unit);
                }
                ..=LAST_SUPPLEMENT => {}
                _ => strange = true,
            }
        }
        let Some((kind, layer)) = first else {
            // Parameter sets and the like show nothing; what is not understood may be a damaged
            // picture, which is to be missed.
            return Role { shown: strange, ..Role::UNKNOWN };
        };
        if (FIRST_IRAP..=LAST_IRAP).contains(&kind) {
            self.rasl_lost = Some(kind <= LAST_BLA || self.rasl_lost.is_none());
        }
        if (kind == RASL_N || kind == RASL_R) && self.rasl_lost == Some(true) {
            return Role { entry: Entry::None, disposable: true, shown: false, slots: None };
        }
        Role {
            entry: match kind {
                FIRST_IRAP..=LAST_BLA | IDR_W_RADL | IDR_N_LP => Entry::Clean,
                CRA => Entry::Open,
                _ => Entry::None,
            },
            disposable: kind <= LAST_NON_REFERENCE
                && kind % 2 == 0
                && Some(layer) == self.top_layer,
            shown: true,
            slots: None,
        }
    }

    pub(super) fn parameter_sets(&self) -> Vec<u8> {
        self.sets.as_packet(self.framing)
    }

    /// A sequence parameter set begins, after its two header bytes, with four bits of the video
    /// parameter set's number and three of `sps_max_sub_layers_minus1` (ITU-T H.265, 7.3.2.2).
    fn look_for_layers(&mut self, unit: &[u8]) {
        if let [header, _, layers, ..] = unit
            && header >> 1 & 63 == SEQUENCE_PARAMETERS
        {
            self.top_layer = self.top_layer.max(Some(layers >> 1 & 7));
        }
    }
}

/// The number by which later units refer to a parameter set.
fn id(kind: u8, unit: &[u8]) -> u32 {
    let plain = unescape(&unit[2.min(unit.len())..unit.len().min(64)]);
    let mut bits = Bits::new(&plain);
    match kind {
        VIDEO_PARAMETERS => bits.bits(4),
        SEQUENCE_PARAMETERS => sequence_id(&mut bits),
        _ => bits.ue(),
    }
    .unwrap_or(0)
}

/// ITU-T H.265, 7.3.2.2 and 7.3.3: the number of a sequence set stands behind the profile, tier and
/// level of all sub-layers.
fn sequence_id(bits: &mut Bits) -> Option<u32> {
    bits.bits(4)?;
    let layers = bits.bits(3)?;
    bits.bit()?;
    bits.skip(96);
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

/// The units of an `hvcC` record.
fn arrays(record: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    let mut rest = &record[23..];
    for _ in 0..record[22] {
        let [_, high, low, tail @ ..] = rest else { break };
        rest = tail;
        for _ in 0..u16::from_be_bytes([*high, *low]) {
            let Some((length, tail)) = rest.split_at_checked(2) else { return units };
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            let Some((unit, tail)) = tail.split_at_checked(length) else { return units };
            units.push(unit);
            rest = tail;
        }
    }
    units
}
