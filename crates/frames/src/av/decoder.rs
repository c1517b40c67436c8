//! Decoder of packets into frames.

use std::sync::Arc;

use ffmpeg_next as ff;
use ffmpeg_next::ffi;

use crate::error::Error;
use crate::limits::Limits;

use super::codecs;
use super::frame::Frame;
#[cfg(feature = "injections")]
use super::injections;
use super::library;
use super::memory;
use super::packet::Packet;
use super::stream_info::StreamInfo;
use super::watch::Watch;

/// Threads of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread only.
    One,
    /// This number of libav's own threads: several frames at once where that is exact, else several
    /// parts of a frame.
    Many(usize),
}

/// Codecs that yield the same frames with libav's frame threads as without, as long as there is no
/// error, in addition to those with only intra-coded frames. MPEG-4 does not: with interlaced or
/// damaged frames, a thread reads parts of a reference frame that another has not finished (FFmpeg
/// 5.1, libavcodec/h263dec.c).
const EXACT_WITH_FRAME_THREADS: [&str; 5] = ["h264", "hevc", "vp8", "vp9", "av1"];

/// Callback of libav that chooses the pixel format of the frames that follow.
///
/// libav can add the film grain of H.264 and HEVC to frames of one format only. Of others, it may
/// output memory that it never wrote, so there it must leave that to its caller (FFmpeg 5.1,
/// libavcodec/h274.c and hevcdec.c, `hevc_frame_end`).
unsafe extern "C" fn choose_format(
    context: *mut ffi::AVCodecContext,
    formats: *const ffi::AVPixelFormat,
) -> ffi::AVPixelFormat {
    // SAFETY: libav passes valid pointers, in the thread that owns the context.
    unsafe {
        let format = ffi::avcodec_default_get_format(context, formats);
        if format == ffi::AVPixelFormat::AV_PIX_FMT_YUV420P {
            (*context).export_side_data &= !ffi::AV_CODEC_EXPORT_DATA_FILM_GRAIN;
        } else {
            (*context).export_side_data |= ffi::AV_CODEC_EXPORT_DATA_FILM_GRAIN;
        }
        format
    }
}

/// Reason why a packet was not decoded.
#[derive(Debug)]
pub(crate) enum DecodeError {
    /// The packet is damaged. Later ones may be decodable.
    Damaged,
    /// No later packet can be decoded either.
    Fatal(Error),
}

/// Open decoder of one stream.
pub(crate) struct Decoder {
    // Dropped before the record, to which it refers.
    video: ff::decoder::Video,
    watch: Arc<Watch>,
    /// Frame that was received together with an error.
    held: Option<Frame>,
    codec: String,
    threads: Threads,
    only_key_frames: bool,
}

impl Decoder {
    /// Open the decoder that the ffmpeg command would choose for this stream, if it is one of those
    /// that videos may reach.
    pub(crate) fn open(
        info: &StreamInfo,
        threads: Threads,
        limits: &Limits,
    ) -> Result<Self, Error> {
        Self::configure(info, threads, false, limits)
    }

    /// Open a decoder that makes the same frames of a damaged stream in every run. It is slower.
    pub(crate) fn open_for_damage(info: &StreamInfo, limits: &Limits) -> Result<Self, Error> {
        Self::configure(info, Threads::One, true, limits)
    }

    fn configure(
        info: &StreamInfo,
        threads: Threads,
        is_damaged: bool,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let codec_error = |error| Error::Codec {
            codec: info.source.codec.clone(),
            reason: library::describe(error),
        };
        let mut context =
            ff::codec::Context::from_parameters(info.parameters.0.clone()).map_err(codec_error)?;
        let codec = info.source.codec.as_str();
        let decoder = codecs::decoder(context.id()).ok_or_else(|| Error::Codec {
            codec: codec.to_owned(),
            reason: "it is not accepted; convert the video, for example to H.264".to_owned(),
        })?;
        // FFV1 counts as intra-coded, but its frames may inherit the state of the entropy coder.
        let exact = info.intra_only && codec != "ffv1" || EXACT_WITH_FRAME_THREADS.contains(&codec);
        let kind = if exact { ffi::FF_THREAD_FRAME } else { 0 } | ffi::FF_THREAD_SLICE;
        let count = match threads {
            Threads::One => 1,
            Threads::Many(count) => count.clamp(1, 16),
        };
        let watch = Arc::<Watch>::default();
        // SAFETY: the context belongs to this function and is not open yet; callers may change
        // these settings before opening. The decoder drops it before the record.
        unsafe {
            let context = &mut *context.as_mut_ptr();
            context.thread_type = kind;
            context.thread_count = count as i32;
            watch.attach(context);
            memory::prepare(codec, is_damaged, context);
            if matches!(codec, "h264" | "hevc") {
                context.get_format = Some(choose_format);
            }
            context.max_pixels = limits.max_pixels as i64;
            context.codec_whitelist = ffi::av_strdup(codecs::whitelist().as_ptr());
            context.pkt_timebase = ffi::AVRational {
                num: info.source.time_base.num as i32,
                den: info.source.time_base.den as i32,
            };
        }
        let opened = context.decoder().open_as(decoder).and_then(ff::decoder::Opened::video);
        let video = opened.map_err(codec_error)?;
        // Errors in the configuration concern frames only if the decoder reports them again.
        watch.clear();
        Ok(Self {
            video,
            watch,
            held: None,
            codec: info.source.codec.clone(),
            threads,
            only_key_frames: false,
        })
    }

