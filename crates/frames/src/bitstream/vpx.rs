//! VP8 and VP9: key frames.

use super::role::{Entry, KeyFrame, Role};

/// Role of a VP8 packet (RFC 6386, section 9.1): bit 0 of the frame tag is clear in key frames,
/// where a start code follows the tag; bit 4 is `show_frame`.
pub(super) fn vp8_role(packet: &[u8]) -> Role {
    let displayed = |tag: u8| tag >> 4 & 1 == 1;
    match *packet {
        [tag, _, _, 0x9D, 0x01, 0x2A, ..] if tag & 1 == 0 => {
            Role { displayed: displayed(tag), ..Role::INTRA }
        }
        [tag, ..] if tag & 1 == 1 => {
            Role { displayed: displayed(tag), key_frame: KeyFrame::Impossible, ..Role::UNKNOWN }
        }
        _ => Role::UNKNOWN,
    }
}

/// Role of a VP9 packet (VP9 bitstream specification 0.6, section 6.2): frame marker, profile (one
/// more bit in profile 3), `show_existing_frame`, `frame_type`. In a superframe the first frame is
/// decisive: a key frame there resets all references.
pub(super) fn vp9_role(packet: &[u8]) -> Role {
    let frames = superframe(packet).unwrap_or_else(|| vec![packet]);
    let mut kinds = frames.into_iter().map(Vp9Frame::of);
    let first = kinds.next().unwrap_or(Vp9Frame::Unknown);
    let may_be_key = first != Vp9Frame::Inter || kinds.any(|kind| kind != Vp9Frame::Inter);
    Role {
        entry: Entry::clean_if(first == Vp9Frame::Key),
        key_frame: KeyFrame::possible_if(may_be_key),
        ..Role::UNKNOWN
    }
}

/// Kind of a VP9 frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vp9Frame {
    Key,
    /// It refers to others, or is no key frame although it does not.
    Inter,
    /// It shows an earlier frame again, or is not understood.
    Unknown,
}

impl Vp9Frame {
    fn of(frame: &[u8]) -> Self {
        let Some(first) = frame.first() else { return Self::Unknown };
        let bit = |n: u8| first >> (7 - n) & 1;
        let is_frame = bit(0) == 1 && bit(1) == 0;
        let reserved = u8::from(bit(2) == 1 && bit(3) == 1);
        let existing = bit(4 + reserved) == 1;
        match bit(5 + reserved) {
            _ if !is_frame || existing => Self::Unknown,
            0 => Self::Key,
            _ => Self::Inter,
        }
    }
}

/// Frames of a superframe (VP9 bitstream specification 0.6, annex B). `None` if the packet is none.
fn superframe(packet: &[u8]) -> Option<Vec<&[u8]>> {
    let marker = *packet.last()?;
    let (count, size_bytes) = (usize::from(marker & 7) + 1, usize::from(marker >> 3 & 3) + 1);
    let index_at = packet.len().checked_sub(2 + count * size_bytes)?;
    if marker & 0xE0 != 0xC0 || packet[index_at] != marker {
        return None;
    }
    let mut rest = &packet[..index_at];
    let sizes = packet[index_at + 1..].chunks_exact(size_bytes).take(count);
    let number =
        |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let mut frames = Vec::with_capacity(count);
    for size in sizes.map(number) {
        let (frame, others) = rest.split_at_checked(size)?;
        frames.push(frame);
        rest = others;
    }
    Some(frames)
}
