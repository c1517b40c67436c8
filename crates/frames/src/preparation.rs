//! Preparation of packets for planning, and for decoders that have not received earlier packets.

use crate::av::{Packet, StreamInfo};
use crate::bitstream::{Classifier, Entry, Role};
use crate::plan::PacketInfo;

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
pub(crate) struct Preparation {
    classifier: Classifier,
    /// Codec configuration that has replaced the stream's own.
    extradata: Option<Vec<u8>>,
}

impl Preparation {
    pub(crate) fn new(info: &StreamInfo) -> Self {
        Self { classifier: Classifier::new(info), extradata: None }
    }

    /// Determine the role of `packet`. If decoding can start there, add the parameter sets and the
    /// configuration that earlier packets held.
    pub(crate) fn prepare(&mut self, packet: &mut Packet) -> Role {
        let changed = packet.extradata();
        let role = self.classifier.role(packet);
        if role.entry != Entry::None {
            let sets = self.classifier.parameter_sets();
            if !sets.is_empty()
                && let Some(data) = packet.data()
            {
                let whole = [&sets, data].concat();
                *packet = packet.with_data(&whole);
            }
            if let (None, Some(extradata)) = (&changed, &self.extradata) {
                packet.set_extradata(extradata);
            }
        }
        self.extradata = changed.or(self.extradata.take());
        role
    }
}
