//! H.264: which pictures are clean entries and which are no references.

use super::bits::Bits;
use super::nal::{Framing, ParameterSets, unescape};
use super::{Entry, Role};

// Unit types of ITU-T H.264, table 7-1.
const SLICE: u8 = 1;
const DATA_PARTITION_C: u8 = 4;
const IDR_SLICE: u8 = 5;
const SUPPLEMENT: u8 = 6;
const SEQUENCE_PARAMETERS: u8 = 7;
const PICTURE_PARAMETERS: u8 = 8;
const DELIMITER: u8 = 9;
const FILLER: u8 = 12;

/// Whether pictures may be coded as two fields. Then a packet may hold only one of them, and
/// dropping it alone would break the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fields {
    Never,
    /// Each slice says it, behind this many bits that follow its first three numbers.
    Told {
        behind: usize,
    },
    /// Parameter sets that contradict each other or cannot be read.
    Possible,
}

impl Fields {
    /// What holds when both `self` and `other` may be in use.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, other) | (other, Self::Never) => other,
            (Self::Told { behind }, Self::Told { behind: other }) if behind == other => self,
            _ => Self::Possible,
        }
    }

    /// Whether the picture of this slice is a field, as far as can be told (ITU-T H.264, 7.3.3).
    fn may_be_field(self, slice: &[u8]) -> bool {
        let told = |behind| {
            let plain = unescape(slice.get(1..slice.len().min(24))?);
            let mut bits = Bits::new(&plain);
            bits.ue()?; // first_mb_in_slice
            bits.ue()?; // slice_type
            bits.ue()?; // pic_parameter_set_id
            bits.skip(behind); // colour_plane_id, frame_num
            Some(bits.bit()? == 1)
        };
        match self {
            Self::Never => false,
            Self::Told { behind } => told(behind).unwrap_or(true),
            Self::Possible => true,
        }
    }
}

/// Follows the packets of an H.264 stream.
pub(super) struct Reader {
    framing: Framing,
    fields: Fields,
    sets: ParameterSets,
}

impl Reader {
    /// `extradata` is an `avcC` record (ISO/IEC 14496-15, 5.3.3.1) or units with start codes.
    pub(super) fn new(extradata: &[u8]) -> Self {
        let mut reader = Self {
            framing: Framing::StartCodes,
            fields: Fields::Never,
            sets: ParameterSets::default(),
        };
        if let [1, _, _, _, lengths, sets, rest @ ..] = extradata {
            reader.framing = Framing::Length(usize::from(lengths & 3) + 1);
            let mut rest = rest;
            for _ in 0..sets & 31 {
                let Some((length, tail)) = rest.split_at_checked(2) else { break };
                let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                let Some((unit, tail)) = tail.split_at_checked(length) else { break };
                reader.look_for_fields(unit);
                rest = tail;
            }
        } else {
            for unit in reader.framing.units(extradata) {
                if unit.first().is_some_and(|header| header & 31 == SEQUENCE_PARAMETERS) {
                    reader.look_for_fields(unit);
                }
            }
        }
        reader
    }

    pub(super) fn role(&mut self, data: &[u8]) -> Role {
        let mut first = None;
        let mut referenced = false;
        let mut field = false;
        let mut strange = false;
        for unit in self.framing.units(data) {
            let Some(header) = unit.first() else {
                strange = true;
                continue;
            };
            match header & 31 {
                kind @ SLICE..=IDR_SLICE => {
                    first.get_or_insert(kind);
                    referenced |= header >> 5 & 3 != 0;
                    field |= self.fields.may_be_field(unit);
                }
                SEQUENCE_PARAMETERS => {
                    self.look_for_fields(unit);
                    let id = sequence(unit).map_or(0, |sequence| sequence.id);
                    self.sets.keep(SEQUENCE_PARAMETERS, id, unit);
                }
                PICTURE_PARAMETERS => {
                    let id = Bits::new(&unescape(&unit[1..unit.len().min(12)])).ue().unwrap_or(0);
                    self.sets.keep(PICTURE_PARAMETERS, id, unit);
                }
                SUPPLEMENT | DELIMITER..=FILLER => {}
                _ => strange = true,
            }
        }
        if first.is_none() {
            // Parameter sets and the like show nothing; what is not understood may be a damaged
            // picture, which is to be missed.
            return Role { shown: strange, ..Role::UNKNOWN };
        }
        // With data partitioning a damaged partition changes what is decodable; nobody sends it, so
        // nothing is gained by it.
        let partitioned = first.is_some_and(|kind| (SLICE + 1..=DATA_PARTITION_C).contains(&kind));
        Role {
            entry: Entry::clean_if(first == Some(IDR_SLICE)),
            disposable: !referenced && !field && !partitioned,
            shown: true,
            slots: None,
        }
    }

    pub(super) fn parameter_sets(&self) -> Vec<u8> {
        self.sets.as_packet(self.framing)
    }

    fn look_for_fields(&mut self, unit: &[u8]) {
        self.fields =
            self.fields.and(sequence(unit).map_or(Fields::Possible, |sequence| sequence.fields));
    }
}

struct Sequence {
    id: u32,
    fields: Fields,
}

/// The part of a sequence parameter set that matters here (ITU-T H.264, 7.3.2.1.1).
fn sequence(unit: &[u8]) -> Option<Sequence> {
    // Profiles whose sets tell the chroma format and scaling matrices.
    const HIGH: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
    let plain = unescape(unit.get(1..)?);
    let mut bits = Bits::new(&plain);
    let profile = bits.bits(8)?;
    bits.bits(16)?;
    let id = bits.ue()?;
    let mut separate_planes = false;
    if HIGH.contains(&profile) {
        let chroma_format = bits.ue()?;
        if chroma_format == 3 {
            separate_planes = bits.bit()? == 1;
        }
        bits.ue()?; // bit_depth_luma_minus8
        bits.ue()?; // bit_depth_chroma_minus8
        bits.bit()?; // qpprime_y_zero_transform_bypass_flag
        if bits.bit()? == 1 {
            for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                if bits.bit()? == 1 {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    let frame_num_bits = bits.ue()?.checked_add(4).filter(|bits| *bits <= 16)?;
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
                bits.se()?;
            }
        }
        _ => {}
    }
    bits.ue()?; // max_num_ref_frames
    bits.bit()?; // gaps_in_frame_num_value_allowed_flag
    bits.ue()?; // pic_width_in_mbs_minus1
    bits.ue()?; // pic_height_in_map_units_minus1
    let frames_only = bits.bit()? == 1;
    let behind = frame_num_bits as usize + 2 * usize::from(separate_planes);
    Some(Sequence { id, fields: if frames_only { Fields::Never } else { Fields::Told { behind } } })
}

/// ITU-T H.264, 7.3.2.1.1.1.
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
