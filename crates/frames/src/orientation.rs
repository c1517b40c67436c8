//! Orientation of a video's frames: from the container's display matrix to positions of pixels.

use jobs::Ratio;
use jobs::manifest::Orientation;

use crate::fit::Size;

/// Orientation that the ffmpeg command applies for a display matrix (FFmpeg 5.1:
/// fftools/cmdutils.c `get_rotation`, fftools/ffmpeg_filter.c `configure_input_video_filter`;
/// layout of the matrix in libavutil/display.h).
pub(crate) fn from_display_matrix(matrix: Option<[i32; 9]>) -> Orientation {
    let Some(matrix) = matrix else { return Orientation::Upright };
    let fixed = |n: usize| f64::from(matrix[n]) / 65536.0;
    let scale = [fixed(0).hypot(fixed(3)), fixed(1).hypot(fixed(4))];
    if scale.contains(&0.0) {
        return Orientation::Upright;
    }
    let stored = -(fixed(1) / scale[1]).atan2(fixed(0) / scale[0]).to_degrees();
    let theta = -stored.round();
    let theta = theta - 360.0 * (theta / 360.0 + 0.9 / 360.0).floor();
    let near = |angle: f64| (theta - angle).abs() < 1.0;
    if near(90.0) {
        if matrix[3] > 0 { Orientation::Transposed } else { Orientation::Clockwise }
    } else if near(180.0) {
        match (matrix[0] < 0, matrix[4] < 0) {
            (true, true) => Orientation::HalfTurn,
            (true, false) => Orientation::MirroredHorizontally,
            (false, true) => Orientation::MirroredVertically,
            (false, false) => Orientation::Upright,
        }
    } else if near(270.0) {
        if matrix[3] < 0 { Orientation::AntiTransposed } else { Orientation::CounterClockwise }
    } else if theta.abs() > 1.0 {
        Orientation::Skewed
    } else if matrix[4] < 0 {
        Orientation::MirroredVertically
    } else {
        Orientation::Upright
    }
}

/// Whether frames are displayed as they are stored.
pub(crate) fn is_identity(orientation: Orientation) -> bool {
    matches!(orientation, Orientation::Upright | Orientation::Skewed)
}

/// Whether width and height are swapped for display.
pub(crate) fn swaps_sides(orientation: Orientation) -> bool {
    use Orientation as O;
    matches!(orientation, O::Clockwise | O::CounterClockwise | O::Transposed | O::AntiTransposed)
}

/// Size of the displayed frame, from that of the stored one.
pub(crate) fn displayed_size(orientation: Orientation, stored: Size) -> Size {
    let Size { width, height } = stored;
    if swaps_sides(orientation) { Size { width: height, height: width } } else { stored }
}

/// Sample aspect ratio of the displayed frame, from that of the stored one.
pub(crate) fn displayed_aspect(orientation: Orientation, stored: Ratio) -> Ratio {
    if swaps_sides(orientation) { Ratio::new(stored.den, stored.num) } else { stored }
}

/// Position in the stored frame, of `width` by `height` pixels, of the pixel at (x, y) of the
/// displayed one.
pub(crate) fn stored_position(
    orientation: Orientation,
    (x, y): (usize, usize),
    (width, height): (usize, usize),
) -> (usize, usize) {
    match orientation {
        Orientation::Upright | Orientation::Skewed => (x, y),
        Orientation::Clockwise => (y, height - 1 - x),
        Orientation::CounterClockwise => (width - 1 - y, x),
        Orientation::HalfTurn => (width - 1 - x, height - 1 - y),
        Orientation::MirroredHorizontally => (width - 1 - x, y),
        Orientation::MirroredVertically => (x, height - 1 - y),
        Orientation::Transposed => (y, x),
        Orientation::AntiTransposed => (width - 1 - y, height - 1 - x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Display matrix of a clockwise rotation as `av_display_rotation_set` makes it, in 16.16 fixed
    /// point.
    fn rotated(degrees: f64) -> [i32; 9] {
        let (sine, cosine) = (-degrees.to_radians()).sin_cos();
        let fixed = |number: f64| (number * 65536.0) as i32;
        [fixed(cosine), fixed(-sine), 0, fixed(sine), fixed(cosine), 0, 0, 0, 1 << 30]
    }

    #[test]
    fn recognizes_quarter_turns() {
        let orientation = |degrees| from_display_matrix(Some(rotated(degrees)));
        assert_eq!(from_display_matrix(None), Orientation::Upright);
        assert_eq!(orientation(0.0), Orientation::Upright);
        assert_eq!(orientation(90.0), Orientation::Clockwise);
        assert_eq!(orientation(-90.0), Orientation::CounterClockwise);
        assert_eq!(orientation(180.0), Orientation::HalfTurn);
        assert_eq!(orientation(33.0), Orientation::Skewed);
        assert_eq!(from_display_matrix(Some([0; 9])), Orientation::Upright);
    }

    #[test]
    fn a_clockwise_turn_moves_the_bottom_left_pixel_to_the_top_left() {
        let top_left = |orientation| stored_position(orientation, (0, 0), (4, 3));
        assert_eq!(top_left(Orientation::Clockwise), (0, 2));
        assert_eq!(top_left(Orientation::CounterClockwise), (3, 0));
        assert_eq!(top_left(Orientation::HalfTurn), (3, 2));
    }
}
