//! H.264: clean entries and non-reference frames.

use std::collections::BTreeMap;

use super::bits::Bits;
use super::nal::{Framing, Header, Headers, length_prefixed, nearest_count, unescape};
use super::role::{Entry, Role};

// Unit types of ITU-T H.264, table 7-1.
const SLICE: u8 = 1;
const DATA_PARTITION_C: u8 = 4;
const IDR_SLICE: u8 = 5;
const SUPPLEMENTAL_INFORMATION: u8 = 6;
const SEQUENCE_PARAMETER_SET: u8 = 7;
const PICTURE_PARAMETER_SET: u8 = 8;
const DELIMITER: u8 = 9;
const FILLER: u8 = 12;

/// Whether a frame may be coded as two fields. Then a packet may hold one of them, and dropping it
/// alone would break the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fields {
    Never,
    /// Each slice states it in a flag, this many bits after its first three numbers.
    Flag {
        offset: usize,
    },
    /// The parameter sets contradict each other or cannot be parsed.
    Possible,
}

impl Fields {
    /// Combine two parameter sets, either of which may be in use.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, other) | (other, Self::Never) => other,
            (Self::Flag { offset }, Self::Flag { offset: other }) if offset == other => self,
            _ => Self::Possible,
        }
    }

    /// Whether the slice may belong to a field (ITU-T H.264, 7.3.3).
    fn may_be_field(self, slice: &[u8]) -> bool {
        let flag = |offset| {
            let plain = unescape(slice.get(1..slice.len().min(24))?);
            let mut bits = Bits::new(&plain);
            bits.ue()?; // first_mb_in_slice
            bits.ue()?; // slice_type
            bits.ue()?; // pic_parameter_set_id
            bits.skip(offset); // colour_plane_id, frame_num
            Some(bits.bit()? == 1)
        };
        match self {
            Self::Never => false,
            Self::Flag { offset } => flag(offset).unwrap_or(true),
            Self::Possible => true,
        }
    }
}

/// Parser of the packets of an H.264 stream.
pub(super) struct Parser {
    framing: Framing,
    fields: Fields,
    /// Whether a sequence parameter set does not state how far frames are reordered.
    learns_delay: bool,
    headers: Headers,
    orders: Orders,
}

