//! AV1: which temporal units are clean entries, and which of the eight reference slots each reads
//! and writes.
//!
//! Everything that an AV1 frame takes over from others, entropy contexts, motion vectors and film
//! grain included, comes from the slots that its header names, so what nobody reads can be left
//! out.

use super::bits::Bits;
use super::{Entry, Role, Slots};

// Types of AV1 bitstream specification 1.0.0 errata 1, section 6.2.2.
const SEQUENCE_HEADER: u8 = 1;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;
// Frame types of section 6.8.2.
const KEY_FRAME: u32 = 0;
const INTRA_ONLY_FRAME: u32 = 2;
const SWITCH_FRAME: u32 = 3;

/// Follows the temporal units of an AV1 stream.
pub(super) struct Reader {
    sequence: Option<Sequence>,
    /// Slots that hold a key frame, which showing again makes an entry of its own kind.
    key_slots: u8,
}

impl Reader {
    /// `extradata` is an `av1C` record: four bytes, then units (AV1 Codec ISO Media File Format
    /// Binding, 2.3.3).
    pub(super) fn new(extradata: &[u8]) -> Self {
        let mut reader = Self { sequence: None, key_slots: 0 };
        let units = extradata.get(4..).unwrap_or_default();
        reader.sequence = Units(units)
            .find(|(kind, _)| *kind == SEQUENCE_HEADER)
            .and_then(|(_, unit)| sequence(unit));
        reader
    }

    pub(super) fn role(&mut self, data: &[u8]) -> Role {
        let mut entry = None;
        let mut shown = false;
        let mut slots = Some(Slots { reads: 0, writes: 0 });
        for (kind, unit) in Units(data) {
            match kind {
                SEQUENCE_HEADER => self.sequence = sequence(unit),
                FRAME_HEADER | FRAME => {
                    let Some(frame) =
                        self.sequence.as_ref().and_then(|sequence| frame(sequence, unit))
                    else {
                        return Role::UNKNOWN;
                    };
                    entry.get_or_insert(frame.kind == Some(KEY_FRAME) && frame.shown);
                    shown |= frame.shown;
                    let shows_key = frame.kind.is_none() && frame.slots.reads & self.key_slots != 0;
                    slots = slots.filter(|_| !shows_key).map(|slots| Slots {
                        reads: slots.reads | frame.slots.reads & !slots.writes,
                        writes: slots.writes | frame.slots.writes,
                    });
                    self.key_slots &= !frame.slots.writes;
                    if frame.kind == Some(KEY_FRAME) {
                        self.key_slots |= frame.slots.writes;
                    }
                }
                _ => {}
            }
        }
        let Some(entry) = entry else {
            return Role::UNKNOWN;
        };
        Role {
            entry: Entry::clean_if(entry),
            disposable: slots.is_some_and(|slots| slots.writes == 0),
            shown,
            slots,
        }
    }
}

/// The units of a temporal unit, each with its type and without its header (section 5.3).
struct Units<'a>(&'a [u8]);

impl<'a> Iterator for Units<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (header, mut rest) = self.0.split_first()?;
        if header & 4 != 0 {
            rest = rest.get(1..)?;
        }
        let mut size = rest.len();
        if header & 2 != 0 {
            let (length, tail) = leb128(rest)?;
            (size, rest) = (length, tail);
        }
        let (unit, tail) = rest.split_at_checked(size)?;
        self.0 = tail;
        Some((header >> 3 & 15, unit))
    }
}

/// Section 4.10.5.
fn leb128(data: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0;
    for (i, byte) in data.iter().take(8).enumerate() {
        number |= usize::from(byte & 127) << (7 * i);
        if byte & 128 == 0 {
            return Some((number, &data[i + 1..]));
        }
    }
    None
}

/// What frame headers depend on (section 5.5).
struct Sequence {
    /// Bits of a presentation time, where frames carry one.
    presentation_time: Option<u32>,
    decoder_model: bool,
    /// Bits of a frame's number and of a difference of two.
    frame_ids: Option<(u32, u32)>,
    order_hint_bits: u32,
    /// 0, 1, or 2 where each frame says it.
    screen_content: u32,
    integer_motion: u32,
}

