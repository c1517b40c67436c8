//! AV1: clean entries, and the reference slots that each temporal unit reads and writes.
//!
//! All state that an AV1 frame inherits from others, including entropy contexts, motion vectors and
//! film grain, comes from the slots that its header names. Frames that no later header names can be
//! dropped.

use super::bits::Bits;
use super::role::{Entry, KeyFrame, ReferenceSlots, Role};

// Unit types of the AV1 bitstream specification 1.0.0 errata 1, section 6.2.2.
const SEQUENCE_HEADER: u8 = 1;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;
// Frame types of section 6.8.2.
const KEY_FRAME: u32 = 0;
const INTRA_ONLY_FRAME: u32 = 2;
const SWITCH_FRAME: u32 = 3;

/// Parser of the temporal units of an AV1 stream.
pub(super) struct Parser {
    sequence: Option<SequenceHeader>,
    /// Latest sequence header in a packet.
    sequence_unit: Vec<u8>,
    /// Whether the packet classified last has none.
    lacks_sequence: bool,
    /// Slots that hold a key frame. Showing it again resets the decoder.
    key_slots: u8,
}

impl Parser {
    /// `extradata` is an `av1C` record: four bytes, then units (AV1 Codec ISO Media File Format
    /// Binding, 2.3.3).
    pub(super) fn new(extradata: &[u8]) -> Self {
        let sequence = Units(extradata.get(4..).unwrap_or_default())
            .find(|(unit_type, _)| *unit_type == SEQUENCE_HEADER)
            .and_then(|(_, unit)| SequenceHeader::parse(unit));
        Self { sequence, sequence_unit: Vec::new(), lacks_sequence: false, key_slots: 0 }
    }

