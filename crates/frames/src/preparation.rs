//! Preparation of packets for planning, and for decoders that have not received earlier packets.

use crate::av::{Packet, StreamInfo};
use crate::bitstream::{Classifier, Entry, FilmGrain, References, Role};
use crate::plan::{Chunk, PacketInfo};

/// Packet that is ready for a decoder.
#[derive(Clone)]
pub(crate) struct PreparedPacket {
    pub packet: Packet,
    /// Whether the headers in force are those of the container. Then a decoder that has received
    /// only such packets is equivalent to a new one.
    pub original_headers: bool,
    pub film_grain: FilmGrain,
}

impl Chunk<PreparedPacket> {
    /// Whether frame threads may decode the packets differently: those of libav do not hand film
    /// grain that stays in force to each other (FFmpeg 5.1, libavcodec/hevcdec.c,
    /// `hevc_update_thread_context`).
    pub(crate) fn requires_one_thread(&self) -> bool {
        self.packets.iter().any(|planned| planned.packet.film_grain == FilmGrain::Added)
    }

    /// Whether a decoder that has received only these packets is equivalent to a new one.
    pub(crate) fn has_original_headers(&self) -> bool {
        self.packets.iter().all(|planned| planned.packet.original_headers)
    }
}

/// Properties of `packet` that planning depends on.
pub(crate) fn packet_info(info: &StreamInfo, role: Role, packet: &Packet) -> PacketInfo {
    PacketInfo {
        role,
        time: packet.presentation_time().map(|time| time.saturating_sub(info.start)),
        duration: packet.duration(),
        size: packet.size(),
        hidden: packet.is_hidden(),
    }
}

/// Prepares the packets of a stream in decoding order.
///
/// The result of a span depends only on the headers in force at its entry and on its own packets.
/// So an entry carries the headers that earlier packets held, and the configuration that replaced
/// that of the container.
pub(crate) struct Preparation {
    classifier: Classifier,
    /// Codec configuration that has replaced the stream's own.
    extradata: Option<Vec<u8>>,
}

impl Preparation {
    pub(crate) fn new(info: &StreamInfo) -> Self {
        Self { classifier: Classifier::new(info), extradata: None }
    }

    /// Whether the packet that was prepared last needs no headers of earlier packets, and leaves
    /// none to later ones.
    pub(crate) fn is_self_contained(&self) -> bool {
        self.extradata.is_none() && self.classifier.is_self_contained()
    }

    /// Determine the role of `packet`. If decoding can start there, add the headers and the
    /// configuration that earlier packets held.
    pub(crate) fn prepare(&mut self, mut packet: Packet) -> (PreparedPacket, Role) {
        let replaced = packet.extradata();
        if let Some(extradata) = &replaced {
            self.classifier.configure(extradata);
        }
        let role = self.classifier.role(&packet);
        if role.references == References::Lost {
            packet.set_corrupt();
        }
        if role.entry != Entry::None {
            if let Some(complete) = packet.data().and_then(|data| self.classifier.complete(data)) {
                packet = packet.with_data(&complete);
            }
            if let (None, Some(extradata)) = (&replaced, &self.extradata) {
                packet.set_extradata(extradata);
            }
        }
        self.extradata = replaced.or(self.extradata.take());
        let original_headers = self.extradata.is_none() && self.classifier.has_original_headers();
        (PreparedPacket { packet, original_headers, film_grain: role.film_grain }, role)
    }
}
