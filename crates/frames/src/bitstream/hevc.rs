//! HEVC: clean and open entries, and non-reference frames.

use super::bits::Bits;
use super::hevc_order::Orders;
use super::nal::{Dependents, Framing, Header, Headers, length_prefixed, unescape};
use super::role::{Entry, FilmGrain, KeyFrame, Role};
use super::sei::{self, Message};

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
const END_OF_SEQUENCE: u8 = 36;
const END_OF_BITSTREAM: u8 = 37;
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
    /// Whether the coded video sequence has ended, so that the next one begins with the next frame.
    has_ended: bool,
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
            has_ended: false,
            headers: Headers::new(Dependents::End),
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
        let mut starts_sequence = false;
        let mut film_grain = self.headers.contains(FILM_GRAIN);
        let revision = self.headers.revision();
        for unit in self.framing.units(packet) {
            let [header, layer, ..] = *unit else {
                unknown = true;
                continue;
            };
            if is_of_other_layer(unit) {
                continue;
            }
            match header >> 1 & 63 {
                unit_type @ ..=LAST_SLICE => {
                    if first.is_none() {
                        starts_sequence = self.starts_sequence(unit_type);
                        order = self.orders.next(unit, starts_sequence);
                    }
                    first.get_or_insert((unit_type, (layer & 7).saturating_sub(1)));
                }
                PREFIX_SUPPLEMENTAL_INFORMATION => film_grain |= self.add_messages(unit),
                END_OF_SEQUENCE | END_OF_BITSTREAM => self.has_ended = true,
                VIDEO_PARAMETER_SET..=LAST_SUPPLEMENTAL_INFORMATION => self.add_header(unit),
                _ => unknown = true,
            }
        }
        let Some((unit_type, layer)) = first else {
            // Parameter sets and similar units yield no frame. Unknown units may be a damaged
            // frame, which has to be reported as missing.
            return Role {
                displayed: unknown,
                key_frame: KeyFrame::possible_if(unknown),
                ..Role::UNKNOWN
            };
        };
        // Later packets depend on the headers in this one.
        let changes_headers = self.headers.revision() != revision;
        if matches!(unit_type, RASL_N | RASL_R) && self.rasl_undecodable == Some(true) {
            return Role {
                key_frame: KeyFrame::Impossible,
                disposable: !changes_headers,
                displayed: false,
                ..Role::UNKNOWN
            };
        }
        Role {
            entry: match unit_type {
                _ if !self.headers.can_be_repeated() => Entry::None,
                FIRST_IRAP..=LAST_BLA | IDR_W_RADL | IDR_N_LP => Entry::Clean,
                CRA if starts_sequence => Entry::Clean,
                CRA => Entry::Open,
                _ => Entry::None,
            },
            key_frame: KeyFrame::possible_if(
                (FIRST_IRAP..=LAST_IRAP).contains(&unit_type) || unknown,
            ),
            disposable: !changes_headers
                && unit_type <= LAST_NON_REFERENCE
                && unit_type % 2 == 0
                && Some(layer) == self.top_layer,
            order,
            film_grain: FilmGrain::added_if(film_grain),
            ..Role::UNKNOWN
        }
    }

    /// Whether a frame that begins with a slice of this type starts a coded video sequence. Only
    /// then are the RASL pictures that follow it undecodable.
    fn starts_sequence(&mut self, unit_type: u8) -> bool {
        let has_ended = std::mem::take(&mut self.has_ended);
        if !(FIRST_IRAP..=LAST_IRAP).contains(&unit_type) {
            return false;
        }
        let starts = unit_type != CRA || has_ended || self.rasl_undecodable.is_none();
        self.rasl_undecodable = Some(starts);
        starts
    }

    /// Units in force, in the form in which they can precede a packet.
    pub(super) fn headers(&self) -> Option<Vec<u8>> {
        self.headers.to_packet(self.framing)
    }

    /// Record a unit that later packets depend on.
    fn add_header(&mut self, unit: &[u8]) {
        let Some(kind) = unit.first().map(|header| header >> 1 & 63) else { return };
        if is_of_other_layer(unit) {
            return;
        }
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
        let kinds = [sei::DISPLAY_ORIENTATION, sei::FILM_GRAIN];
        let [orientation, film_grain] = sei::messages(unit, UNIT_HEADER, kinds);
        let unit_of = |message: &Message| message.to_unit(&unit[..UNIT_HEADER]);
        if let Some(message) = orientation {
            self.headers.insert(DISPLAY_ORIENTATION, &unit_of(&message));
        }
        let Some(message) = film_grain else { return false };
        match sei::film_grain_persists(&message.payload) {
            Some(true) => self.headers.insert(FILM_GRAIN, &unit_of(&message)),
            _ => self.headers.remove(FILM_GRAIN),
        }
        true
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

/// Whether a unit belongs to another layer than the base layer. Decoders of single-layer profiles
/// ignore it (ITU-T H.265, 7.4.2.2; FFmpeg, libavcodec/hevcdec.c, `decode_nal_units`).
fn is_of_other_layer(unit: &[u8]) -> bool {
    matches!(unit, [first, second, ..] if first & 1 != 0 || second >> 3 != 0)
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

#[cfg(test)]
mod tests {
    use super::*;

    // Beginning of a slice: an entry that resets the decoder, an open entry, a frame that others
    // refer to, and one that no other refers to.
    const RESET: &str = "2801af0d";
    const OPEN: &str = "2a01ac0d";
    const REFERENCE: &str = "0201d00d";
    const DISPOSABLE: &str = "0001d00d";
    const END: &str = "4801";
    /// Film grain that stays in force, and its end.
    const GRAIN: &str = "4e01130601600000ffc080";
    const NO_GRAIN: &str = "4e0113018080";
    /// Orientation for display, and film grain in the same unit.
    const ORIENTATION: &str = "4e012f0308000980";
    const BOTH: &str = "4e011306016000 00ffc02f0308000980";

    fn packet(units: &[&str]) -> Vec<u8> {
        let unit = |unit: &&str| hex::decode(unit.replace(' ', "")).expect("hexadecimal digits");
        units.iter().flat_map(|one| [vec![0, 0, 1], unit(one)].concat()).collect()
    }

    fn headers(parser: &Parser) -> Vec<String> {
        let packet = parser.headers().unwrap_or_default();
        let units = Framing::StartCodes.units(&packet);
        units.into_iter().filter(|unit| !unit.is_empty()).map(hex::encode).collect()
    }

    #[test]
    fn film_grain_stays_in_force_until_it_ends() {
        let mut parser = Parser::new(&[]);
        let grain = |parser: &mut Parser, units: &[&str]| parser.role(&packet(units)).film_grain;
        assert_eq!(grain(&mut parser, &[RESET]), FilmGrain::None);
        assert_eq!(grain(&mut parser, &[GRAIN, REFERENCE]), FilmGrain::Added);
        assert_eq!(grain(&mut parser, &[REFERENCE]), FilmGrain::Added);
        assert_eq!(headers(&parser).len(), 1);
        grain(&mut parser, &[NO_GRAIN, REFERENCE]);
        assert_eq!(grain(&mut parser, &[REFERENCE]), FilmGrain::None);
        assert_eq!(headers(&parser).len(), 0);
    }

    #[test]
    fn each_message_is_repeated_alone() {
        let mut parser = Parser::new(&[]);
        parser.role(&packet(&[BOTH, REFERENCE]));
        assert_eq!(headers(&parser), [GRAIN, ORIENTATION]);
        parser.role(&packet(&[NO_GRAIN, REFERENCE]));
        assert_eq!(headers(&parser), [ORIENTATION]);
    }

    #[test]
    fn other_layers_are_ignored() {
        let mut parser = Parser::new(&[]);
        parser.role(&packet(&[GRAIN, REFERENCE]));
        parser.role(&packet(&[&NO_GRAIN.replacen("4e01", "4e09", 1), REFERENCE]));
        assert_eq!(headers(&parser), [GRAIN]);
    }

    #[test]
    fn frames_with_headers_that_later_packets_need_are_not_disposable() {
        let mut parser = Parser::new(&[]);
        parser.top_layer = Some(0);
        let mut is_disposable = |units: &[&str]| parser.role(&packet(units)).disposable;
        assert!(is_disposable(&[DISPOSABLE]));
        assert!(!is_disposable(&[GRAIN, DISPOSABLE]));
        assert!(is_disposable(&[GRAIN, DISPOSABLE]), "a repetition");
    }

    #[test]
    fn a_sequence_begins_after_the_end_of_another() {
        let mut parser = Parser::new(&[]);
        let mut entry = |units: &[&str]| parser.role(&packet(units)).entry;
        assert_eq!(entry(&[OPEN]), Entry::Clean, "the beginning of the stream");
        assert_eq!(entry(&[OPEN]), Entry::Open);
        assert_eq!(entry(&[REFERENCE, END]), Entry::None);
        assert_eq!(entry(&[OPEN]), Entry::Clean);
    }
}
