//! Memory of the frames that a decoder works on.
//!
//! Some decoders do not report that the data of a frame ended early and leave the rest of its
//! memory as it was (FFmpeg 5.1, libavcodec/hevcdec.c and vp8.c). Marks show it. Memory that is
//! cleared before makes such frames, and those that a damaged stream leaves incomplete, the same in
//! every run.

use std::ffi::c_int;

use ffmpeg_next as ff;
use ffmpeg_next::ffi;

use super::frame::Frame;
use super::marks;
use super::watch::Watch;

/// Codecs whose decoders have to write every sample of every frame, and may end early in silence.
const MARKED: [&str; 3] = ["hevc", "vp8", "vp9"];

/// Let the decoder of a codec work on memory that is marked, if that is of use, and on cleared
/// memory for a damaged stream.
pub(super) fn prepare(codec: &str, is_damaged: bool, context: &mut ffi::AVCodecContext) {
    context.get_buffer2 = match (MARKED.contains(&codec), is_damaged) {
        (true, true) => Some(allocate::<true, true>),
        (true, false) => Some(allocate::<true, false>),
        (false, true) => Some(allocate::<false, true>),
        (false, false) => return,
    };
}

/// Callback of libav that allocates the memory of a frame.
unsafe extern "C" fn allocate<const MARKED: bool, const CLEARED: bool>(
    context: *mut ffi::AVCodecContext,
    frame: *mut ffi::AVFrame,
    flags: c_int,
) -> c_int {
    // SAFETY: libav passes valid pointers, and nobody else uses the new memory. `Watch::attach`
    // was called for the context.
    unsafe {
        let result = ffi::avcodec_default_get_buffer2(context, frame, flags);
        if result < 0 {
            return result;
        }
        if CLEARED {
            for buffer in (*frame).buf.iter().filter_map(|buffer| buffer.as_ref()) {
                buffer.data.write_bytes(0, buffer.size);
            }
        }
        if MARKED {
            let mut copy = ff::frame::Video::empty();
            if ffi::av_frame_ref(copy.as_mut_ptr(), frame) >= 0
                && let Some(watch) = Watch::of(context)
            {
                marks::write(&*frame);
                watch.unchecked_frames.lock().push(Frame::new(copy));
            }
        }
        result
    }
}
