//! H.264: clean entries and non-reference frames.

use std::collections::BTreeMap;

use super::bits::Bits;
use super::h264_parameters::{CountCoding, Fields, NumberCoding, PictureSet, SequenceSet};
use super::h264_slice::{MAX_HEADER, SliceType, resets_numbers};
use super::nal::{Dependents, Framing, Header, Headers, length_prefixed, nearest_count, unescape};
use super::role::{Entry, FilmGrain, KeyFrame, References, Role};
use super::sei;

// Unit types of ITU-T H.264, table 7-1.
const SLICE: u8 = 1;
const DATA_PARTITION_C: u8 = 4;
const IDR_SLICE: u8 = 5;
const SUPPLEMENTAL_INFORMATION: u8 = 6;
const SEQUENCE_PARAMETER_SET: u8 = 7;
const PICTURE_PARAMETER_SET: u8 = 8;
const DELIMITER: u8 = 9;
const FILLER: u8 = 12;

// Valid ids of parameter sets (ITU-T H.264, 7.4.2.1.1 and 7.4.2.2). Decoders ignore others.
const MAX_SEQUENCE_SET_ID: u32 = 31;
const MAX_PICTURE_SET_ID: u32 = 255;

/// Parser of the packets of an H.264 stream.
pub(super) struct Parser {
    framing: Framing,
    fields: Fields,
    /// Whether a sequence parameter set does not state how far frames are reordered.
    learns_delay: bool,
    headers: Headers,
    /// Whether a parameter set differs from those in the configuration of the stream.
    has_changed_sets: bool,
    frames: Frames,
}

impl Parser {
    /// `extradata` is an `avcC` record (ISO/IEC 14496-15, 5.3.3.1) or units with start codes.
    pub(super) fn new(extradata: &[u8]) -> Self {
        let mut parser = Self {
            framing: Framing::StartCodes,
            fields: Fields::Never,
            learns_delay: false,
            headers: Headers::new(Dependents::Remain),
            has_changed_sets: false,
            frames: Frames::default(),
        };
        parser.configure(extradata);
        parser.headers.set_original();
        parser.has_changed_sets = false;
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
        let mut referenced = false;
        let mut field = false;
        let mut unknown = false;
        let mut recovers = false;
        let mut has_recovery_point = false;
        let mut film_grain = false;
        let revision = self.headers.revision();
        let mut frame = None;
        for unit in self.framing.units(packet) {
            let Some(header) = unit.first() else {
                unknown = true;
                continue;
            };
            match header & 31 {
                unit_type @ SLICE..=IDR_SLICE => {
                    if first.is_none() {
                        frame = self.frames.next(unit, recovers);
                    }
                    first.get_or_insert(unit_type);
                    referenced |= header >> 5 & 3 != 0;
                    field |= self.fields.may_be_field(unit);
                }
                SEQUENCE_PARAMETER_SET..=PICTURE_PARAMETER_SET => self.add_header(unit),
                SUPPLEMENTAL_INFORMATION => {
                    self.add_header(unit);
                    let kinds = [sei::RECOVERY_POINT, sei::FILM_GRAIN];
                    let [recovery, grain] = sei::messages(unit, 1, kinds);
                    has_recovery_point |= recovery.is_some();
                    recovers |= recovery.is_some_and(|message| message.recovers_at_once());
                    film_grain |= grain.is_some();
                }
                DELIMITER..=FILLER => {}
                _ => unknown = true,
            }
        }
        let Some(first) = first else {
            // Parameter sets and similar units yield no frame. Unknown units may be a damaged
            // frame, which has to be reported as missing.
            return Role {
                displayed: unknown,
                key_frame: KeyFrame::possible_if(unknown),
                ..Role::UNKNOWN
            };
        };
        // With data partitioning, a damaged partition changes what is decodable. It is not used in
        // practice, so such frames are never dropped.
        // Later packets depend on the headers in this one.
        let changes_headers = self.headers.revision() != revision;
        let partitioned = (SLICE + 1..=DATA_PARTITION_C).contains(&first);
        Role {
            entry: Entry::clean_if(first == IDR_SLICE && self.headers.can_be_repeated()),
            // FFmpeg 5.1, libavcodec/h264_slice.c, `ff_h264_queue_decode_slice`.
            key_frame: KeyFrame::possible_if(first == IDR_SLICE || has_recovery_point || unknown),
            disposable: !referenced && !field && !partitioned && !changes_headers,
            learns_delay: self.learns_delay,
            order: frame.and_then(|frame| frame.order),
            references: frame.map_or(References::Unknown, |frame| frame.references),
            film_grain: FilmGrain::added_if(film_grain),
            ..Role::UNKNOWN
        }
    }

    /// Units in force, in the form in which they can precede a packet.
    pub(super) fn headers(&self) -> Option<Vec<u8>> {
        self.headers.to_packet(self.framing)
    }

