//! Memory of the frames that a decoder works on.
//!
//! Some decoders do not report that the data of a frame ended early and leave the rest of its memory
//! as it was (FFmpeg 5.1, libavcodec/hevcdec.c and vp8.c). Marks in the memory, which decoding
//! overwrites, show it. Memory that is cleared before makes such frames, and those that a damaged
//! stream leaves incomplete, the same in every run.

use std::collections::VecDeque;
use std::ffi::c_int;

use ffmpeg_next as ff;
use ffmpeg_next::ffi;

use super::frame::{Frame, pixel_format};
use super::watch::Watch;

/// Codecs whose decoders have to write every sample of every frame, and may end early in silence.
const MARKED: [&str; 3] = ["hevc", "vp8", "vp9"];

/// Distance between two marks in a row, in bytes, and between two rows with marks: the size of the
/// smallest block that a decoder can leave out (a macroblock of VP8, the smallest coding tree block
/// of ITU-T H.265, 7.4.3.2.1).
const DISTANCE: usize = 16;

/// Arbitrary bytes that no encoder writes by chance.
const MARK: [u8; 8] = [0x9b, 0x03, 0xe8, 0x5d, 0x17, 0xf2, 0x4a, 0xc1];

/// Maximum number of frames that a decoder works on or may still output: 16 of each.
const MAX_UNCHECKED: usize = 32;

/// Frames whose marks were not checked, in decoding order.
#[derive(Default)]
pub(super) struct UncheckedFrames(VecDeque<Frame>);

impl UncheckedFrames {
    fn push(&mut self, frame: Frame) {
        self.0.push_back(frame);
        if self.0.len() > MAX_UNCHECKED {
            self.0.pop_front();
        }
    }

    /// Whether this frame, or one decoded before it, was not written completely. When a decoder
    /// outputs a frame, it has finished all that precede it in decoding order.
    pub(super) fn are_incomplete_until(&mut self, frame: &Frame) -> bool {
        let Some(position) = self.0.iter().position(|other| other.shares_memory_with(frame)) else {
            return false;
        };
        // All of them are checked.
        self.0.drain(..=position).filter(has_marks).count() > 0
    }

    /// Forget all frames.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

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
                && let Some(watch) = Watch::of(&*context)
            {
                positions(&*frame).for_each(|mark| mark.write_unaligned(MARK));
                watch.unchecked_frames.lock().push(Frame::new(copy));
            }
        }
        result
    }
}

/// Whether there are marks in a frame, so that parts of it were not written.
fn has_marks(frame: &Frame) -> bool {
    // SAFETY: the frame is valid, its memory lives as long as it does, and is only read.
    unsafe { positions(&*frame.as_ptr()).any(|mark| mark.read_unaligned() == MARK) }
}

/// Places of the marks in the first plane.
fn positions(frame: &ffi::AVFrame) -> impl Iterator<Item = *mut [u8; MARK.len()]> {
    // SAFETY: libav checks the numbers that it is given.
    let row_bytes = unsafe { ffi::av_image_get_linesize(pixel_format(frame), frame.width, 0) };
    let (start, stride) = (frame.data[0], frame.linesize[0] as isize);
    let rows = (0..frame.height as isize).step_by(DISTANCE);
    let columns = (0..(row_bytes as isize + 1 - MARK.len() as isize)).step_by(DISTANCE);
    rows.flat_map(move |row| {
        columns.clone().map(move |column| start.wrapping_offset(row * stride + column).cast())
    })
}
