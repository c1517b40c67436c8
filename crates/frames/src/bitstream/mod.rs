//! What can be told of a packet without decoding it: whether decoding can begin at it, and whether
//! anything depends on it.
//!
//! Whatever is not understood is taken for a picture that others need; that is always correct, only
//! slower.

mod av1;
mod bits;
mod h264;
mod hevc;
mod nal;

use ffmpeg_next as ff;

use crate::av::StreamInfo;

/// What a packet means for the packets around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Role {
    /// Whether decoding can begin here with a fresh decoder.
    pub entry: Entry,
    /// No other picture refers to this one.
    pub disposable: bool,
    /// The packet gives a picture to show.
    pub shown: bool,
    /// Which reference slots the packet uses, for codecs that say so.
    pub slots: Option<Slots>,
}

/// Reference slots of a decoder, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slots {
    /// Slots whose pictures the packet refers to.
    pub reads: u8,
    /// Slots that hold a picture of the packet from then on.
    pub writes: u8,
}

/// What comes out right when decoding begins at a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Nothing that can be relied on.
    None,
    /// Every later picture in decoding order.
    Clean,
    /// Every later picture but those that precede this one in presentation order: they need what
    /// came before.
    Open,
}

impl Entry {
    /// A clean entry if `clean`, else none.
    fn clean_if(clean: bool) -> Self {
        if clean { Self::Clean } else { Self::None }
    }
}

impl Role {
    /// Of a packet about which nothing is known.
    pub(crate) const UNKNOWN: Self =
        Self { entry: Entry::None, disposable: false, shown: true, slots: None };
    const INTRA: Self = Self { entry: Entry::Clean, disposable: false, shown: true, slots: None };
}

/// Reads the packets of one stream in decoding order and tells their roles.
pub(crate) struct Classifier {
    codec: Codec,
}

enum Codec {
    H264(h264::Reader),
    Hevc(hevc::Reader),
    Vp8,
    Vp9,
    Av1(av1::Reader),
    IntraOnly,
    /// Nothing is known of the codec's structure.
    Opaque,
}

/// Intra-only codecs whose packets need nothing from earlier ones, palettes and tables included.
const SELF_CONTAINED: [&str; 10] = [
    "mjpeg", "prores", "dnxhd", "huffyuv", "ffvhuff", "utvideo", "magicyuv", "cfhd", "dvvideo",
    "jpeg2000",
];

impl Classifier {
    pub(crate) fn new(info: &StreamInfo) -> Self {
        let codec = match info.codec.as_str() {
            "h264" => Codec::H264(h264::Reader::new(&info.extradata)),
            "hevc" => Codec::Hevc(hevc::Reader::new(&info.extradata)),
            "vp8" => Codec::Vp8,
            "vp9" => Codec::Vp9,
            "av1" => Codec::Av1(av1::Reader::new(&info.extradata)),
            name if info.intra_only && SELF_CONTAINED.contains(&name) => Codec::IntraOnly,
            _ => Codec::Opaque,
        };
        Self { codec }
    }

    /// The role of the next packet.
    pub(crate) fn role(&mut self, packet: &ff::Packet) -> Role {
        let Some(data) = packet.data() else { return Role::UNKNOWN };
        match &mut self.codec {
            Codec::H264(reader) => reader.role(data),
            Codec::Hevc(reader) => reader.role(data),
            Codec::Vp8 => vp8(data),
            Codec::Vp9 => vp9(data),
            Codec::Av1(reader) => reader.role(data),
            Codec::IntraOnly if packet.is_key() => Role::INTRA,
            Codec::IntraOnly | Codec::Opaque => Role::UNKNOWN,
        }
    }

    /// The newest parameter sets that stood in packets so far, in the form in which they can be put
    /// before the packet just classified. A fresh decoder that begins there has not seen the
    /// earlier ones.
    pub(crate) fn parameter_sets(&self) -> Vec<u8> {
        match &self.codec {
            Codec::H264(reader) => reader.parameter_sets(),
            Codec::Hevc(reader) => reader.parameter_sets(),
            _ => Vec::new(),
        }
    }
}

/// RFC 6386, section 9.1: bit 0 of the frame tag is clear in key frames, which go on with a start
/// code; bit 4 says that the frame is shown.
fn vp8(data: &[u8]) -> Role {
    let shown = |tag: u8| tag >> 4 & 1 == 1;
    match *data {
        [tag, _, _, 0x9D, 0x01, 0x2A, ..] if tag & 1 == 0 => {
            Role { shown: shown(tag), ..Role::INTRA }
        }
        [tag, ..] if tag & 1 == 1 => Role { shown: shown(tag), ..Role::UNKNOWN },
        _ => Role::UNKNOWN,
    }
}

/// VP9 bitstream specification 0.6, section 6.2: frame marker, profile (one more bit in profile 3),
/// `show_existing_frame`, `frame_type`. In a superframe the first frame decides: a key frame there
/// resets all references.
fn vp9(data: &[u8]) -> Role {
    let Some(first) = data.first() else { return Role::UNKNOWN };
    let bit = |n: u8| first >> (7 - n) & 1;
    let is_frame = bit(0) == 1 && bit(1) == 0;
    let reserved = u8::from(bit(2) == 1 && bit(3) == 1);
    let existing = bit(4 + reserved) == 1;
    let key = bit(5 + reserved) == 0;
    Role {
        entry: Entry::clean_if(is_frame && !existing && key),
        disposable: false,
        shown: true,
        slots: None,
    }
}
