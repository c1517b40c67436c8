//! H.264: which pictures are clean entries and which are no references.

use super::bits::Bits;
use super::nal::{Framing, ParameterSets, unescape};
use super::{Entry, Role};

// Unit types of ITU-T H.264, table 7-1.
const SLICE: u8 = 1;
const DATA_PARTITION_C: u8 = 4;
const IDR_SLICE: u8 = 5;
const SEQUENCE_PARAMETERS: u8 = 7;
const PICTURE_PARAMETERS: u8 = 8;

/// Follows the packets of an H.264 stream.
pub(super) struct Reader {
    framing: Framing,
    /// Whether a picture may be coded as two fields. Then a packet may hold only one of them, and dropping it alone would break
    /// the pair.
    fields: bool,
    sets: ParameterSets,
}

impl Reader {
    /// `extradata` is an `avcC` record (ISO/IEC 14496-15, 5.3.3.1) or units with start codes.
    pub(super) fn new(extradata: &[u8]) -> Self {
        let mut reader = Self { framing: Framing::StartCodes, fields: false, sets: ParameterSets::default() };
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
        for unit in self.framing.units(data) {
            let Some(header) = unit.first() else { continue };
            match header & 31 {
                kind @ SLICE..=IDR_SLICE => {
                    first.get_or_insert(kind);
                    referenced |= header >> 5 & 3 != 0;
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
                _ => {}
            }
        }
        // With data partitioning a damaged partition changes what is decodable; nobody sends it, so nothing is gained by it.
        let partitioned = first.is_some_and(|kind| (SLICE + 1..=DATA_PARTITION_C).contains(&kind));
        Role {
            entry: Entry::clean_if(first == Some(IDR_SLICE)),
            disposable: first.is_some() && !referenced && !self.fields && !partitioned,
            shown: first.is_some(),
            slots: None,
        }
    }

    pub(super) fn parameter_sets(&self) -> Vec<u8> {
        self.sets.as_packet(self.framing)
    }

    fn look_for_fields(&mut self, unit: &[u8]) {
        // What cannot be read is taken for the harder case.
        self.fields |= sequence(unit).is_none_or(|sequence| !sequence.frames_only);
    }
}

struct Sequence {
    id: u32,
    frames_only: bool,
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
    if HIGH.contains(&profile) {
        let chroma_format = bits.ue()?;
        if chroma_format == 3 {
            bits.bit()?;
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
    bits.ue()?; // log2_max_frame_num_minus4
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
    Some(Sequence { id, frames_only: bits.bit()? == 1 })
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
