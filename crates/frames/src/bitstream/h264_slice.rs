//! Slice headers of H.264 behind the coded order (ITU-T H.264, 7.3.3).

use super::bits::Bits;
use super::h264_parameters::{CountCoding, NumberCoding, PictureSet};

/// Maximum size of a slice header that is parsed, in bytes.
pub(super) const MAX_HEADER: usize = 256;

/// Type of a slice, modulo 5 (ITU-T H.264, table 7-6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SliceType {
    /// P or SP.
    Predicted,
    /// B.
    Bidirectional,
    /// I or SI.
    Intra,
}

impl SliceType {
    pub(super) fn new(coded: u32) -> Self {
        match coded % 5 {
            0 | 3 => Self::Predicted,
            1 => Self::Bidirectional,
            _ => Self::Intra,
        }
    }
}

/// Whether a reference frame resets the numbers of frames; `None` if that cannot be parsed. `bits`
/// is behind the count.
pub(super) fn resets_numbers(
    bits: &mut Bits,
    slice: SliceType,
    picture: PictureSet,
    coding: NumberCoding,
) -> Option<bool> {
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
    if slice == SliceType::Bidirectional {
        bits.bit()?; // direct_spatial_mv_pred_flag
    }
    let lists = match slice {
        SliceType::Intra => 0,
        SliceType::Predicted => 1,
        SliceType::Bidirectional => 2,
    };
    let mut references = fields.references;
    if lists > 0 && bits.bit()? == 1 {
        for count in &mut references[..lists] {
            *count = bits.ue()?.checked_add(1)?; // num_ref_idx_active_minus1
        }
    }
    for _ in 0..lists {
        skip_list_modification(bits)?;
    }
    let is_weighted = match slice {
        SliceType::Intra => false,
        SliceType::Predicted => fields.weighted,
        SliceType::Bidirectional => fields.bidirectional_weights == EXPLICIT_WEIGHTS,
    };
    if is_weighted {
        skip_weights(bits, &references[..lists], coding.has_chroma)?;
    }
    has_reset_operation(bits)
}

/// Value of `weighted_bipred_idc` with weights in the slice header.
const EXPLICIT_WEIGHTS: u32 = 1;

/// Skip the modification of a list of references (7.3.3.1).
fn skip_list_modification(bits: &mut Bits) -> Option<()> {
    const END: u32 = 3;
    if bits.bit()? == 1 {
        while bits.ue()? != END {
            bits.ue()?; // abs_diff_pic_num_minus1, or another number
        }
    }
    Some(())
}

/// Skip the weights of references (7.3.3.2).
fn skip_weights(bits: &mut Bits, references: &[u32], has_chroma: bool) -> Option<()> {
    bits.ue()?; // luma_log2_weight_denom
    if has_chroma {
        bits.ue()?; // chroma_log2_weight_denom
    }
    for _ in 0..references.iter().sum::<u32>().min(64) {
        for numbers in if has_chroma { &[2, 4][..] } else { &[2] } {
            if bits.bit()? == 1 {
                for _ in 0..*numbers {
                    bits.se()?; // a weight or an offset
                }
            }
        }
    }
    Some(())
}

/// Whether the operations on reference frames (7.3.3.3) include one that resets the numbers.
fn has_reset_operation(bits: &mut Bits) -> Option<bool> {
    // Values of memory_management_control_operation.
    const END: u32 = 0;
    const ASSIGN_LONG_TERM: u32 = 3;
    const RESET: u32 = 5;
    const LAST: u32 = 6;
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

#[cfg(test)]
mod tests {
    use super::super::h264_parameters::SliceFields;
    use super::*;

    /// Whether a header with these bits behind the count resets the numbers.
    fn resets(slice: SliceType, weighted: bool, bits: &str) -> Option<bool> {
        let fields = SliceFields {
            count_difference: false,
            redundant_count: false,
            references: [1, 1],
            weighted,
            bidirectional_weights: 0,
        };
        let picture = PictureSet { id: 0, sequence: 0, fields: Some(fields) };
        let coding = NumberCoding {
            offset: 4,
            number_bits: 4,
            allows_gaps: false,
            frames_only: true,
            has_chroma: true,
            count: CountCoding::Bits(4),
        };
        let digits: Vec<u8> = bits.bytes().filter(u8::is_ascii_digit).collect();
        let byte =
            |digits: &[u8]| {
                digits.iter().rev().enumerate().fold(0, |sum, (place, digit)| {
                    sum | (digit - b'0') << (place + 8 - digits.len())
                })
            };
        let bytes: Vec<u8> = digits.chunks(8).map(byte).collect();
        resets_numbers(&mut Bits::new(&bytes), slice, picture, coding)
    }

    #[test]
    fn operations_follow_the_lists_and_weights_of_references() {
        use SliceType::{Bidirectional, Intra, Predicted};
        // Operation 5 is 00110, no operation 0.
        assert_eq!(resets(Intra, false, "1 00110"), Some(true));
        assert_eq!(resets(Intra, false, "0"), Some(false));
        assert_eq!(resets(Predicted, false, "0 0 1 00110"), Some(true));
        assert_eq!(resets(Predicted, false, "0 0 0"), Some(false));
        assert_eq!(resets(Bidirectional, false, "1 0 0 0 1 00110"), Some(true));
        // Two references, a modified list, and weights of luma for the first one.
        let lists = "1 010 1 1 1 00100";
        let weights = "1 1 1 1 1 0 0 0";
        assert_eq!(resets(Predicted, true, &format!("{lists}{weights} 1 00110")), Some(true));
        assert_eq!(resets(Predicted, false, &format!("{lists} 0")), Some(false));
        // Operation 1 with a number, then the end.
        assert_eq!(resets(Predicted, false, "0 0 1 010 1 1"), Some(false));
        assert_eq!(resets(Predicted, false, ""), None, "the header is cut");
    }
}