    /// Role of the next packet, which is a temporal unit.
    pub(super) fn role(&mut self, packet: &[u8]) -> Role {
        let mut entry = None;
        let mut displayed = false;
        let mut may_be_key = false;
        let mut slots = Some(ReferenceSlots { reads: 0, writes: 0 });
        self.lacks_sequence = true;
        for (unit_type, unit) in Units(packet) {
            match unit_type {
                SEQUENCE_HEADER => {
                    self.sequence = SequenceHeader::parse(unit);
                    self.sequence_unit = unit.to_vec();
                    self.lacks_sequence = false;
                }
                FRAME_HEADER | FRAME => {
                    let Some(frame) = self
                        .sequence
                        .as_ref()
                        .and_then(|sequence| FrameHeader::parse(sequence, unit))
                    else {
                        return Role::UNKNOWN;
                    };
                    let is_key = frame.frame_type == Some(KEY_FRAME);
                    entry.get_or_insert(is_key && frame.shown);
                    displayed |= frame.shown;
                    let shows_key =
                        frame.frame_type.is_none() && frame.slots.reads & self.key_slots != 0;
                    may_be_key |= is_key || shows_key;
                    slots = slots.filter(|_| !shows_key).map(|slots| ReferenceSlots {
                        reads: slots.reads | frame.slots.reads & !slots.writes,
                        writes: slots.writes | frame.slots.writes,
                    });
                    self.key_slots &= !frame.slots.writes;
                    if is_key {
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
            key_frame: KeyFrame::possible_if(may_be_key),
            disposable: slots.is_some_and(|slots| slots.writes == 0),
            displayed,
            slots,
            ..Role::UNKNOWN
        }
    }

    /// Sequence header in force, in the form in which it can precede a packet. `None` if the packet
    /// classified last has its own, or no earlier one had any.
    pub(super) fn headers(&self) -> Option<Vec<u8>> {
        let unit = Some(&self.sequence_unit).filter(|unit| !unit.is_empty())?;
        // A size in one or two bytes of seven bits each suffices for any valid header.
        let size = [unit.len() as u8 & 127 | 128, (unit.len() >> 7) as u8];
        let has_size = 2;
        let packet = [&[SEQUENCE_HEADER << 3 | has_size], size.as_slice(), unit].concat();
        (self.lacks_sequence && unit.len() < 1 << 14).then_some(packet)
    }
}

/// Iterator over the units of a temporal unit: type, and data without header (section 5.3).
struct Units<'a>(&'a [u8]);

impl<'a> Iterator for Units<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (header, mut rest) = self.0.split_first()?;
        if header & 4 != 0 {
            rest = rest.get(1..)?; // extension header
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

/// Parse a number in LEB128 (section 4.10.5). Return it and the data that follows.
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

/// Part of a sequence header on which frame headers depend (section 5.5).
struct SequenceHeader {
    /// Length of the presentation time in bits, if frames have one.
    presentation_time_bits: Option<u32>,
    has_decoder_model: bool,
    frame_ids: Option<FrameIds>,
    order_hint_bits: u32,
    /// 0, 1, or 2 if each frame header states it.
    screen_content: u32,
    /// 0, 1, or 2 if each frame header states it.
    integer_motion: u32,
}

/// Lengths of frame ids in bits.
struct FrameIds {
    id_bits: u32,
    /// Length of the difference of two ids.
    delta_bits: u32,
}

/// Lengths of the fields of a decoder model in bits.
#[derive(Clone, Copy)]
struct DecoderModel {
    buffer_delay_bits: u32,
    presentation_time_bits: u32,
}

/// Timing information of a sequence header.
struct TimingInfo {
    equal_interval: bool,
    decoder_model: Option<DecoderModel>,
}

impl SequenceHeader {
    fn parse(unit: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(unit);
        bits.bits(3)?; // seq_profile
        bits.bit()?; // still_picture
        if bits.bit()? == 1 {
            return None; // reduced_still_picture_header: a single frame has no references
        }
        let timing = timing_info(&mut bits)?;
        skip_operating_points(&mut bits, timing.decoder_model)?;
        let (width_bits, height_bits) = (bits.bits(4)? + 1, bits.bits(4)? + 1);
        bits.skip((width_bits + height_bits) as usize);
        let mut frame_ids = None;
        if bits.bit()? == 1 {
            let delta_bits = bits.bits(4)? + 2;
            frame_ids = Some(FrameIds { id_bits: bits.bits(3)? + delta_bits + 1, delta_bits });
        }
        bits.skip(7); // from use_128x128_superblock to enable_dual_filter
        let order_hint = bits.bit()? == 1;
        if order_hint {
            bits.skip(2); // enable_jnt_comp, enable_ref_frame_mvs
        }
        let screen_content = if bits.bit()? == 1 { 2 } else { bits.bit()? };
        let integer_motion = if screen_content == 0 || bits.bit()? == 1 { 2 } else { bits.bit()? };
        let order_hint_bits = if order_hint { bits.bits(3)? + 1 } else { 0 };
        let has_times = !timing.equal_interval;
        Some(Self {
            presentation_time_bits: timing
                .decoder_model
                .filter(|_| has_times)
                .map(|model| model.presentation_time_bits),
            has_decoder_model: timing.decoder_model.is_some(),
            frame_ids,
            order_hint_bits,
            screen_content,
            integer_motion,
        })
    }
}

fn timing_info(bits: &mut Bits) -> Option<TimingInfo> {
    let mut timing = TimingInfo { equal_interval: false, decoder_model: None };
    if bits.bit()? == 1 {
        bits.skip(64); // num_units_in_display_tick, time_scale
        timing.equal_interval = bits.bit()? == 1;
        if timing.equal_interval {
            bits.ue()?; // num_ticks_per_picture_minus_1, whose uvlc is an Exp-Golomb number
        }
        if bits.bit()? == 1 {
            let buffer_delay_bits = bits.bits(5)? + 1;
            bits.skip(32 + 5); // num_units_in_decoding_tick, buffer_removal_time_length_minus_1
            let presentation_time_bits = bits.bits(5)? + 1;
            timing.decoder_model = Some(DecoderModel { buffer_delay_bits, presentation_time_bits });
        }
    }
    Some(timing)
}

fn skip_operating_points(bits: &mut Bits, decoder_model: Option<DecoderModel>) -> Option<()> {
    let display_delay = bits.bit()? == 1;
    for _ in 0..=bits.bits(5)? {
        bits.skip(12); // operating_point_idc
        if bits.bits(5)? > 7 {
            bits.skip(1); // seq_tier
        }
        if let Some(model) = decoder_model
            && bits.bit()? == 1
        {
            bits.skip(2 * model.buffer_delay_bits as usize + 1);
        }
        if display_delay && bits.bit()? == 1 {
            bits.skip(4); // initial_display_delay_minus_1
        }
    }
    Some(())
}

/// Beginning of a frame header, up to its references (section 5.9.2).
struct FrameHeader {
    /// `None` if a frame from a slot is shown.
    frame_type: Option<u32>,
    shown: bool,
    slots: ReferenceSlots,
}

impl FrameHeader {
    fn parse(sequence: &SequenceHeader, unit: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(unit);
        if bits.bit()? == 1 {
            let slots = ReferenceSlots { reads: 1 << bits.bits(3)?, writes: 0 };
            return Some(Self { frame_type: None, shown: true, slots });
        }
        let frame_type = bits.bits(2)?;
        let shown = bits.bit()? == 1;
        if shown {
            bits.skip(sequence.presentation_time_bits.unwrap_or(0) as usize);
        } else {
            bits.skip(1); // showable_frame
        }
        let resets = frame_type == SWITCH_FRAME || (frame_type == KEY_FRAME && shown);
        let resilient = resets || bits.bit()? == 1;
        bits.skip(1); // disable_cdf_update
        let screen_content =
            if sequence.screen_content == 2 { bits.bit()? } else { sequence.screen_content };
        if screen_content == 1 && sequence.integer_motion == 2 {
            bits.skip(1); // force_integer_mv
        }
        if let Some(ids) = &sequence.frame_ids {
            bits.skip(ids.id_bits as usize);
        }
        if frame_type != SWITCH_FRAME {
            bits.skip(1); // frame_size_override_flag
        }
        bits.skip(sequence.order_hint_bits as usize);
        let intra = frame_type == KEY_FRAME || frame_type == INTRA_ONLY_FRAME;
        if !intra && !resilient {
            bits.skip(3); // primary_ref_frame is one of the references below
        }
        if sequence.has_decoder_model && bits.bit()? == 1 {
            return None; // buffer removal times would have to be parsed per operating point
        }
        let writes = if resets { 0xFF } else { bits.bits(8)? as u8 };
        let reads = if intra { 0 } else { read_references(&mut bits, sequence, resilient)? };
        let slots = ReferenceSlots { reads, writes };
        Some(Self { frame_type: Some(frame_type), shown, slots })
    }
}

/// Slots to which a frame refers.
fn read_references(bits: &mut Bits, sequence: &SequenceHeader, resilient: bool) -> Option<u8> {
    if resilient && sequence.order_hint_bits > 0 {
        bits.skip(8 * sequence.order_hint_bits as usize);
    }
    if sequence.order_hint_bits > 0 && bits.bit()? == 1 {
        return Some(0xFF); // frame_refs_short_signaling: derived from all slots
    }
    let delta_bits = sequence.frame_ids.as_ref().map_or(0, |ids| ids.delta_bits);
    let mut reads = 0;
    for _ in 0..7 {
        reads |= 1 << bits.bits(3)?;
        bits.skip(delta_bits as usize);
    }
    Some(reads)
}
