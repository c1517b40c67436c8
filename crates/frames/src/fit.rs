//! Size of frames in the archive, from the limits that a recipe states.

use std::num::NonZeroU16;

use jobs::Ratio;
use jobs::recipe::Image;

/// Size of a frame in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub width: u32,
    pub height: u32,
}

/// Limits into which frames are fitted. By default every frame keeps its size.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fit {
    max_width: Option<NonZeroU16>,
    max_height: Option<NonZeroU16>,
    square_pixels: bool,
}

impl Fit {
    pub(crate) fn new(image: &Image) -> Self {
        Self {
            max_width: image.max_width(),
            max_height: image.max_height(),
            square_pixels: image.square_pixels(),
        }
    }

    /// Limits in pixels for frames with square samples.
    pub(crate) fn within(max_width: u16, max_height: u16) -> Self {
        let [max_width, max_height] = [max_width, max_height].map(NonZeroU16::new);
        Self { max_width, max_height, square_pixels: true }
    }

    /// Whether the samples of the frames are to be square.
    pub(crate) fn square_pixels(self) -> bool {
        self.square_pixels
    }

    /// Size of a frame in the archive, from its size and sample aspect ratio as it is displayed.
    ///
    /// With square pixels, the width is first multiplied by the sample aspect ratio; the height
    /// stays. Then the frame is scaled down, never up, until it fits both limits. Each side is
    /// rounded to the nearest pixel (halves up), and is at least 1.
    pub(crate) fn size(self, displayed: Size, aspect: Option<Ratio>) -> Size {
        let aspect = aspect.filter(|aspect| self.square_pixels && aspect.num > 0 && aspect.den > 0);
        let aspect = aspect.unwrap_or(Ratio::new(1, 1));
        // The width is `width / den`, so that it is exact. The numbers of a sample aspect ratio
        // are below 2^31 in libav, so no product reaches 2^127.
        let den = aspect.den as u128;
        let width = u128::from(displayed.width) * aspect.num as u128;
        let height = u128::from(displayed.height);
        // Limits as fractions of the frame's sides: the smaller one applies to both sides.
        let by_width = self.max_width.map(|max| (u128::from(max.get()) * den, width));
        let by_height = self.max_height.map(|max| (u128::from(max.get()), height));
        let (mut part, mut whole) = (1, 1);
        for (num, divisor) in [by_width, by_height].into_iter().flatten() {
            if num * whole < part * divisor {
                (part, whole) = (num, divisor);
            }
        }
        Size { width: rounded(width * part, den * whole), height: rounded(height * part, whole) }
    }
}

/// Quotient, rounded to the nearest number that is at least 1.
fn rounded(dividend: u128, divisor: u128) -> u32 {
    let quotient = (2 * dividend + divisor) / (2 * divisor).max(1);
    u32::try_from(quotient).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fit(max_width: u16, max_height: u16, square_pixels: bool) -> Fit {
        let [max_width, max_height] = [max_width, max_height].map(NonZeroU16::new);
        Fit { max_width, max_height, square_pixels }
    }

    #[test]
    fn frames_keep_their_shape() {
        for (limits, size, aspect, expected) in [
            ((0, 0, false), (1920, 1080), (1, 1), (1920, 1080)),
            ((1280, 0, false), (1920, 1080), (1, 1), (1280, 720)),
            ((0, 720, false), (1920, 1080), (1, 1), (1280, 720)),
            ((640, 640, false), (1080, 1920), (1, 1), (360, 640)),
            ((4000, 4000, false), (1920, 1080), (1, 1), (1920, 1080)),
            ((100, 0, false), (1920, 1080), (1, 1), (100, 56)),
            ((1, 0, false), (1920, 1080), (1, 1), (1, 1)),
            ((0, 0, true), (720, 576), (16, 15), (768, 576)),
            ((0, 0, true), (720, 576), (1, 2), (360, 576)),
            ((0, 0, false), (720, 576), (16, 15), (720, 576)),
            ((384, 0, true), (720, 576), (16, 15), (384, 288)),
            ((384, 0, false), (720, 576), (16, 15), (384, 307)),
            ((0, 0, true), (1, 1), (i64::from(i32::MAX), 1), (u32::MAX / 2, 1)),
            ((100, 0, true), (1920, 1080), (i64::from(i32::MAX), 1), (100, 1)),
        ] {
            let (max_width, max_height, square_pixels) = limits;
            let displayed = Size { width: size.0, height: size.1 };
            let aspect = Ratio::new(aspect.0, aspect.1);
            let fitted = fit(max_width, max_height, square_pixels).size(displayed, Some(aspect));
            assert_eq!((fitted.width, fitted.height), expected, "{limits:?} {size:?} {aspect:?}");
        }
    }

    proptest! {
        #[test]
        fn frames_fit_and_are_never_enlarged(
            limits in prop::array::uniform2(0_u16..),
            size in prop::array::uniform2(1_u32..=65_535),
            aspect in prop::option::of((1_i64..=i64::from(i32::MAX), 1_i64..=i64::from(i32::MAX))),
            square_pixels: bool,
        ) {
            let [max_width, max_height] = limits;
            let [width, height] = size;
            let aspect = aspect.map(|(num, den)| Ratio::new(num, den));
            let fitted = fit(max_width, max_height, square_pixels)
                .size(Size { width, height }, aspect);
            let limit = |max: u16| if max == 0 { u32::MAX } else { max.into() };
            prop_assert!(fitted.width <= limit(max_width) && fitted.width >= 1);
            prop_assert!(fitted.height <= limit(max_height).min(height) && fitted.height >= 1);
            let widening = aspect.filter(|_| square_pixels).map_or(1.0, Ratio::as_f64);
            let shown = f64::from(width) * widening;
            prop_assert!(f64::from(fitted.width) <= (shown + 0.5).max(1.0));
            // One side equals its limit, or the frame is not scaled.
            let is_limited = fitted.width == limit(max_width) || fitted.height == limit(max_height);
            prop_assert!(is_limited || fitted.height == height);
            // Each side differs by at most half a pixel from the shape of the other one.
            let scale = (f64::from(limit(max_width)) / shown)
                .min(f64::from(limit(max_height)) / f64::from(height))
                .min(1.0);
            let close = |side: u32, exact: f64| {
                let exact = exact.min(f64::from(u32::MAX));
                (f64::from(side) - exact).abs() <= 0.501_f64.max(1.0 - exact)
            };
            prop_assert!(close(fitted.width, shown * scale), "{fitted:?}");
            prop_assert!(close(fitted.height, f64::from(height) * scale), "{fitted:?}");
        }
    }
}
