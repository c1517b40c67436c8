//! Rotation of a decoded frame for display, and conversion to the pixel format of its encoder.

use jobs::manifest::Orientation;

use crate::av::{self, Frame, PixelFormat, Scaler};
use crate::error::Error;
use crate::orientation;

/// Converter of frames. It keeps what swscale sets up, so it should be reused for all frames of a
/// video.
#[derive(Default)]
pub(crate) struct Converter {
    scaler: Scaler,
}

impl Converter {
    /// Convert a frame to display orientation and to the one of `formats` that the ffmpeg command
    /// would choose.
    ///
    /// The ffmpeg command rotates before it converts. Where the stored format cannot be rotated
    /// pixel by pixel, the converted frame is rotated instead.
    pub(crate) fn convert(
        &mut self,
        frame: Frame,
        orientation: Orientation,
        formats: &[PixelFormat],
    ) -> Result<Frame, Error> {
        let target = av::closest_format(frame.format(), formats);
        let rotate_first = av::is_transposable(frame.format());
        let frame = if rotate_first { rotate(frame, orientation)? } else { frame };
        let frame =
            if frame.format() == target { frame } else { self.scaler.convert(&frame, target)? };
        if rotate_first { Ok(frame) } else { rotate(frame, orientation) }
    }
}

/// Rotate a frame to display orientation, if its format allows that.
fn rotate(frame: Frame, orientation: Orientation) -> Result<Frame, Error> {
    if orientation::is_identity(orientation) || !av::is_transposable(frame.format()) {
        return Ok(frame);
    }
    let (mut width, mut height) = (frame.width(), frame.height());
    if orientation::swaps_sides(orientation) {
        (width, height) = (height, width);
    }
    let mut rotated = Frame::blank(frame.format(), width, height)
        .ok_or_else(|| Error::OutOfMemory("a frame cannot be rotated".into()))?;
    rotated.copy_colors(&frame);
    let planes = frame.planes();
    let rows: Vec<Vec<&[u8]>> = planes.iter().map(|plane| plane.rows().collect()).collect();
    rotated.write_rows(|plane, y, row| {
        let layout = planes[plane].layout;
        let size = (layout.width, layout.height);
        for (x, pixel) in row.chunks_exact_mut(layout.step).enumerate() {
            let (from_x, from_y) = orientation::stored_position(orientation, (x, y), size);
            let start = from_x * layout.step;
            pixel.copy_from_slice(&rows[plane][from_y][start..start + layout.step]);
        }
    });
    Ok(rotated)
}
