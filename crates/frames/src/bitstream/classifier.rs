//! Classifier of the packets of a stream.

use crate::av::{Packet, StreamInfo};

use super::role::Role;
use super::{av1, h264, hevc, vpx};

/// Determines the role of each packet of a stream, in decoding order.
pub(crate) struct Classifier {
    codec: Codec,
}

enum Codec {
    H264(h264::Parser),
    Hevc(hevc::Parser),
    Vp8,
    Vp9,
    Av1(av1::Parser),
    IntraOnly,
    /// Any other codec.
    Other,
}

/// Intra-only codecs whose packets depend on no earlier ones, including palettes and tables.
const SELF_CONTAINED: [&str; 10] = [
    "mjpeg", "prores", "dnxhd", "huffyuv", "ffvhuff", "utvideo", "magicyuv", "cfhd", "dvvideo",
    "jpeg2000",
];

impl Classifier {
    pub(crate) fn new(info: &StreamInfo) -> Self {
        let codec = match info.source.codec.as_str() {
            "h264" => Codec::H264(h264::Parser::new(&info.extradata)),
            "hevc" => Codec::Hevc(hevc::Parser::new(&info.extradata)),
            "vp8" => Codec::Vp8,
            "vp9" => Codec::Vp9,
            "av1" => Codec::Av1(av1::Parser::new(&info.extradata)),
            name if info.intra_only && SELF_CONTAINED.contains(&name) => Codec::IntraOnly,
            _ => Codec::Other,
        };
        Self { codec }
    }

    /// Role of the next packet.
    pub(crate) fn role(&mut self, packet: &Packet) -> Role {
        let Some(data) = packet.data() else { return Role::UNKNOWN };
        match &mut self.codec {
            Codec::H264(parser) => parser.role(data),
            Codec::Hevc(parser) => parser.role(data),
            Codec::Vp8 => vpx::vp8_role(data),
            Codec::Vp9 => vpx::vp9_role(data),
            Codec::Av1(parser) => parser.role(data),
            Codec::IntraOnly if packet.is_key() => Role::INTRA,
            Codec::IntraOnly | Codec::Other => Role::UNKNOWN,
        }
    }

    /// Latest parameter sets that were in packets, in the form in which they can precede the packet
    /// classified last. A new decoder that starts there has not received the earlier packets.
    pub(crate) fn parameter_sets(&self) -> Vec<u8> {
        match &self.codec {
            Codec::H264(parser) => parser.parameter_sets(),
            Codec::Hevc(parser) => parser.parameter_sets(),
            _ => Vec::new(),
        }
    }
}
