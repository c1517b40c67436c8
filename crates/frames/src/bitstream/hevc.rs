//! HEVC: clean and open entries, and non-reference frames.

use super::bits::Bits;
use super::hevc_order::Orders;
use super::nal::{Framing, Header, Headers, length_prefixed, unescape};
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
const PREFIX_SUPPLEMENTAL_INFORMATION: u8 = 39;
const LAST_SUPPLEMENTAL_INFORMATION: u8 = 40;

/// Type of the supplemental message with the orientation for display (ITU-T H.265, D.2.1). It stays
/// in force until another one.
const DISPLAY_ORIENTATION: u32 = 47;

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
    headers: Headers,
    orders: Orders,
}

impl Parser {
    /// `extradata` is an `hvcC` record (ISO/IEC 14496-15, 8.3.3.1) or units with start codes.
    pub(super) fn new(extradata: &[u8]) -> Self {
        let mut parser = Self {
            framing: Framing::StartCodes,
            top_layer: None,
            rasl_undecodable: None,
            headers: Headers::default(),
            orders: Orders::default(),
        };
        parser.configure(extradata);
        parser.headers.set_original();
        parser
    }

    /// Apply a configuration record from here on.
    pub(super) fn configure(&mut self, extradata: &[u8]) {
        let (framing, units) = record_units(extradata);
        self.framing = framing;
        for unit in units {
            self.add_header(unit);
        }
    }

    /// Role of the next packet.
    pub(super) fn role(&mut self, packet: &[u8]) -> Role {
        let mut first = None;
        let mut unknown = false;
        let mut order = None;
        for unit in self.framing.units(packet) {
            let [header, layer, ..] = *unit else {
                unknown = true;
                continue;
            };
            match header >> 1 & 63 {
                unit_type @ ..=LAST_SLICE => {
                    if first.is_none() {
                        order = self.orders.next(unit);
                    }
                    first.get_or_insert((unit_type, (layer & 7).saturating_sub(1)));
                }
                VIDEO_PARAMETER_SET..=LAST_SUPPLEMENTAL_INFORMATION => self.add_header(unit),
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
            order,
            ..Role::UNKNOWN
        }
    }

    /// Units in force, in the form in which they can precede a packet.
    pub(super) fn headers(&self) -> Option<Vec<u8>> {
        self.headers.to_packet(self.framing)
    }

    /// Record a unit that later packets depend on.
    fn add_header(&mut self, unit: &[u8]) {
        let Some(kind) = unit.first().map(|header| header >> 1 & 63) else { return };
        match kind {
            VIDEO_PARAMETER_SET..=PICTURE_PARAMETER_SET => {
                self.update_top_layer(unit);
                let header = self.add_parameter_set(kind, unit);
                self.headers.insert(header, unit);
            }
            PREFIX_SUPPLEMENTAL_INFORMATION if has_message(unit, DISPLAY_ORIENTATION) => {
                self.headers.insert(Header { kind, id: 0, parent: None }, unit);
            }
            _ => {}
        }
    }

    /// Record what slice headers depend on in a parameter set, and return its identity. Ids that
    /// cannot be parsed are 0.
    fn add_parameter_set(&mut self, kind: u8, unit: &[u8]) -> Header {
        let plain = unescape(&unit[2.min(unit.len())..unit.len().min(256)]);
        let mut bits = Bits::new(&plain);
        let (id, parent) = match kind {
            VIDEO_PARAMETER_SET => (bits.bits(4), None),
            SEQUENCE_PARAMETER_SET => {
                let parent = bits.bits(4).map(|id| (VIDEO_PARAMETER_SET, id));
                let id = sequence_set_id(&mut bits);
                self.orders.add_sequence(id.unwrap_or(0), &mut bits);
                (id, parent)
            }
            _ => {
                let (id, sequence) = (bits.ue(), bits.ue());
                self.orders.add_picture(id.unwrap_or(0), sequence.unwrap_or(0), &mut bits);
                (id, sequence.map(|id| (SEQUENCE_PARAMETER_SET, id)))
            }
        };
        Header { kind, id: id.unwrap_or(0), parent }
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

/// Whether supplemental information has a message of a type (ITU-T H.265, 7.3.5).
fn has_message(unit: &[u8], wanted: u32) -> bool {
    // Type and size are sums of bytes, of which all but the last are 255.
    fn number(bytes: &mut &[u8]) -> Option<u32> {
        let mut sum = 0_u32;
        loop {
            let (byte, rest) = bytes.split_first()?;
            *bytes = rest;
            sum += u32::from(*byte);
            if *byte != 255 {
                return Some(sum);
            }
        }
    }
    let plain = unescape(unit.get(2..).unwrap_or_default());
    let mut rest = plain.as_slice();
    while let (Some(kind), Some(size)) = (number(&mut rest), number(&mut rest)) {
        if kind == wanted {
            return true;
        }
        rest = rest.get(size as usize..).unwrap_or_default();
    }
    false
}

/// Id of a sequence parameter set, which follows the profile, tier and level of all sub-layers
/// (ITU-T H.265, 7.3.2.2 and 7.3.3). `bits` is behind the id of the video parameter set.
fn sequence_set_id(bits: &mut Bits) -> Option<u32> {
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

/// Framing of the packets, and the units in a configuration record: arrays of a type, a 16-bit
/// count and units with 16-bit lengths.
fn record_units(record: &[u8]) -> (Framing, Vec<&[u8]>) {
    if record.first() != Some(&1) || record.len() < RECORD_HEADER {
        return (Framing::StartCodes, Framing::StartCodes.units(record));
    }
    let framing = Framing::Length(usize::from(record[21] & 3) + 1);
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
    (framing, units)
}
