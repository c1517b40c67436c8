//! Turns a decoded picture upright and into the pixels that a PNG holds.

use jobs::manifest::Orientation;

use crate::Error;
use crate::av::{self, Picture, Scaler};
use crate::orientation;

/// Makes pictures ready for their encoder. Keeps what swscale sets up, so one serves all pictures
/// of a video in turn.
#[derive(Default)]
pub(crate) struct Converter {
    scaler: Scaler,
}

impl Converter {
    /// `picture` turned upright, in the format that the ffmpeg command would give its PNG encoder.
    ///
    /// The ffmpeg command turns before it converts, unless the stored format cannot be turned pixel
    /// by pixel.
    pub(crate) fn convert(
        &mut self,
        picture: Picture,
        orientation: Orientation,
    ) -> Result<Picture, Error> {
        let target = av::png_format(picture.format());
        let turn_first = av::is_transposable(picture.format());
        let picture = if turn_first { turn(picture, orientation)? } else { picture };
        let picture = if picture.format() == target {
            picture
        } else {
            self.scaler.convert(&picture, target)?
        };
        if turn_first { Ok(picture) } else { turn(picture, orientation) }
    }
}

fn turn(picture: Picture, orientation: Orientation) -> Result<Picture, Error> {
    if orientation::is_identity(orientation) || !av::is_transposable(picture.format()) {
        return Ok(picture);
    }
    let (mut width, mut height) = (picture.width(), picture.height());
    if orientation::swaps_sides(orientation) {
        (width, height) = (height, width);
    }
    let mut turned = Picture::blank(picture.format(), width, height)
        .ok_or_else(|| Error::OutOfMemory("a picture cannot be turned".into()))?;
    turned.copy_colors(&picture);
    let planes = picture.planes();
    let rows: Vec<Vec<&[u8]>> = planes.iter().map(|plane| plane.rows().collect()).collect();
    turned.write_rows(|plane, y, row| {
        let from = planes[plane].layout;
        for (x, pixel) in row.chunks_exact_mut(from.step).enumerate() {
            let (from_x, from_y) =
                orientation::stored_position(orientation, (x, y), (from.width, from.height));
            pixel.copy_from_slice(
                &rows[plane][from_y][from_x * from.step..(from_x + 1) * from.step],
            );
        }
    });
    Ok(turned)
}
