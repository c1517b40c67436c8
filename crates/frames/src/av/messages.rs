//! Messages that libav's decoders log. Some errors are reported nowhere else: that a frame refers
//! to one that is missing (FFmpeg 5.1, libavcodec/hevc_refs.c), or, with several threads, that a
//! frame is damaged (its flags may be copied before the thread that decodes it sets them).

use std::ffi::{CStr, c_char, c_int, c_void};

use ffmpeg_next::ffi;

use super::watch::Watch;

/// Messages below the level of errors that report one (FFmpeg 5.1, libavcodec/error_resilience.c).
const ERRORS_BY_TEXT: [&[u8]; 1] = [b"concealing "];

/// Messages at the level of errors that report none in this codec: a frame that is not stored
/// anymore is to be removed, as after a cut at an open entry (FFmpeg 5.1, libavcodec/h264_refs.c);
/// H.261 has no key frames (libavcodec/mpegvideo_dec.c).
const HARMLESS: [(ffi::AVCodecID, &[u8]); 2] = [
    (ffi::AVCodecID::AV_CODEC_ID_H264, b"mmco: unref short failure"),
    (ffi::AVCodecID::AV_CODEC_ID_H261, b"warning: first frame is no keyframe"),
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
    // AVCodecContext has the class of avcodec. The format is a string of libav.
    let (context, text) = unsafe {
        if *context.cast::<*const ffi::AVClass>() != ffi::avcodec_get_class() {
            return;
        }
        (&*context.cast::<ffi::AVCodecContext>(), CStr::from_ptr(format).to_bytes())
    };
    let is_error = if level <= ffi::AV_LOG_ERROR {
        !HARMLESS.iter().any(|(codec, begin)| *codec == context.codec_id && text.starts_with(begin))
    } else {
        ERRORS_BY_TEXT.iter().any(|begin| text.starts_with(begin))
    };
    // SAFETY: only `Watch::attach` sets the pointer in the contexts of this process.
    if let (true, Some(watch)) = (is_error, unsafe { Watch::of(context) }) {
        watch.add_logged_error();
    }
}
