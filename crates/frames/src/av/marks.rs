//! Marks in the memory of a frame, which decoding overwrites.

use ffmpeg_next::ffi;

use super::frame::{Frame, pixel_format};

/// Distance between two marks in a row, in bytes, and between two rows with marks: the size of the
/// smallest block that a decoder can leave out (a macroblock of VP8, the smallest coding tree block
/// of ITU-T H.265, 7.4.3.2.1).
const DISTANCE: usize = 16;

/// Arbitrary bytes that no encoder writes by chance.
const MARK: [u8; 8] = [0x9b, 0x03, 0xe8, 0x5d, 0x17, 0xf2, 0x4a, 0xc1];

/// Mark the memory of a frame.
///
/// # Safety
/// The frame must have memory, which nobody else uses.
pub(super) unsafe fn write(frame: &ffi::AVFrame) {
    // SAFETY: the positions are in the memory of the frame.
    positions(frame).for_each(|mark| unsafe { mark.write_unaligned(MARK) });
}

/// Whether there are marks in a frame, so that parts of it were not written.
pub(super) fn are_in(frame: &Frame) -> bool {
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
