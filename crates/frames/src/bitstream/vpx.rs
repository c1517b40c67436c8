//! VP8 and VP9: key frames.

use super::role::{Entry, Role};

/// Role of a VP8 packet (RFC 6386, section 9.1): bit 0 of the frame tag is clear in key frames,
/// where a start code follows the tag; bit 4 is `show_frame`.
pub(super) fn vp8_role(packet: &[u8]) -> Role {
    let displayed = |tag: u8| tag >> 4 & 1 == 1;
    match *packet {
        [tag, _, _, 0x9D, 0x01, 0x2A, ..] if tag & 1 == 0 => {
            Role { displayed: displayed(tag), ..Role::INTRA }
        }
        [tag, ..] if tag & 1 == 1 => Role { displayed: displayed(tag), ..Role::UNKNOWN },
        _ => Role::UNKNOWN,
    }
}

/// Role of a VP9 packet (VP9 bitstream specification 0.6, section 6.2): frame marker, profile (one
/// more bit in profile 3), `show_existing_frame`, `frame_type`. In a superframe the first frame is
/// decisive: a key frame there resets all references.
pub(super) fn vp9_role(packet: &[u8]) -> Role {
    let Some(first) = packet.first() else { return Role::UNKNOWN };
    let bit = |n: u8| first >> (7 - n) & 1;
    let is_frame = bit(0) == 1 && bit(1) == 0;
    let reserved = u8::from(bit(2) == 1 && bit(3) == 1);
    let existing = bit(4 + reserved) == 1;
    let key = bit(5 + reserved) == 0;
    Role { entry: Entry::clean_if(is_frame && !existing && key), ..Role::UNKNOWN }
}
