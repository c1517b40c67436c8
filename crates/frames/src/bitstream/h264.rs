//! H.264: clean entries and non-reference frames.

use super::bits::Bits;
use super::nal::{Framing, ParameterSets, length_prefixed, unescape};
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
    sets: ParameterSets,
}

impl Parser {
    /// `extradata` is an `avcC` record (ISO/IEC 14496-15, 5.3.3.1) or units with start codes.
    pub(super) fn new(extradata: &[u8]) -> Self {
        let mut framing = Framing::StartCodes;
        let units = if let [1, _, _, _, lengths, count, sets @ ..] = extradata {
            framing = Framing::Length(usize::from(lengths & 3) + 1);
            length_prefixed(sets, 2, usize::from(count & 31)).0
        } else {
            let mut units = framing.units(extradata);
            units.retain(|unit| unit.first().is_some_and(|header| is_sequence_set(*header)));
            units
        };
        let mut parser = Self { framing, fields: Fields::Never, sets: ParameterSets::default() };
        for unit in units {
            parser.update_fields(SequenceSet::parse(unit).as_ref());
        }
        parser
    }

    /// Role of the next packet.
    pub(super) fn role(&mut self, packet: &[u8]) -> Role {
        let mut first = None;
        let mut referenced = false;
        let mut field = false;
        let mut unknown = false;
        for unit in self.framing.units(packet) {
            let Some(header) = unit.first() else {
                unknown = true;
                continue;
            };
            match header & 31 {
                unit_type @ SLICE..=IDR_SLICE => {
                    first.get_or_insert(unit_type);
                    referenced |= header >> 5 & 3 != 0;
                    field |= self.fields.may_be_field(unit);
                }
                SEQUENCE_PARAMETER_SET => {
                    let set = SequenceSet::parse(unit);
                    self.update_fields(set.as_ref());
                    let id = set.map_or(0, |set| set.id);
                    self.sets.insert(SEQUENCE_PARAMETER_SET, id, unit);
                }
                PICTURE_PARAMETER_SET => {
                    let id = Bits::new(&unescape(&unit[1..unit.len().min(12)])).ue().unwrap_or(0);
                    self.sets.insert(PICTURE_PARAMETER_SET, id, unit);
                }
                SUPPLEMENTAL_INFORMATION | DELIMITER..=FILLER => {}
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
            displayed: true,
            slots: None,
        }
    }

    pub(super) fn parameter_sets(&self) -> Vec<u8> {
        self.sets.to_packet(self.framing)
    }

    fn update_fields(&mut self, set: Option<&SequenceSet>) {
        self.fields = self.fields.and(set.map_or(Fields::Possible, |set| set.fields));
    }
}

fn is_sequence_set(header: u8) -> bool {
    header & 31 == SEQUENCE_PARAMETER_SET
}

/// Relevant part of a sequence parameter set (ITU-T H.264, 7.3.2.1.1).
struct SequenceSet {
    id: u32,
    fields: Fields,
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
        skip_picture_order_count(&mut bits)?;
        bits.ue()?; // max_num_ref_frames
        bits.bit()?; // gaps_in_frame_num_value_allowed_flag
        bits.ue()?; // pic_width_in_mbs_minus1
        bits.ue()?; // pic_height_in_map_units_minus1
        let frames_only = bits.bit()? == 1;
        let offset = frame_num_bits as usize + 2 * usize::from(separate_planes);
        Some(Self { id, fields: if frames_only { Fields::Never } else { Fields::Flag { offset } } })
    }
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

/// Skip `pic_order_cnt_type` and the fields that depend on it.
fn skip_picture_order_count(bits: &mut Bits) -> Option<()> {
    match bits.ue()? {
        0 => {
            bits.ue()?; // log2_max_pic_order_cnt_lsb_minus4
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
    Some(())
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
