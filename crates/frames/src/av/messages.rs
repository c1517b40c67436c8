//! Messages that libav's decoders log. Some errors are reported nowhere else: that a frame refers
//! to one that is missing (FFmpeg 5.1, libavcodec/hevc_refs.c), or, with several threads, that a
//! frame is damaged (its flags may be copied before the thread that decodes it sets them).

use std::ffi::{CStr, c_char, c_int, c_void};

use ffmpeg_next::ffi;

use super::watch::Watch;

/// Messages below the level of errors that report one (FFmpeg 5.1, libavcodec/error_resilience.c).
const ERRORS_BY_TEXT: [&[u8]; 1] = [b"concealing "];

/// Messages at the level of errors that do not concern the pixels of a codec (FFmpeg 5.1,
/// libavcodec/h264_refs.c, h264_sei.c, hevc_sei.c, mpegvideo_dec.c and mjpegdec.c).
const HARMLESS: [(ffi::AVCodecID, &[&[u8]]); 4] = [
    (
        ffi::AVCodecID::AV_CODEC_ID_H264,
        &[
            // A frame to be removed is not stored anymore, as after a cut at an open entry.
            b"mmco: unref short failure",
            // Supplemental enhancement information.
            b"SEI type ",
            b"Unaligned SEI payload",
            b"Picture timing SEI payload too large",
            b"non-existing SPS %d referenced in buffering period",
            b"recovery_frame_cnt ",
            // A picture parameter set of another layer or view (annexes G and H). A frame that uses
            // it is an error of its own.
            b"sps_id %u out of range",
        ],
    ),
    (ffi::AVCodecID::AV_CODEC_ID_HEVC, &[b"num_sps_ids_minus1 ", b"active_parameter_set_id "]),
    // H.261 has no key frames.
    (ffi::AVCodecID::AV_CODEC_ID_H261, &[b"warning: first frame is no keyframe"]),
    (
        ffi::AVCodecID::AV_CODEC_ID_MJPEG,
        &[
            b"mjpeg: invalid TIFF header in EXIF data",
            b"mjpeg: error decoding EXIF data",
            b"unable to decode APP fields",
        ],
    ),
];

/// Receive the messages of all contexts in this process instead of writing them to its error
/// output.
pub(super) fn receive() {
    // SAFETY: the function may be called in any thread, as av_log_set_callback requires.
    unsafe { ffi::av_log_set_callback(Some(on_message)) };
}

/// Callback of libav. The type of the arguments, which are not read, depends on the platform.
unsafe extern "C" fn on_message<Arguments>(
    context: *mut c_void,
    level: c_int,
    format: *const c_char,
    _: Arguments,
) {
    if level > ffi::AV_LOG_INFO || context.is_null() || format.is_null() {
        return;
    }
    // SAFETY: a context begins with a pointer to its class (FFmpeg, libavutil/log.h), and only an
    // AVCodecContext has the class of avcodec. Other threads may write to its other fields. Only
    // `Watch::attach` sets the pointer `opaque`. The format is a string of libav.
    let (watch, codec, text) = unsafe {
        if *context.cast::<*const ffi::AVClass>() != ffi::avcodec_get_class() {
            return;
        }
        let context: *const ffi::AVCodecContext = context.cast();
        let codec = (&raw const (*context).codec_id).read();
        (Watch::of(context), codec, CStr::from_ptr(format).to_bytes())
    };
    let begins_with = |texts: &[&[u8]]| texts.iter().any(|begin| text.starts_with(begin));
    let is_error = if level <= ffi::AV_LOG_ERROR {
        !HARMLESS.iter().any(|(of, texts)| *of == codec && begins_with(texts))
    } else {
        begins_with(&ERRORS_BY_TEXT)
    };
    if let (true, Some(watch)) = (is_error, watch) {
        watch.add_logged_error();
    }
}
