//! Rotation of a decoded frame for display, scaling, and conversion to the pixel format of its
//! encoder.

use jobs::Ratio;
use jobs::manifest::Orientation;

use crate::av::{self, Frame, PixelFormat, Scaler};
use crate::error::Error;
use crate::fit::{Fit, Size};
use crate::limits::Limits;
use crate::orientation;

const PAL8: PixelFormat = PixelFormat::AV_PIX_FMT_PAL8;

/// Form of converted frames.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// Pixel formats that the encoder accepts.
    pub formats: &'static [PixelFormat],
    pub fit: Fit,
    pub limits: &'a Limits,
}

/// Frame in display orientation.
pub(crate) struct Converted {
    pub frame: Frame,
    /// Width to height of one sample; `None` if unknown or square on request.
    pub aspect: Option<Ratio>,
}

/// Converter of frames. It keeps what swscale sets up, so it should be reused for all frames of a
/// video.
#[derive(Default)]
pub(crate) struct Converter {
    scaler: Scaler,
    /// For frames that have to be converted before they are rotated.
    before_rotation: Scaler,
}

impl Converter {
    /// Convert a frame to display orientation, to the size that the recipe requests, and to the
    /// pixel format of `target` that the ffmpeg command would choose. `aspect` is the sample
    /// aspect ratio of the displayed frame.
    pub(crate) fn convert(
        &mut self,
        frame: Frame,
        orientation: Orientation,
        aspect: Option<Ratio>,
        target: Target<'_>,
    ) -> Result<Converted, Error> {
        let displayed = orientation::displayed_size(orientation, frame.size());
        let size = target.fit.size(displayed, aspect);
        let aspect = aspect.filter(|_| !target.fit.square_pixels());
        if size == displayed {
            let frame = self.convert_formats(frame, orientation, target.formats)?;
            return Ok(Converted { frame, aspect });
        }
        target.limits.check_frame(size.width, size.height)?;
        let frame = self.scale(frame, orientation, target.formats, size)?;
        let aspect = aspect.map(|aspect| av::scaled_aspect(aspect, displayed, size));
        Ok(Converted { frame, aspect })
    }

    /// Convert a frame that keeps its size.
    ///
    /// The ffmpeg command rotates before it converts. Where the stored format cannot be rotated
    /// pixel by pixel, the converted frame is rotated instead, so its format has to allow that.
    fn convert_formats(
        &mut self,
        frame: Frame,
        orientation: Orientation,
        formats: &[PixelFormat],
    ) -> Result<Frame, Error> {
        // swscale does not make palettes.
        let is_suitable = |format: &PixelFormat| {
            let is_reachable = *format != PAL8 || frame.format() == PAL8;
            is_reachable && av::is_rotatable(*format, orientation)
        };
        let formats: Vec<_> = formats.iter().copied().filter(is_suitable).collect();
        let target = av::closest_format(frame.format(), &formats);
        let rotate_first = av::is_transposable(frame.format());
        let frame = if rotate_first { rotate(frame, orientation)? } else { frame };
        let frame = if frame.format() == target {
            frame
        } else {
            self.scaler.convert(&frame, target, frame.size())?
        };
        if rotate_first { Ok(frame) } else { rotate(frame, orientation) }
    }

    /// Convert a frame that is scaled, as the ffmpeg command does for `-vf scale`: it rotates
    /// first, after a conversion if the stored format requires one, and then converts and scales
    /// at once.
    ///
    /// A palette or single bits would make scaled frames coarse, so those become RGBA and gray, as
    /// with `-pix_fmt rgba` and `-pix_fmt gray`.
    fn scale(
        &mut self,
        mut frame: Frame,
        orientation: Orientation,
        formats: &[PixelFormat],
        size: Size,
    ) -> Result<Frame, Error> {
        const COARSE: [PixelFormat; 2] = [PAL8, PixelFormat::AV_PIX_FMT_MONOBLACK];
        let is_rotatable = |format| av::is_rotatable(format, orientation);
        if !is_rotatable(frame.format()) {
            let format = av::closest_format(frame.format(), &av::formats(is_rotatable));
            frame = self.before_rotation.convert(&frame, format, frame.size())?;
        }
        let frame = rotate(frame, orientation)?;
        let fine: Vec<_> =
            formats.iter().copied().filter(|format| !COARSE.contains(format)).collect();
        self.scaler.convert(&frame, av::closest_format(frame.format(), &fine), size)
    }
}

/// Rotate a frame to display orientation, if its format allows that.
fn rotate(frame: Frame, orientation: Orientation) -> Result<Frame, Error> {
    if orientation::is_identity(orientation) || !av::is_rotatable(frame.format(), orientation) {
        return Ok(frame);
    }
    let Size { width, height } = orientation::displayed_size(orientation, frame.size());
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
