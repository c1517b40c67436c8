//! H.264: clean entries and non-reference frames.

use std::collections::BTreeMap;

use super::bits::Bits;
use super::h264_parameters::{CountCoding, Fields, NumberCoding, PictureSet, SequenceSet};
use super::nal::{Framing, Header, Headers, length_prefixed, nearest_count, unescape};
use super::role::{Entry, FilmGrain, References, Role};
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

// Types of slices, modulo 5 (ITU-T H.264, table 7-6).
const I_SLICE: u32 = 2;
const SI_SLICE: u32 = 4;

/// Parser of the packets of an H.264 stream.
pub(super) struct Parser {
    framing: Framing,
    fields: Fields,
    /// Whether a sequence parameter set does not state how far frames are reordered.
    learns_delay: bool,
    headers: Headers,
    frames: Frames,
}

impl Parser {
    /// `extradata` is an `avcC` record (ISO/IEC 14496-15, 5.3.3.1) or units with start codes.
    pub(super) fn new(extradata: &[u8]) -> Self {
        let mut parser = Self {
            framing: Framing::StartCodes,
            fields: Fields::Never,
            learns_delay: false,
            headers: Headers::default(),
            frames: Frames::default(),
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
        let mut referenced = false;
        let mut field = false;
        let mut unknown = false;
        let mut recovers = false;
        let mut film_grain = false;
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
                    let messages = sei::messages(unit, 1);
                    recovers |= messages.iter().any(sei::Message::recovers_at_once);
                    film_grain |= messages.iter().any(|message| message.kind == sei::FILM_GRAIN);
                }
                DELIMITER..=FILLER => {}
                _ => unknown = true,
            }
        }
        let Some(first) = first else {
            // Parameter sets and similar units yield no frame. Unknown units may be a damaged
            // frame, which has to be reported as missing.
            return Role { displayed: unknown, ..Role::UNKNOWN };
        };
        // With data partitioning, a damaged partition changes what is decodable. It is not used in
        // practice, so such frames are never dropped.
        let partitioned = (SLICE + 1..=DATA_PARTITION_C).contains(&first);
        Role {
            entry: Entry::clean_if(first == IDR_SLICE && self.headers.can_be_repeated()),
            disposable: !referenced && !field && !partitioned,
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

    /// Record a unit that later packets depend on.
    fn add_header(&mut self, unit: &[u8]) {
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
            }
            _ => {}
        }
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
        let plain = unescape(slice.get(1..slice.len().min(32))?);
        let mut bits = Bits::new(&plain);
        bits.ue()?; // first_mb_in_slice
        let slice_type = bits.ue()?;
        let picture = bits.ue()?;
        let picture = (*self.pictures.get(&picture)?)?;
        let coding = (*self.sequences.get(&picture.sequence)?)?;
        bits.skip(coding.offset - coding.number_bits as usize); // colour_plane_id
        let number = bits.bits(coding.number_bits)?;
        let order = self.order(header, coding, &mut bits);
        let follows_gap = !is_idr && !coding.allows_gaps && self.is_gap_before(number, coding);
        let is_intra = matches!(slice_type % 5, I_SLICE | SI_SLICE);
        if is_reference {
            let resets = is_intra && !is_idr && {
                resets_numbers(&mut bits, picture, coding).unwrap_or(false)
            };
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
    fn is_gap_before(&self, number: u32, coding: NumberCoding) -> bool {
        let Some(previous) = self.previous_number else { return false };
        let following = (previous + 1) % (1 << coding.number_bits);
        number != previous && number != following
    }
}

/// Whether an intra-coded reference frame resets the numbers (ITU-T H.264, 7.3.3.3); `None` if it
/// cannot be parsed. `bits` is behind the count. Encoders may use such a frame in place of an IDR
/// frame; in other frames, the operation is so rare that it is not parsed.
fn resets_numbers(bits: &mut Bits, picture: PictureSet, coding: NumberCoding) -> Option<bool> {
    // Values of memory_management_control_operation.
    const END: u32 = 0;
    const ASSIGN_LONG_TERM: u32 = 3;
    const RESET: u32 = 5;
    const LAST: u32 = 6;
    let fields = picture.fields?;
    let differences = match coding.count {
        CountCoding::Bits(_) => u32::from(fields.count_difference),
        CountCoding::Differences { are_coded } => {
            u32::from(are_coded) * (1 + u32::from(fields.count_difference))
        }
        CountCoding::None => 0,
    };
    if differences > 0 && !coding.frames_only {
        return None; // It depends on the field flag.
    }
    for _ in 0..differences {
        bits.se()?; // delta_pic_order_cnt_bottom, or delta_pic_order_cnt
    }
    if fields.redundant_count {
        bits.ue()?; // redundant_pic_cnt
    }
    if bits.bit()? == 0 {
        return Some(false); // adaptive_ref_pic_marking_mode_flag
    }
    loop {
        match bits.ue()? {
            END => return Some(false),
            RESET => return Some(true),
            operation if operation > LAST => return None,
            operation => {
                bits.ue()?; // difference_of_pic_nums_minus1, or another number
                if operation == ASSIGN_LONG_TERM {
                    bits.ue()?; // long_term_frame_idx
                }
            }
        }
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