impl Parser {
    /// `extradata` is an `avcC` record (ISO/IEC 14496-15, 5.3.3.1) or units with start codes.
    pub(super) fn new(extradata: &[u8]) -> Self {
        let mut parser = Self {
            framing: Framing::StartCodes,
            fields: Fields::Never,
            learns_delay: false,
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
        let mut referenced = false;
        let mut field = false;
        let mut unknown = false;
        let mut order = None;
        for unit in self.framing.units(packet) {
            let Some(header) = unit.first() else {
                unknown = true;
                continue;
            };
            match header & 31 {
                unit_type @ SLICE..=IDR_SLICE => {
                    if first.is_none() {
                        order = self.orders.next(unit);
                    }
                    first.get_or_insert(unit_type);
                    referenced |= header >> 5 & 3 != 0;
                    field |= self.fields.may_be_field(unit);
                }
                SEQUENCE_PARAMETER_SET..=PICTURE_PARAMETER_SET | SUPPLEMENTAL_INFORMATION => {
                    self.add_header(unit);
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
            entry: Entry::clean_if(first == IDR_SLICE),
            disposable: !referenced && !field && !partitioned,
            learns_delay: self.learns_delay,
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
        match unit.first().map(|header| header & 31) {
            Some(SEQUENCE_PARAMETER_SET) => {
                let set = SequenceSet::parse(unit);
                let id = set.as_ref().map_or(0, |set| set.id);
                let fields = set.as_ref().map_or(Fields::Possible, |set| set.fields);
                self.fields = self.fields.and(fields);
                self.learns_delay |= set.as_ref().is_none_or(|set| !set.states_delay);
                self.orders.sequences.insert(id, set.and_then(|set| set.order_coding));
                self.headers
                    .insert(Header { kind: SEQUENCE_PARAMETER_SET, id, parent: None }, unit);
            }
            Some(PICTURE_PARAMETER_SET) => {
                let plain = unescape(&unit[1..unit.len().min(16)]);
                let mut bits = Bits::new(&plain);
                let id = bits.ue().unwrap_or(0);
                let sequence = bits.ue();
                self.orders.pictures.insert(id, sequence);
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

/// Calculates the presentation order of frames (ITU-T H.264, 8.2.1).
#[derive(Default)]
struct Orders {
    /// Coding of the order in each sequence parameter set; `None` if it is not supported.
    sequences: BTreeMap<u32, Option<OrderCoding>>,
    /// Sequence parameter set that each picture parameter set refers to.
    pictures: BTreeMap<u32, Option<u32>>,
    /// Count of the latest reference frame, or of the latest frame if counts are not coded.
    previous: i64,
}

/// Coding of the presentation order in slice headers.
#[derive(Debug, Clone, Copy)]
struct OrderCoding {
    /// Number of bits before the field flag, as in [`Fields::Flag`].
    offset: usize,
    frames_only: bool,
    /// Number of bits of the coded count. `None` if the presentation order is the decoding order.
    count_bits: Option<u32>,
}

impl Orders {
    /// Order of the frame that begins with this slice.
    fn next(&mut self, slice: &[u8]) -> Option<i64> {
        let header = *slice.first()?;
        let is_idr = header & 31 == IDR_SLICE;
        let plain = unescape(slice.get(1..slice.len().min(32))?);
        let mut bits = Bits::new(&plain);
        bits.ue()?; // first_mb_in_slice
        bits.ue()?; // slice_type
        let picture = bits.ue()?;
        let sequence = (*self.pictures.get(&picture)?)?;
        let OrderCoding { offset, frames_only, count_bits } = (*self.sequences.get(&sequence)?)?;
        if is_idr {
            self.previous = 0;
        }
        let Some(count_bits) = count_bits else {
            self.previous += 1;
            return Some(self.previous);
        };
        bits.skip(offset); // colour_plane_id, frame_num
        if !frames_only && bits.bit()? == 1 {
            bits.bit()?; // bottom_field_flag
        }
        if is_idr {
            bits.ue()?; // idr_pic_id
        }
        let order = nearest_count(self.previous, bits.bits(count_bits)?, count_bits);
        if header >> 5 & 3 != 0 {
            self.previous = order;
        }
        Some(order)
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

/// Relevant part of a sequence parameter set (ITU-T H.264, 7.3.2.1.1).
struct SequenceSet {
    id: u32,
    fields: Fields,
    /// Whether it states by how many frames the output has to be delayed.
    states_delay: bool,
    order_coding: Option<OrderCoding>,
}

impl SequenceSet {
    fn parse(unit: &[u8]) -> Option<Self> {
        let plain = unescape(unit.get(1..)?);
        let mut bits = Bits::new(&plain);
        let profile = bits.bits(8)?;
        bits.bits(16)?; // constraint flags, level_idc
        let id = bits.ue()?;
        let separate_planes = has_separate_planes(&mut bits, profile)?;
        let frame_num_bits = bits.ue()?.checked_add(4).filter(|bits| *bits <= 16)?;
        let order_type = bits.ue()?;
        let count_bits = skip_picture_order_count(&mut bits, order_type)?;
        bits.ue()?; // max_num_ref_frames
        bits.bit()?; // gaps_in_frame_num_value_allowed_flag
        bits.ue()?; // pic_width_in_mbs_minus1
        bits.ue()?; // pic_height_in_map_units_minus1
        let frames_only = bits.bit()? == 1;
        let offset = frame_num_bits as usize + 2 * usize::from(separate_planes);
        let states_delay = has_bitstream_restriction(&mut bits, frames_only).unwrap_or(false);
        let fields = if frames_only { Fields::Never } else { Fields::Flag { offset } };
        let order_coding = OrderCoding { offset, frames_only, count_bits };
        let order_coding = Some(order_coding).filter(|_| order_type != 1);
        Some(Self { id, fields, states_delay, order_coding })
    }
}

/// Whether the usability information, which ends a sequence parameter set, has bitstream
/// restrictions (ITU-T H.264, E.1.1). `bits` is behind `frame_mbs_only_flag`.
fn has_bitstream_restriction(bits: &mut Bits, frames_only: bool) -> Option<bool> {
    const EXTENDED_SAMPLE_ASPECT_RATIO: u32 = 255;
    if !frames_only {
        bits.bit()?; // mb_adaptive_frame_field_flag
    }
    bits.bit()?; // direct_8x8_inference_flag
    if bits.bit()? == 1 {
        for _ in 0..4 {
            bits.ue()?; // frame_crop_left_offset and the others
        }
    }
    if bits.bit()? == 0 {
        return Some(false);
    }
    if bits.bit()? == 1 && bits.bits(8)? == EXTENDED_SAMPLE_ASPECT_RATIO {
        bits.bits(32)?; // sar_width, sar_height
    }
    if bits.bit()? == 1 {
        bits.bit()?; // overscan_appropriate_flag
    }
    if bits.bit()? == 1 {
        bits.bits(4)?; // video_format, video_full_range_flag
        if bits.bit()? == 1 {
            bits.bits(24)?; // colour_primaries, transfer_characteristics, matrix_coefficients
        }
    }
    if bits.bit()? == 1 {
        bits.ue()?; // chroma_sample_loc_type_top_field
        bits.ue()?; // chroma_sample_loc_type_bottom_field
    }
    if bits.bit()? == 1 {
        bits.skip(65); // num_units_in_tick, time_scale, fixed_frame_rate_flag
    }
    let nal = bits.bit()? == 1;
    if nal {
        skip_decoder_parameters(bits)?;
    }
    let vcl = bits.bit()? == 1;
    if vcl {
        skip_decoder_parameters(bits)?;
    }
    if nal || vcl {
        bits.bit()?; // low_delay_hrd_flag
    }
    bits.bit()?; // pic_struct_present_flag
    Some(bits.bit()? == 1)
}

/// Skip the parameters of the hypothetical reference decoder (ITU-T H.264, E.1.2).
fn skip_decoder_parameters(bits: &mut Bits) -> Option<()> {
    let count = bits.ue()?.checked_add(1).filter(|count| *count <= 32)?;
    bits.bits(8)?; // bit_rate_scale, cpb_size_scale
    for _ in 0..count {
        bits.ue()?; // bit_rate_value_minus1
        bits.ue()?; // cpb_size_value_minus1
        bits.bit()?; // cbr_flag
    }
    bits.bits(20)?; // lengths of delays and offsets
    Some(())
}

/// Skip the chroma format and the scaling matrices, and return `separate_colour_plane_flag`.
fn has_separate_planes(bits: &mut Bits, profile: u32) -> Option<bool> {
    // Profiles whose sequence parameter sets have these fields.
    const HIGH: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
    if !HIGH.contains(&profile) {
        return Some(false);
    }
    let chroma_format = bits.ue()?;
    let separate_planes = chroma_format == 3 && bits.bit()? == 1;
    bits.ue()?; // bit_depth_luma_minus8
    bits.ue()?; // bit_depth_chroma_minus8
    bits.bit()?; // qpprime_y_zero_transform_bypass_flag
    if bits.bit()? == 1 {
        for list in 0..if chroma_format == 3 { 12 } else { 8 } {
            if bits.bit()? == 1 {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(separate_planes)
}

/// Skip the fields that depend on `pic_order_cnt_type`. Return the number of bits of a coded count,
/// if counts are coded.
#[expect(clippy::option_option, reason = "the outer one means that data are missing")]
fn skip_picture_order_count(bits: &mut Bits, order_type: u32) -> Option<Option<u32>> {
    match order_type {
        0 => {
            let count_bits = bits.ue()?.checked_add(4).filter(|bits| *bits <= 16)?;
            return Some(Some(count_bits));
        }
        1 => {
            bits.bit()?; // delta_pic_order_always_zero_flag
            bits.se()?; // offset_for_non_ref_pic
            bits.se()?; // offset_for_top_to_bottom_field
            let cycle = bits.ue()?;
            if cycle > 255 {
                return None;
            }
            for _ in 0..cycle {
                bits.se()?; // offset_for_ref_frame
            }
        }
        _ => {}
    }
    Some(None)
}

/// Skip a scaling list (ITU-T H.264, 7.3.2.1.1.1).
fn skip_scaling_list(bits: &mut Bits, size: usize) -> Option<()> {
    let mut last = 8;
    let mut next = 8;
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.se()? + 256) % 256;
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}