    /// Whether a parameter set differs from those in the configuration of the stream.
    pub(super) fn has_changed_sets(&self) -> bool {
        self.has_changed_sets
    }

    /// Record a unit that later packets depend on.
    fn add_header(&mut self, unit: &[u8]) {
        let revision = self.headers.revision();
        match unit.first().map(|header| header & 31) {
            Some(SEQUENCE_PARAMETER_SET) => {
                let set = SequenceSet::parse(unit);
                let id = set.as_ref().map_or(0, |set| set.id);
                if id > MAX_SEQUENCE_SET_ID {
                    return;
                }
                let fields = set.as_ref().map_or(Fields::Possible, |set| set.fields);
                self.fields = self.fields.and(fields);
                self.learns_delay |= set.as_ref().is_none_or(|set| !set.states_delay);
                self.frames.sequences.insert(id, set.map(|set| set.coding));
                self.headers
                    .insert(Header { kind: SEQUENCE_PARAMETER_SET, id, parent: None }, unit);
            }
            Some(PICTURE_PARAMETER_SET) => {
                let set = PictureSet::parse(unit);
                let id = set.map_or(0, |set| set.id);
                if id > MAX_PICTURE_SET_ID {
                    return;
                }
                let sequence = set.map(|set| set.sequence);
                self.frames.pictures.insert(id, set);
                let parent = sequence.map(|id| (SEQUENCE_PARAMETER_SET, id));
                self.headers.insert(Header { kind: PICTURE_PARAMETER_SET, id, parent }, unit);
            }
            Some(SUPPLEMENTAL_INFORMATION) if names_old_encoder(unit) => {
                self.headers
                    .insert(Header { kind: SUPPLEMENTAL_INFORMATION, id: 0, parent: None }, unit);
                return;
            }
            _ => {}
        }
        self.has_changed_sets |= self.headers.revision() != revision;
    }
}

/// Follows the numbers of frames in slice headers.
#[derive(Default)]
struct Frames {
    /// Coding of the numbers in each sequence parameter set; `None` if it is not supported.
    sequences: BTreeMap<u32, Option<NumberCoding>>,
    /// Picture parameter sets; `None` if one cannot be parsed.
    pictures: BTreeMap<u32, Option<PictureSet>>,
    /// Count of the latest reference frame, or of the latest frame if counts are not coded.
    previous_count: i64,
    /// `frame_num` of the latest reference frame.
    previous_number: Option<u32>,
    /// First bytes of that frame.
    previous_start: Vec<u8>,
    /// Order of the first frame that cannot refer to missing ones. It is the maximum until a frame
    /// at which decoding can recover.
    follows_loss_until: Option<i64>,
}

/// Frame among others.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Presentation order; `None` if it is not known.
    order: Option<i64>,
    references: References,
}

impl Frames {
    /// Place of the frame that begins with this slice. `recovers` is whether later frames in
    /// presentation order refer to no earlier ones.
    fn next(&mut self, slice: &[u8], recovers: bool) -> Option<Place> {
        let header = *slice.first()?;
        let (is_idr, is_reference) = (header & 31 == IDR_SLICE, header >> 5 & 3 != 0);
        let plain = unescape(slice.get(1..slice.len().min(MAX_HEADER))?);
        let mut bits = Bits::new(&plain);
        bits.ue()?; // first_mb_in_slice
        let slice_type = SliceType::new(bits.ue()?);
        let picture = bits.ue()?;
        let picture = (*self.pictures.get(&picture)?)?;
        let coding = (*self.sequences.get(&picture.sequence)?)?;
        bits.skip(coding.offset - coding.number_bits as usize); // colour_plane_id
        let number = bits.bits(coding.number_bits)?;
        let order = self.order(header, coding, &mut bits);
        // A repeated packet is no loss.
        let start = slice[..slice.len().min(64)].to_vec();
        let is_repeated = self.previous_start == start;
        let follows_gap = !is_idr
            && !is_repeated
            && !coding.allows_gaps
            && self.is_gap_before(number, coding, is_reference);
        let is_intra = slice_type == SliceType::Intra;
        if is_reference {
            self.previous_start = start;
            let resets =
                !is_idr && resets_numbers(&mut bits, slice_type, picture, coding).unwrap_or(false);
            self.previous_number = Some(if resets { 0 } else { number });
        }
        if is_idr {
            self.follows_loss_until = None;
        } else if is_intra && (follows_gap || self.follows_loss_until == Some(i64::MAX)) {
            self.follows_loss_until = Some(order.filter(|_| recovers).unwrap_or(i64::MAX));
        }
        let follows_loss =
            self.follows_loss_until.is_some_and(|until| order.is_none_or(|order| order < until));
        let is_lost = !is_intra && (follows_gap || follows_loss);
        let references = if is_lost { References::Lost } else { References::Unknown };
        Some(Place { order, references })
    }

