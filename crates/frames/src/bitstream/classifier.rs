//! Classifier of the packets of a stream.

use crate::av::{Packet, StreamInfo};

use super::role::Role;
use super::{av1, h264, hevc, jpeg, vpx};

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
    MotionJpeg(MotionJpeg),
    IntraOnly,
    /// Any other codec.
    Other,
}

/// State of a Motion JPEG stream.
#[derive(Default)]
struct MotionJpeg {
    tables: jpeg::Tables,
    /// Tables that the packet classified last needs from earlier ones.
    segments: Vec<u8>,
}

impl MotionJpeg {
    fn role(&mut self, packet: &[u8]) -> Role {
        self.segments.clear();
        match self.tables.update(packet) {
            jpeg::Needed::Nothing => Role::INTRA,
            jpeg::Needed::Tables(segments) => {
                self.segments = segments;
                Role::INTRA
            }
            jpeg::Needed::Unavailable => Role::UNKNOWN,
        }
    }
}

/// Intra-only codecs whose packets depend on no earlier ones, including palettes and tables.
const SELF_CONTAINED: [&str; 9] =
    ["prores", "dnxhd", "huffyuv", "ffvhuff", "utvideo", "magicyuv", "cfhd", "dvvideo", "jpeg2000"];

impl Classifier {
    pub(crate) fn new(info: &StreamInfo) -> Self {
        let codec = match info.source.codec.as_str() {
            "h264" => Codec::H264(h264::Parser::new(&info.extradata)),
            "hevc" => Codec::Hevc(hevc::Parser::new(&info.extradata)),
            "vp8" => Codec::Vp8,
            "vp9" => Codec::Vp9,
            "mjpeg" => Codec::MotionJpeg(MotionJpeg::default()),
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
            Codec::MotionJpeg(state) => state.role(data),
            Codec::IntraOnly if packet.is_key() => Role::INTRA,
            Codec::IntraOnly | Codec::Other => Role::UNKNOWN,
        }
    }

    /// Apply a codec configuration that replaces the stream's own from here on.
    pub(crate) fn configure(&mut self, extradata: &[u8]) {
        match &mut self.codec {
            Codec::H264(parser) => parser.configure(extradata),
            Codec::Hevc(parser) => parser.configure(extradata),
            _ => {}
        }
    }

    /// The packet classified last, whose coded bytes are `packet`, with the headers of earlier
    /// packets that are in force and that a new decoder lacks. `None` if it lacks none.
    pub(crate) fn complete(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let headers = match &self.codec {
            Codec::H264(parser) => parser.headers()?,
            Codec::Hevc(parser) => parser.headers()?,
            Codec::Av1(parser) => parser.headers()?,
            Codec::MotionJpeg(MotionJpeg { segments, .. }) if !segments.is_empty() => {
                return Some(jpeg::with_segments(packet, segments));
            }
            _ => return None,
        };
        Some([headers.as_slice(), packet].concat())
    }

    /// Whether the packets so far need and leave no headers other than those in the configuration
    /// of the stream. The name of an encoder at the beginning of the stream does not count.
    pub(crate) fn is_self_contained(&self) -> bool {
        match &self.codec {
            Codec::H264(parser) => !parser.has_changed_sets(),
            Codec::Hevc(parser) => parser.headers().is_none(),
            Codec::Av1(parser) => parser.headers().is_none(),
            Codec::MotionJpeg(state) => state.segments.is_empty(),
            _ => true,
        }
    }

    /// Whether the headers in force are those in the configuration of the stream.
    pub(crate) fn has_original_headers(&self) -> bool {
        match &self.codec {
            Codec::H264(parser) => parser.headers().is_none(),
            Codec::Hevc(parser) => parser.headers().is_none(),
            Codec::MotionJpeg(MotionJpeg { tables, .. }) => !tables.are_mixed(),
            _ => true,
        }
    }
}