fn sequence(unit: &[u8]) -> Option<Sequence> {
    let mut bits = Bits::new(unit);
    bits.bits(3)?; // seq_profile
    bits.bit()?; // still_picture
    if bits.bit()? == 1 {
        return None; // reduced_still_picture_header: one picture has no others to refer to
    }
    let mut decoder_model = None;
    let mut equal_interval = false;
    if bits.bit()? == 1 {
        bits.skip(64); // num_units_in_display_tick, time_scale
        equal_interval = bits.bit()? == 1;
        if equal_interval {
            bits.ue()?; // num_ticks_per_picture_minus_1, whose uvlc is an Exp-Golomb number
        }
        if bits.bit()? == 1 {
            let buffer_delay = bits.bits(5)? + 1;
            bits.skip(32 + 5); // num_units_in_decoding_tick, buffer_removal_time_length_minus_1
            decoder_model = Some((buffer_delay, bits.bits(5)? + 1));
        }
    }
    let display_delay = bits.bit()? == 1;
    for _ in 0..=bits.bits(5)? {
        bits.skip(12); // operating_point_idc
        if bits.bits(5)? > 7 {
            bits.skip(1); // seq_tier
        }
        if let Some((buffer_delay, _)) = decoder_model
            && bits.bit()? == 1
        {
            bits.skip(2 * buffer_delay as usize + 1);
        }
        if display_delay && bits.bit()? == 1 {
            bits.skip(4);
        }
    }
    let (width, height) = (bits.bits(4)? + 1, bits.bits(4)? + 1);
    bits.skip((width + height) as usize);
    let mut frame_ids = None;
    if bits.bit()? == 1 {
        let difference = bits.bits(4)? + 2;
        frame_ids = Some((bits.bits(3)? + difference + 1, difference));
    }
    bits.skip(7); // superblocks to dual filter
    let order_hint = bits.bit()? == 1;
    if order_hint {
        bits.skip(2); // enable_jnt_comp, enable_ref_frame_mvs
    }
    let screen_content = if bits.bit()? == 1 { 2 } else { bits.bit()? };
    let integer_motion = if screen_content == 0 || bits.bit()? == 1 { 2 } else { bits.bit()? };
    let order_hint_bits = if order_hint { bits.bits(3)? + 1 } else { 0 };
    let presentation_time = decoder_model.filter(|_| !equal_interval).map(|(_, bits)| bits);
    let decoder_model = decoder_model.is_some();
    Some(Sequence {
        presentation_time,
        decoder_model,
        frame_ids,
        order_hint_bits,
        screen_content,
        integer_motion,
    })
}

struct Frame {
    /// `None` where a frame that is in a slot is shown.
    kind: Option<u32>,
    shown: bool,
    slots: Slots,
}

/// The beginning of a frame header, up to its references (section 5.9.2).
fn frame(sequence: &Sequence, unit: &[u8]) -> Option<Frame> {
    let mut bits = Bits::new(unit);
    if bits.bit()? == 1 {
        let slots = Slots { reads: 1 << bits.bits(3)?, writes: 0 };
        return Some(Frame { kind: None, shown: true, slots });
    }
    let kind = bits.bits(2)?;
    let shown = bits.bit()? == 1;
    if shown {
        bits.skip(sequence.presentation_time.unwrap_or(0) as usize);
    } else {
        bits.skip(1); // showable_frame
    }
    let resets = kind == SWITCH_FRAME || (kind == KEY_FRAME && shown);
    let resilient = resets || bits.bit()? == 1;
    bits.skip(1); // disable_cdf_update
    let screen_content =
        if sequence.screen_content == 2 { bits.bit()? } else { sequence.screen_content };
    if screen_content == 1 && sequence.integer_motion == 2 {
        bits.skip(1);
    }
    if let Some((id, _)) = sequence.frame_ids {
        bits.skip(id as usize);
    }
    if kind != SWITCH_FRAME {
        bits.skip(1); // frame_size_override_flag
    }
    bits.skip(sequence.order_hint_bits as usize);
    let intra = kind == KEY_FRAME || kind == INTRA_ONLY_FRAME;
    if !intra && !resilient {
        bits.skip(3); // primary_ref_frame names one of the references below
    }
    if sequence.decoder_model && bits.bit()? == 1 {
        return None; // buffer removal times would have to be read for each operating point
    }
    let writes = if resets { 0xFF } else { bits.bits(8)? as u8 };
    let mut reads = 0;
    if !intra {
        if resilient && sequence.order_hint_bits > 0 {
            bits.skip(8 * sequence.order_hint_bits as usize);
        }
        if sequence.order_hint_bits > 0 && bits.bit()? == 1 {
            reads = 0xFF; // short signalling: which slots these are follows from all of them
        } else {
            for _ in 0..7 {
                reads |= 1 << bits.bits(3)?;
                bits.skip(sequence.frame_ids.map_or(0, |(_, difference)| difference) as usize);
            }
        }
    }
    Some(Frame { kind: Some(kind), shown, slots: Slots { reads, writes } })
}
