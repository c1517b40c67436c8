//! Packet of a stream: the coded bytes of a frame, with their times.

use std::ptr;

use ffmpeg_next as ff;
use ffmpeg_next::ffi;

/// Place of a packet, as its container states it: before its times are corrected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Offset in the file, if the demuxer states one.
    pub position: Option<u64>,
    /// Presentation time in units of the time base.
    pub presentation: Option<i64>,
    /// Decoding time in the same units.
    pub decoding: Option<i64>,
}

/// Packet of the video stream. Times are in units of the stream's time base, as the container
/// states them.
#[derive(Clone)]
pub(crate) struct Packet(ff::Packet);

impl Packet {
    pub(super) fn new(packet: ff::Packet) -> Self {
        Self(packet)
    }

    pub(super) fn raw(&self) -> &ff::Packet {
        &self.0
    }

    /// Coded bytes; `None` if there are none.
    pub(crate) fn data(&self) -> Option<&[u8]> {
        self.0.data()
    }

    /// Size of the coded bytes.
    pub(crate) fn size(&self) -> usize {
        self.0.size()
    }

    /// Presentation time.
    pub(crate) fn presentation_time(&self) -> Option<i64> {
        self.0.pts()
    }

    /// Decoding time.
    pub(crate) fn decoding_time(&self) -> Option<i64> {
        self.0.dts()
    }

    /// Place that the packet states.
    pub(super) fn place(&self) -> Place {
        Place {
            position: u64::try_from(self.0.position()).ok(),
            presentation: self.0.pts(),
            decoding: self.0.dts(),
        }
    }

    /// Set the presentation and decoding times.
    pub(super) fn set_times(&mut self, presentation: Option<i64>, decoding: Option<i64>) {
        self.0.set_pts(presentation);
        self.0.set_dts(decoding);
    }

    /// Duration; 0 if unknown.
    pub(crate) fn duration(&self) -> i64 {
        self.0.duration().max(0)
    }

    /// Whether the container marks the packet as a key frame.
    pub(crate) fn is_key(&self) -> bool {
        self.0.is_key()
    }

    /// Whether the packet is marked as cut short or damaged.
    pub(crate) fn is_corrupt(&self) -> bool {
        self.0.is_corrupt()
    }

    /// Mark the packet as damaged.
    pub(crate) fn set_corrupt(&mut self) {
        self.0.set_flags(self.0.flags() | ff::packet::Flags::CORRUPT);
    }

    /// Whether the container marks the packet's frame as decoded but not displayed (edit lists;
    /// FFmpeg, libavcodec/packet.h).
    pub(crate) fn is_hidden(&self) -> bool {
        // SAFETY: the packet is valid and only one number is read.
        unsafe { (*ff::packet::Ref::as_ptr(&self.0)).flags & ffi::AV_PKT_FLAG_DISCARD != 0 }
    }

    /// Codec configuration that replaces the stream's own from this packet on, if there is one.
    pub(crate) fn extradata(&self) -> Option<Vec<u8>> {
        let is_extradata = |data: &ff::packet::SideData<'_>| {
            data.kind() == ff::packet::side_data::Type::NewExtraData
        };
        self.0.side_data().find(is_extradata).map(|data| data.data().to_vec())
    }

    /// Attach codec configuration that replaces the stream's own from this packet on.
    pub(crate) fn set_extradata(&mut self, extradata: &[u8]) {
        // SAFETY: libav allocates the side data with the requested size; the bytes are copied into
        // it before anything reads them.
        unsafe {
            let data = ffi::av_packet_new_side_data(
                ff::packet::Mut::as_mut_ptr(&mut self.0),
                ffi::AVPacketSideDataType::AV_PKT_DATA_NEW_EXTRADATA,
                extradata.len(),
            );
            if !data.is_null() {
                ptr::copy_nonoverlapping(extradata.as_ptr(), data, extradata.len());
            }
        }
    }

    /// Copy with other coded bytes.
    pub(crate) fn with_data(&self, data: &[u8]) -> Self {
        let mut copy = ff::Packet::copy(data);
        // SAFETY: both packets are valid; only times, flags and side data are copied.
        unsafe {
            ffi::av_packet_copy_props(
                ff::packet::Mut::as_mut_ptr(&mut copy),
                ff::packet::Ref::as_ptr(&self.0),
            )
        };
        Self(copy)
    }
}