    /// Output only key frames from here on: for H.264 those that the ffmpeg command outputs for
    /// `-skip_frame nokey`, which includes all recovery points; else those that are marked as such,
    /// because some decoders ignore that option.
    pub(crate) fn output_only_key_frames(&mut self) {
        self.only_key_frames = true;
        // SAFETY: the context is open; callers may change this setting at any time.
        unsafe { (*self.video.as_mut_ptr()).skip_frame = ffi::AVDiscard::AVDISCARD_NONKEY };
    }

    pub(crate) fn threads(&self) -> Threads {
        self.threads
    }

    /// Send the next packet. The caller must have received all finished frames first. After an
    /// error that is not fatal, the packet may still yield frames.
    pub(crate) fn send(&mut self, packet: &Packet) -> Result<(), DecodeError> {
        #[cfg(feature = "injections")]
        injections::run(packet.data().unwrap_or_default()).map_err(DecodeError::Fatal)?;
        let sent = self.video.send_packet(packet.raw()).map_err(|error| self.error(error));
        let has_logged = self.watch.take_logged_error();
        sent?;
        if has_logged { Err(DecodeError::Damaged) } else { Ok(()) }
    }

    /// Signal the end of the packets, so that the remaining frames can be received.
    pub(crate) fn drain(&mut self) {
        // The only error is that the decoder is being drained already.
        let _ = self.video.send_eof();
    }

    /// Return the next finished frame in presentation order; `None` if more packets are needed. An
    /// error in a frame, or in one that it refers to, is returned before the frame.
    pub(crate) fn receive(&mut self) -> Result<Option<Frame>, DecodeError> {
        loop {
            match self.receive_any() {
                Ok(Some(frame)) if !self.is_requested(&frame) => {}
                result => return result,
            }
        }
    }

    /// Whether a frame is one of those that are to be output.
    fn is_requested(&self, frame: &Frame) -> bool {
        !self.only_key_frames || frame.is_key() || self.codec == "h264"
    }

    fn receive_any(&mut self) -> Result<Option<Frame>, DecodeError> {
        if let Some(frame) = self.held.take() {
            return Ok(Some(frame));
        }
        let mut frame = ff::frame::Video::empty();
        let received = match self.video.receive_frame(&mut frame) {
            Ok(()) => Ok(Some(Frame::new(frame))),
            Err(ff::Error::Eof | ff::Error::Other { errno: libc::EAGAIN }) => Ok(None),
            Err(error) => Err(self.error(error)),
        };
        let has_logged = self.watch.take_logged_error();
        let frame = received?;
        let is_incomplete = frame
            .as_ref()
            .is_some_and(|frame| self.watch.unchecked_frames.lock().are_incomplete_until(frame));
        if has_logged || is_incomplete {
            self.held = frame;
            return Err(DecodeError::Damaged);
        }
        Ok(frame)
    }

    /// Discard all state except the codec's configuration, so that decoding can restart at a clean
    /// entry.
    pub(crate) fn reset(&mut self) {
        // SAFETY: the context is open; flushing is allowed at any time.
        unsafe { ffi::avcodec_flush_buffers(self.video.as_mut_ptr()) };
        self.watch.clear();
        self.held = None;
    }

    fn error(&self, error: ff::Error) -> DecodeError {
        match error {
            ff::Error::Other { errno: libc::ENOMEM } => {
                DecodeError::Fatal(Error::OutOfMemory("a frame exceeds the memory limit".into()))
            }
            // A decoder that lacks a feature lacks it for every later packet.
            ff::Error::PatchWelcome | ff::Error::DecoderNotFound => {
                DecodeError::Fatal(Error::Codec {
                    codec: self.codec.clone(),
                    reason: library::describe(error),
                })
            }
            _ => DecodeError::Damaged,
        }
    }
}
