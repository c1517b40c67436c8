//! Turns packets into pictures.

use std::ptr;

use ffmpeg_next as ff;
use ffmpeg_next::ffi;

use crate::{Error, Limits};

use super::{Picture, StreamInfo, reason};

/// How a decoder uses the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread alone.
    One,
    /// libav's own frame threads, this many.
    Frames(usize),
}

/// Why a packet gave no picture.
#[derive(Debug)]
pub(crate) enum DecodeError {
    /// The packet is damaged; later ones may decode.
    Damaged,
    /// Going on makes no sense.
    Fatal(Error),
}

/// An open decoder for one stream.
pub(crate) struct Decoder {
    video: ff::decoder::Video,
    codec: String,
    threads: Threads,
}

impl Decoder {
    /// Open the decoder that the ffmpeg command would choose for this stream.
    pub(crate) fn open(
        info: &StreamInfo,
        threads: Threads,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let refused = |error| Error::Codec { codec: info.codec.clone(), reason: reason(error) };
        let mut context =
            ff::codec::Context::from_parameters(info.parameters.0.clone()).map_err(refused)?;
        let (kind, count) = match threads {
            Threads::One => (ffi::FF_THREAD_SLICE, 1),
            Threads::Frames(count) => {
                (ffi::FF_THREAD_FRAME | ffi::FF_THREAD_SLICE, count.clamp(1, 16))
            }
        };
        // SAFETY: the context is ours and not yet open; these are settings that callers make before
        // opening.
        unsafe {
            let context = &mut *context.as_mut_ptr();
            context.thread_type = kind;
            context.thread_count = count as i32;
            context.max_pixels = limits.max_pixels as i64;
            context.pkt_timebase =
                ffi::AVRational { num: info.time_base.num as i32, den: info.time_base.den as i32 };
        }
        let video = context.decoder().video().map_err(refused)?;
        Ok(Self { video, codec: info.codec.clone(), threads })
    }

    pub(crate) fn threads(&self) -> Threads {
        self.threads
    }

    /// Give the decoder the next packet; pictures that it completes are to be taken by
    /// [`Decoder::receive`] before.
    pub(crate) fn send(&mut self, packet: &ff::Packet) -> Result<(), DecodeError> {
        #[cfg(feature = "injections")]
        super::injected::obey(packet.data().unwrap_or_default()).map_err(DecodeError::Fatal)?;
        self.video.send_packet(packet).map_err(|error| self.failure(error))
    }

    /// No more packets: the pictures that are still inside come out.
    pub(crate) fn drain(&mut self) {
        // A decoder that is draining already answers with an error that says nothing new.
        let _ = self.video.send_eof();
    }

    /// The next finished picture in presentation order, if there is one.
    pub(crate) fn receive(&mut self) -> Result<Option<Picture>, DecodeError> {
        let mut frame = ff::frame::Video::empty();
        match self.video.receive_frame(&mut frame) {
            Ok(()) => Ok(Some(Picture::new(frame))),
            Err(ff::Error::Eof | ff::Error::Other { errno: libc::EAGAIN }) => Ok(None),
            Err(error) => Err(self.failure(error)),
        }
    }

    /// Forget everything but the codec's configuration, so that decoding can begin anew at a clean
    /// entry.
    pub(crate) fn reset(&mut self) {
        // SAFETY: the context is open; flushing is allowed at any time.
        unsafe { ffi::avcodec_flush_buffers(self.video.as_mut_ptr()) };
    }

    fn failure(&self, error: ff::Error) -> DecodeError {
        match error {
            ff::Error::Other { errno: libc::ENOMEM } => DecodeError::Fatal(Error::OutOfMemory(
                "a picture is larger than the memory allowed".into(),
            )),
            // A decoder that only now finds out that it lacks a feature will not find it later.
            ff::Error::PatchWelcome | ff::Error::DecoderNotFound => {
                DecodeError::Fatal(Error::Codec {
                    codec: self.codec.clone(),
                    reason: reason(error),
                })
            }
            _ => DecodeError::Damaged,
        }
    }
}

/// A copy of `packet` with other bytes, everything else as it was.
pub(crate) fn with_data(packet: &ff::Packet, data: &[u8]) -> ff::Packet {
    let mut copy = ff::Packet::copy(data);
    // SAFETY: both packets are valid; only times, flags and side data are copied.
    unsafe {
        ffi::av_packet_copy_props(
            ff::packet::Mut::as_mut_ptr(&mut copy),
            ff::packet::Ref::as_ptr(packet),
        )
    };
    copy
}

/// Attach codec configuration that replaces the stream's own from this packet on.
pub(crate) fn set_extradata(packet: &mut ff::Packet, extradata: &[u8]) {
    // SAFETY: libav allocates the side data with the size asked for; the bytes are copied into it
    // before anyone reads them.
    unsafe {
        let data = ffi::av_packet_new_side_data(
            ff::packet::Mut::as_mut_ptr(packet),
            ffi::AVPacketSideDataType::AV_PKT_DATA_NEW_EXTRADATA,
            extradata.len(),
        );
        if !data.is_null() {
            ptr::copy_nonoverlapping(extradata.as_ptr(), data, extradata.len());
        }
    }
}