    /// Presentation order (ITU-T H.264, 8.2.1). `bits` is moved from behind `frame_num` to behind
    /// the coded count.
    fn order(&mut self, header: u8, coding: NumberCoding, bits: &mut Bits) -> Option<i64> {
        let is_idr = header & 31 == IDR_SLICE;
        if is_idr {
            self.previous_count = 0;
        }
        if !coding.frames_only && bits.bit()? == 1 {
            bits.bit()?; // bottom_field_flag
        }
        if is_idr {
            bits.ue()?; // idr_pic_id
        }
        let count_bits = match coding.count {
            CountCoding::Bits(bits) => bits,
            CountCoding::Differences { .. } => return None,
            CountCoding::None => {
                self.previous_count += 1;
                return Some(self.previous_count);
            }
        };
        let order = nearest_count(self.previous_count, bits.bits(count_bits)?, count_bits);
        if header >> 5 & 3 != 0 {
            self.previous_count = order;
        }
        Some(order)
    }

    /// Whether reference frames are missing before a frame with this `frame_num` (ITU-T H.264,
    /// 7.4.3).
    fn is_gap_before(&self, number: u32, coding: NumberCoding, is_reference: bool) -> bool {
        let Some(previous) = self.previous_number else { return false };
        let following = (previous + 1) % (1 << coding.number_bits);
        // Two reference frames with the same number can only be the fields of one frame.
        let may_be_equal = !is_reference || !coding.frames_only;
        number != following && (number != previous || !may_be_equal)
    }
}

/// Framing of the packets, and the units in a configuration record.
fn record_units(extradata: &[u8]) -> (Framing, Vec<&[u8]>) {
    let [1, _, _, _, lengths, count, sets @ ..] = extradata else {
        return (Framing::StartCodes, Framing::StartCodes.units(extradata));
    };
    let (mut units, rest) = length_prefixed(sets, 2, usize::from(count & 31));
    if let [count, sets @ ..] = rest {
        units.extend(length_prefixed(sets, 2, usize::from(*count)).0);
    }
    (Framing::Length(usize::from(lengths & 3) + 1), units)
}

/// Whether supplemental information states a version of x264 whose streams libav decodes in
/// another way (FFmpeg 5.1, libavcodec/h264_cabac.c and h264_mb.c: 4:4:4 before build 151). Only
/// the first packet states it.
fn names_old_encoder(unit: &[u8]) -> bool {
    const MARK: &[u8] = b"x264 - core ";
    const FIRST_REGULAR_BUILD: u32 = 151;
    let Some(at) = unit.windows(MARK.len()).position(|bytes| bytes == MARK) else { return false };
    let digits = unit[at + MARK.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    let build = digits.take(6).fold(0, |build, digit| 10 * build + u32::from(digit - b'0'));
    build < FIRST_REGULAR_BUILD
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sets of x264, and the first bytes of a B-frame that no other frame refers to.
    const SEQUENCE: &str = "6764000dacb60a0cfcf80880000003008000001e078a1570";
    const PICTURE: &str = "68eac3cb22c0";
    const OTHER_PICTURE: &str = "68eac3cb22c1";
    const DISPOSABLE: &str = "019e0a7a43";

    fn packet(units: &[&str]) -> Vec<u8> {
        let unit = |unit: &&str| hex::decode(unit).expect("hexadecimal digits");
        units.iter().flat_map(|one| [vec![0, 0, 1], unit(one)].concat()).collect()
    }

    #[test]
    fn frames_with_headers_that_later_packets_need_are_not_disposable() {
        let mut parser = Parser::new(&packet(&[SEQUENCE, PICTURE]));
        let mut is_disposable = |units: &[&str]| parser.role(&packet(units)).disposable;
        assert!(is_disposable(&[DISPOSABLE]));
        assert!(is_disposable(&[PICTURE, DISPOSABLE]), "a repetition");
        assert!(!is_disposable(&[OTHER_PICTURE, DISPOSABLE]));
        assert!(is_disposable(&[OTHER_PICTURE, DISPOSABLE]), "a repetition");
    }

    #[test]
    fn headers_that_are_too_large_are_not_repeated() {
        let mut parser = Parser::new(&packet(&[SEQUENCE, PICTURE]));
        let entry = |parser: &mut Parser, picture: &str| {
            parser.role(&packet(&[picture, "658884000a"])).entry
        };
        assert_eq!(entry(&mut parser, OTHER_PICTURE), Entry::Clean);
        let large = OTHER_PICTURE.to_owned() + &"01".repeat(1 << 16);
        assert_eq!(entry(&mut parser, &large), Entry::None);
    }
}
