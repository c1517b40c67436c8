//! Turns a decoded picture upright and into the pixels that a PNG holds.

use serde::Serialize;

use crate::Error;
use crate::av::{self, Picture, Scaler};
use crate::select::Ratio;

/// How a picture has to be turned before it is shown, from the container's display matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Orientation {
    /// As it is stored.
    Upright,
    /// A quarter turn clockwise.
    Clockwise,
    /// A quarter turn counter-clockwise.
    CounterClockwise,
    /// A half turn.
    HalfTurn,
    /// Left and right change places.
    MirroredHorizontally,
    /// Top and bottom change places.
    MirroredVertically,
    /// Rows become columns.
    Transposed,
    /// Rows become columns, from the other corner.
    AntiTransposed,
    /// An angle that is no quarter turn. Such pictures are left as they are stored.
    Skewed,
}

impl Orientation {
    /// What the ffmpeg command does for a display matrix (FFmpeg 5.1: fftools/cmdutils.c
    /// `get_rotation`, fftools/ffmpeg_filter.c `configure_input_video_filter`; the matrix as in
    /// libavutil/display.h).
    pub(crate) fn of(matrix: Option<[i32; 9]>) -> Self {
        let Some(matrix) = matrix else { return Self::Upright };
        let fixed = |n: usize| f64::from(matrix[n]) / 65536.0;
        let scale = [fixed(0).hypot(fixed(3)), fixed(1).hypot(fixed(4))];
        if scale.contains(&0.0) {
            return Self::Upright;
        }
        let stored = -(fixed(1) / scale[1]).atan2(fixed(0) / scale[0]).to_degrees();
        let theta = -stored.round();
        let theta = theta - 360.0 * (theta / 360.0 + 0.9 / 360.0).floor();
        let near = |angle: f64| (theta - angle).abs() < 1.0;
        if near(90.0) {
            if matrix[3] > 0 { Self::Transposed } else { Self::Clockwise }
        } else if near(180.0) {
            match (matrix[0] < 0, matrix[4] < 0) {
                (true, true) => Self::HalfTurn,
                (true, false) => Self::MirroredHorizontally,
                (false, true) => Self::MirroredVertically,
                (false, false) => Self::Upright,
            }
        } else if near(270.0) {
            if matrix[3] < 0 { Self::AntiTransposed } else { Self::CounterClockwise }
        } else if theta.abs() > 1.0 {
            Self::Skewed
        } else if matrix[4] < 0 {
            Self::MirroredVertically
        } else {
            Self::Upright
        }
    }

    /// The aspect ratio of a sample after the turn.
    pub(crate) fn turn_aspect(self, aspect: Ratio) -> Ratio {
        if self.turns_sideways() { Ratio::new(aspect.den, aspect.num) } else { aspect }
    }

    fn turns_sideways(self) -> bool {
        matches!(
            self,
            Self::Clockwise | Self::CounterClockwise | Self::Transposed | Self::AntiTransposed
        )
    }

    /// Where the pixel at (x, y) of the shown picture lies in the stored one, which is `width` by
    /// `height`.
    fn source(self, x: usize, y: usize, width: usize, height: usize) -> (usize, usize) {
        match self {
            Self::Upright | Self::Skewed => (x, y),
            Self::Clockwise => (y, height - 1 - x),
            Self::CounterClockwise => (width - 1 - y, x),
            Self::HalfTurn => (width - 1 - x, height - 1 - y),
            Self::MirroredHorizontally => (width - 1 - x, y),
            Self::MirroredVertically => (x, height - 1 - y),
            Self::Transposed => (y, x),
            Self::AntiTransposed => (width - 1 - y, height - 1 - x),
        }
    }
}

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
    if matches!(orientation, Orientation::Upright | Orientation::Skewed)
        || !av::is_transposable(picture.format())
    {
        return Ok(picture);
    }
    let (mut width, mut height) = (picture.width(), picture.height());
    if orientation.turns_sideways() {
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
            let (from_x, from_y) = orientation.source(x, y, from.width, from.height);
            pixel.copy_from_slice(
                &rows[plane][from_y][from_x * from.step..(from_x + 1) * from.step],
            );
        }
    });
    Ok(turned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A display matrix for a clockwise turn as `av_display_rotation_set` makes it, in 16.16 fixed
    /// point.
    fn rotated(degrees: f64) -> [i32; 9] {
        let radians = -degrees.to_radians();
        let fixed = |number: f64| (number * 65536.0) as i32;
        [
            fixed(radians.cos()),
            fixed(-radians.sin()),
            0,
            fixed(radians.sin()),
            fixed(radians.cos()),
            0,
            0,
            0,
            1 << 30,
        ]
    }

    #[test]
    fn quarter_turns_are_recognised() {
        assert_eq!(Orientation::of(None), Orientation::Upright);
        assert_eq!(Orientation::of(Some(rotated(0.0))), Orientation::Upright);
        assert_eq!(Orientation::of(Some(rotated(90.0))), Orientation::Clockwise);
        assert_eq!(Orientation::of(Some(rotated(-90.0))), Orientation::CounterClockwise);
        assert_eq!(Orientation::of(Some(rotated(180.0))), Orientation::HalfTurn);
        assert_eq!(Orientation::of(Some(rotated(33.0))), Orientation::Skewed);
        assert_eq!(Orientation::of(Some([0; 9])), Orientation::Upright);
    }

    #[test]
    fn a_clockwise_turn_brings_the_bottom_left_pixel_to_the_top_left() {
        assert_eq!(Orientation::Clockwise.source(0, 0, 4, 3), (0, 2));
        assert_eq!(Orientation::CounterClockwise.source(0, 0, 4, 3), (3, 0));
        assert_eq!(Orientation::HalfTurn.source(0, 0, 4, 3), (3, 2));
    }
}
