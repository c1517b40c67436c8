//! Sequence parameter sets of H.264, and what they tell about slices.

use super::bits::Bits;
use super::nal::unescape;

/// Whether a frame may be coded as two fields. Then a packet may hold one of them, and dropping it
/// alone would break the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fields {
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
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, other) | (other, Self::Never) => other,
            (Self::Flag { offset }, Self::Flag { offset: other }) if offset == other => self,
            _ => Self::Possible,
        }
    }

    /// Whether the slice may belong to a field (ITU-T H.264, 7.3.3).
    pub(super) fn may_be_field(self, slice: &[u8]) -> bool {
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

/// Coding of the numbers of frames in slice headers.
#[derive(Debug, Clone, Copy)]
pub(super) struct NumberCoding {
    /// Number of bits before the field flag, as in [`Fields::Flag`].
    pub offset: usize,
    /// How many of these are `frame_num`.
    pub number_bits: u32,
    /// Whether reference frames may be missing on purpose.
    pub allows_gaps: bool,
    pub frames_only: bool,
    /// Whether references have weights for chroma, too.
    pub has_chroma: bool,
    pub count: CountCoding,
}

/// Coding of the presentation order (ITU-T H.264, 8.2.1).
#[derive(Debug, Clone, Copy)]
pub(super) enum CountCoding {
    /// The last bits of a count.
    Bits(u32),
    /// Differences from a pattern, if they are coded.
    Differences { are_coded: bool },
    /// None: the presentation order is the decoding order.
    None,
}

/// Relevant part of a picture parameter set (ITU-T H.264, 7.3.2.2).
#[derive(Debug, Clone, Copy)]
pub(super) struct PictureSet {
    pub id: u32,
    /// Sequence parameter set that it refers to.
    pub sequence: u32,
    /// Optional fields of slice headers; `None` if they are not known.
    pub fields: Option<SliceFields>,
}

/// Which optional fields slice headers have behind the count.
#[derive(Debug, Clone, Copy)]
pub(super) struct SliceFields {
    /// `delta_pic_order_cnt_bottom` or `delta_pic_order_cnt[1]`, in frames.
    pub count_difference: bool,
    /// `redundant_pic_cnt`.
    pub redundant_count: bool,
    /// Usual number of references in each of the two lists.
    pub references: [u32; 2],
    /// `weighted_pred_flag`.
    pub weighted: bool,
    /// `weighted_bipred_idc`.
    pub bidirectional_weights: u32,
}

impl PictureSet {
    pub(super) fn parse(unit: &[u8]) -> Option<Self> {
        let plain = unescape(unit.get(1..)?);
        let mut bits = Bits::new(&plain);
        let (id, sequence) = (bits.ue()?, bits.ue()?);
        Some(Self { id, sequence, fields: slice_fields(&mut bits) })
    }
}

/// Parse a picture parameter set behind its ids. `None` also if it has slice groups.
fn slice_fields(bits: &mut Bits) -> Option<SliceFields> {
    bits.bit()?; // entropy_coding_mode_flag
    let count_difference = bits.bit()? == 1;
    if bits.ue()? > 0 {
        return None; // num_slice_groups_minus1
    }
    // num_ref_idx_default_active_minus1
    let references = [bits.ue()?.checked_add(1)?, bits.ue()?.checked_add(1)?];
    let (weighted, bidirectional_weights) = (bits.bit()? == 1, bits.bits(2)?);
    bits.se()?; // pic_init_qp_minus26
    bits.se()?; // pic_init_qs_minus26
    bits.se()?; // chroma_qp_index_offset
    bits.bits(2)?; // deblocking_filter_control_present_flag, constrained_intra_pred_flag
    let redundant_count = bits.bit()? == 1;
    Some(SliceFields {
        count_difference,
        redundant_count,
        references,
        weighted,
        bidirectional_weights,
    })
}

/// Relevant part of a sequence parameter set (ITU-T H.264, 7.3.2.1.1).
pub(super) struct SequenceSet {
    pub id: u32,
    pub fields: Fields,
    /// Whether it states by how many frames the output has to be delayed.
    pub states_delay: bool,
    pub coding: NumberCoding,
}

impl SequenceSet {
    pub(super) fn parse(unit: &[u8]) -> Option<Self> {
        let plain = unescape(unit.get(1..)?);
        let mut bits = Bits::new(&plain);
        let profile = bits.bits(8)?;
        bits.bits(16)?; // constraint flags, level_idc
        let id = bits.ue()?;
        let Planes { separate, has_chroma } = planes(&mut bits, profile)?;
        let frame_num_bits = bits.ue()?.checked_add(4).filter(|bits| *bits <= 16)?;
        let count = count_coding(&mut bits)?;
        bits.ue()?; // max_num_ref_frames
        let allows_gaps = bits.bit()? == 1;
        bits.ue()?; // pic_width_in_mbs_minus1
        bits.ue()?; // pic_height_in_map_units_minus1
        let frames_only = bits.bit()? == 1;
        let offset = frame_num_bits as usize + 2 * usize::from(separate);
        let states_delay = has_bitstream_restriction(&mut bits, frames_only).unwrap_or(false);
        let fields = if frames_only { Fields::Never } else { Fields::Flag { offset } };
        let coding = NumberCoding {
            offset,
            number_bits: frame_num_bits,
            allows_gaps,
            frames_only,
            has_chroma,
            count,
        };
        Some(Self { id, fields, states_delay, coding })
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

/// Planes of the frames.
struct Planes {
    /// Whether each is coded like a luma plane (`separate_colour_plane_flag`).
    separate: bool,
    /// Whether chroma is coded with luma (`ChromaArrayType` is not 0).
    has_chroma: bool,
}

/// Parse the chroma format, and skip the scaling matrices.
fn planes(bits: &mut Bits, profile: u32) -> Option<Planes> {
    // Profiles whose sequence parameter sets have these fields.
    const HIGH: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
    if !HIGH.contains(&profile) {
        return Some(Planes { separate: false, has_chroma: true });
    }
    let chroma_format = bits.ue()?;
    let separate = chroma_format == 3 && bits.bit()? == 1;
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
    Some(Planes { separate, has_chroma: chroma_format != 0 && !separate })
}

/// Parse `pic_order_cnt_type` and the fields that depend on it.
fn count_coding(bits: &mut Bits) -> Option<CountCoding> {
    match bits.ue()? {
        0 => {
            let count_bits = bits.ue()?.checked_add(4).filter(|bits| *bits <= 16)?;
            Some(CountCoding::Bits(count_bits))
        }
        1 => {
            let are_coded = bits.bit()? == 0; // delta_pic_order_always_zero_flag
            bits.se()?; // offset_for_non_ref_pic
            bits.se()?; // offset_for_top_to_bottom_field
            let cycle = bits.ue()?;
            if cycle > 255 {
                return None;
            }
            for _ in 0..cycle {
                bits.se()?; // offset_for_ref_frame
            }
            Some(CountCoding::Differences { are_coded })
        }
        _ => Some(CountCoding::None),
    }
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
