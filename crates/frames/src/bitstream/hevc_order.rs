//! HEVC: presentation order of frames, from the headers of their slices.

use std::collections::BTreeMap;

use super::bits::Bits;
use super::nal::{nearest_count, unescape};

// Unit types of ITU-T H.265, table 7-1.
const RADL_N: u8 = 6;
const RASL_R: u8 = 9;
const LAST_NON_REFERENCE: u8 = 14;
const FIRST_IRAP: u8 = 16;
const FIRST_IDR: u8 = 19;
const LAST_IDR: u8 = 20;
const LAST_IRAP: u8 = 23;

/// Calculates the presentation order of frames (ITU-T H.265, 8.3.1).
#[derive(Default)]
pub(super) struct Orders {
    sequences: BTreeMap<u32, SequenceCoding>,
    pictures: BTreeMap<u32, PictureCoding>,
    /// Count of the latest frame that later counts refer to.
    previous: i64,
}

/// Coding of slice headers that a sequence parameter set states.
#[derive(Debug, Clone, Copy)]
struct SequenceCoding {
    separate_planes: bool,
    count_bits: u32,
}

/// Coding of slice headers that a picture parameter set states.
#[derive(Debug, Clone, Copy)]
struct PictureCoding {
    sequence: u32,
    has_output_flag: bool,
    extra_bits: u32,
}

impl Orders {
    /// Record a sequence parameter set. `bits` is behind its id.
    pub(super) fn add_sequence(&mut self, id: u32, bits: &mut Bits) {
        match SequenceCoding::parse(bits) {
            Some(coding) => self.sequences.insert(id, coding),
            None => self.sequences.remove(&id),
        };
    }

    /// Record a picture parameter set, which refers to `sequence`. `bits` is behind that id.
    pub(super) fn add_picture(&mut self, id: u32, sequence: u32, bits: &mut Bits) {
        match PictureCoding::parse(sequence, bits) {
            Some(coding) => self.pictures.insert(id, coding),
            None => self.pictures.remove(&id),
        };
    }

    /// Order of the frame that begins with this slice. `starts_sequence` is whether it is an entry
    /// before which the counts end.
    pub(super) fn next(&mut self, slice: &[u8], starts_sequence: bool) -> Option<i64> {
        let [header, layer, ..] = *slice else { return None };
        let unit_type = header >> 1 & 63;
        if (FIRST_IDR..=LAST_IDR).contains(&unit_type) {
            self.previous = 0;
            return Some(0);
        }
        let plain = unescape(slice.get(2..slice.len().min(32))?);
        let mut bits = Bits::new(&plain);
        if bits.bit()? == 0 {
            return None; // not the first segment of a frame
        }
        if (FIRST_IRAP..=LAST_IRAP).contains(&unit_type) {
            bits.bit()?; // no_output_of_prior_pics_flag
        }
        let picture = self.pictures.get(&bits.ue()?)?;
        let sequence = self.sequences.get(&picture.sequence)?;
        bits.bits(picture.extra_bits)?; // slice_reserved_flag
        bits.ue()?; // slice_type
        if picture.has_output_flag {
            bits.bit()?; // pic_output_flag
        }
        if sequence.separate_planes {
            bits.bits(2)?; // colour_plane_id
        }
        let count = bits.bits(sequence.count_bits)?;
        let order = if starts_sequence {
            count.into()
        } else {
            nearest_count(self.previous, count, sequence.count_bits)
        };
        let is_reference = unit_type > LAST_NON_REFERENCE || unit_type % 2 == 1;
        let is_leading = (RADL_N..=RASL_R).contains(&unit_type);
        if layer & 7 == 1 && is_reference && !is_leading {
            self.previous = order;
        }
        Some(order)
    }
}

impl SequenceCoding {
    /// ITU-T H.265, 7.3.2.2.
    fn parse(bits: &mut Bits) -> Option<Self> {
        let separate_planes = bits.ue()? == 3 && bits.bit()? == 1;
        bits.ue()?; // pic_width_in_luma_samples
        bits.ue()?; // pic_height_in_luma_samples
        if bits.bit()? == 1 {
            for _ in 0..4 {
                bits.ue()?; // conf_win_left_offset and the others
            }
        }
        bits.ue()?; // bit_depth_luma_minus8
        bits.ue()?; // bit_depth_chroma_minus8
        let count_bits = bits.ue()?.checked_add(4).filter(|bits| *bits <= 16)?;
        Some(Self { separate_planes, count_bits })
    }
}

impl PictureCoding {
    /// ITU-T H.265, 7.3.2.3.
    fn parse(sequence: u32, bits: &mut Bits) -> Option<Self> {
        bits.bit()?; // dependent_slice_segments_enabled_flag
        let has_output_flag = bits.bit()? == 1;
        Some(Self { sequence, has_output_flag, extra_bits: bits.bits(3)? })
    }
}
