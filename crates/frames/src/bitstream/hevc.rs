//! HEVC: clean and open entries, and non-reference frames.

use super::bits::Bits;
use super::hevc_order::Orders;
use super::nal::{Framing, Header, Headers, length_prefixed, unescape};
use super::role::{Entry, FilmGrain, Role};
use super::sei;

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

// Valid ids of parameter sets (ITU-T H.265, 7.4.3.2.1 and 7.4.3.3.1). Decoders ignore others.
const MAX_SEQUENCE_SET_ID: u32 = 15;
const MAX_PICTURE_SET_ID: u32 = 63;

/// Size of an `hvcC` record before its arrays of units.
const RECORD_HEADER: usize = 23;

/// Size of the header of a unit (ITU-T H.265, 7.3.1.2).
const UNIT_HEADER: usize = 2;

// Supplemental information that stays in force until another message of its type.
const DISPLAY_ORIENTATION: Header =
    Header { kind: PREFIX_SUPPLEMENTAL_INFORMATION, id: sei::DISPLAY_ORIENTATION, parent: None };
const FILM_GRAIN: Header =
    Header { kind: PREFIX_SUPPLEMENTAL_INFORMATION, id: sei::FILM_GRAIN, parent: None };

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
        let mut film_grain = self.headers.contains(FILM_GRAIN);
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
                PREFIX_SUPPLEMENTAL_INFORMATION => film_grain |= self.add_messages(unit),
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
                _ if !self.headers.can_be_repeated() => Entry::None,
                FIRST_IRAP..=LAST_BLA | IDR_W_RADL | IDR_N_LP => Entry::Clean,
                CRA => Entry::Open,
                _ => Entry::None,
            },
            disposable: unit_type <= LAST_NON_REFERENCE
                && unit_type % 2 == 0
                && Some(layer) == self.top_layer,
            order,
            film_grain: FilmGrain::added_if(film_grain),
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
                if let Some(header) = self.add_parameter_set(kind, unit) {
                    self.headers.insert(header, unit);
                }
            }
            PREFIX_SUPPLEMENTAL_INFORMATION => {
                self.add_messages(unit);
            }
            _ => {}
        }
    }

    /// Record those messages of a unit that stay in force, and return whether one states film
    /// grain for its frame.
    fn add_messages(&mut self, unit: &[u8]) -> bool {
        let mut film_grain = false;
        for message in sei::messages(unit, UNIT_HEADER) {
            match message.kind {
                sei::DISPLAY_ORIENTATION => self.headers.insert(DISPLAY_ORIENTATION, unit),
                sei::FILM_GRAIN => {
                    film_grain = true;
                    match sei::film_grain_persists(&message.payload) {
                        Some(true) => self.headers.insert(FILM_GRAIN, unit),
                        _ => self.headers.remove(FILM_GRAIN),
                    }
                }
                _ => {}
            }
        }
        film_grain
    }

    /// Record what slice headers depend on in a parameter set, and return its identity; `None` if
    /// its id is invalid. Ids that cannot be parsed are 0.
    fn add_parameter_set(&mut self, kind: u8, unit: &[u8]) -> Option<Header> {
        let plain = unescape(&unit[UNIT_HEADER.min(unit.len())..unit.len().min(256)]);
        let mut bits = Bits::new(&plain);
        let (id, parent) = match kind {
            VIDEO_PARAMETER_SET => (bits.bits(4).unwrap_or(0), None),
            SEQUENCE_PARAMETER_SET => {
                let parent = bits.bits(4).map(|id| (VIDEO_PARAMETER_SET, id));
                let id = sequence_set_id(&mut bits).unwrap_or(0);
                if id > MAX_SEQUENCE_SET_ID {
                    return None;
                }
                self.orders.add_sequence(id, &mut bits);
                (id, parent)
            }
            _ => {
                let (id, sequence) = (bits.ue().unwrap_or(0), bits.ue());
                if id > MAX_PICTURE_SET_ID {
                    return None;
                }
                self.orders.add_picture(id, sequence.unwrap_or(0), &mut bits);
                (id, sequence.map(|id| (SEQUENCE_PARAMETER_SET, id)))
            }
        };
        Some(Header { kind, id, parent })
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
