//! Form of each frame: file format, quality and size.

use std::fmt;
use std::num::NonZeroU16;

use serde::Serialize;

/// Form of each frame. The default is PNG at the size of the video.
///
/// In JSON, members that have their default are left out, except the format.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Image {
    format: ImageFormat,
    /// Quality of a lossy format, if it is not the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<Quality>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_width: Option<NonZeroU16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_height: Option<NonZeroU16>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    square_pixels: bool,
}

impl Image {
    /// Image in a format, at the size of the video. The default quality applies if `quality` is
    /// `None`.
    ///
    /// # Errors
    /// Returns [`InvalidImage::LosslessQuality`] if a quality is stated for a lossless format.
    pub fn new(format: ImageFormat, quality: Option<Quality>) -> Result<Self, InvalidImage> {
        if quality.is_some() && !format.is_lossy() {
            return Err(InvalidImage::LosslessQuality(format));
        }
        let quality = quality.filter(|quality| *quality != Quality::DEFAULT);
        Ok(Self { format, quality, ..Self::default() })
    }

    /// The same image, scaled down to fit into a width and a height in pixels.
    #[must_use]
    pub fn within(self, max_width: Option<NonZeroU16>, max_height: Option<NonZeroU16>) -> Self {
        Self { max_width, max_height, ..self }
    }

    /// The same image with or without [`Image::square_pixels`].
    #[must_use]
    pub fn with_square_pixels(self, square_pixels: bool) -> Self {
        Self { square_pixels, ..self }
    }

    /// File format.
    #[must_use]
    pub const fn format(&self) -> ImageFormat {
        self.format
    }

    /// Quality of a lossy format. `None` if the format is lossless.
    #[must_use]
    pub fn quality(&self) -> Option<Quality> {
        self.format.is_lossy().then(|| self.quality.unwrap_or_default())
    }

    /// Maximum width in pixels. Wider frames are scaled down and keep their shape.
    #[must_use]
    pub const fn max_width(&self) -> Option<NonZeroU16> {
        self.max_width
    }

    /// Maximum height in pixels. Higher frames are scaled down and keep their shape.
    #[must_use]
    pub const fn max_height(&self) -> Option<NonZeroU16> {
        self.max_height
    }

    /// Whether frames with samples that are not square are widened or narrowed, so that programs
    /// that ignore the sample aspect ratio show them in the right shape.
    #[must_use]
    pub const fn square_pixels(&self) -> bool {
        self.square_pixels
    }
}

/// File format of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageFormat {
    /// Portable Network Graphics (ISO/IEC 15948): lossless, at the depth of the source.
    #[default]
    Png,
    /// JPEG (ITU-T T.81 and T.871): lossy, 8 bits, without transparency.
    Jpeg,
    /// WebP (RFC 9649): lossy, 8 bits, with transparency.
    Webp,
}

impl ImageFormat {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Png, Self::Jpeg, Self::Webp];

    /// Name in recipes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
        }
    }

    /// Suffix of file names, in lower case and without the dot.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
        }
    }

    /// Media type (RFC 6838).
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
        }
    }

    /// Whether files are smaller with a lower [`Quality`].
    #[must_use]
    pub const fn is_lossy(self) -> bool {
        match self {
            Self::Png => false,
            Self::Jpeg | Self::Webp => true,
        }
    }
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Quality of a lossy format, from 1 (smallest files) to 100. The same number means different
/// qualities in different formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Quality(u8);

impl Quality {
    /// Quality if a recipe states none.
    pub const DEFAULT: Self = Self(85);

    /// Quality with this number; `None` unless it is from 1 to 100.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if matches!(number, 1..=100) { Some(Self(number)) } else { None }
    }

    /// Number from 1 to 100.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl Default for Quality {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Reason why an image is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImage {
    /// A quality is stated for a lossless format.
    #[error("{0} is lossless and has no quality; remove it, or choose jpeg or webp")]
    LosslessQuality(ImageFormat),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::recipe::{InvalidRecipe, Recipe};

    fn parse(image: &Value) -> Result<Image, InvalidRecipe> {
        Recipe::try_from(json!({ "image": image })).map(|recipe| recipe.image)
    }

    #[test]
    fn members_with_their_default_are_left_out() {
        for (json, canonical) in [
            ("{}", r#"{"format":"png"}"#),
            (r#"{"square_pixels":false}"#, r#"{"format":"png"}"#),
            (r#"{"quality":85,"format":"jpeg"}"#, r#"{"format":"jpeg"}"#),
            (
                r#"{"square_pixels":true,"max_height":9,"max_width":65535,"quality":1,
                    "format":"webp"}"#,
                concat!(
                    r#"{"format":"webp","quality":1,"max_width":65535,"max_height":9,"#,
                    r#""square_pixels":true}"#
                ),
            ),
        ] {
            let read = |json| parse(&serde_json::from_str(json).expect(json)).expect(json);
            let image = read(json);
            assert_eq!(serde_json::to_string(&image).expect(json), canonical);
            assert_eq!(read(canonical), image);
        }
    }

    #[test]
    fn only_lossy_formats_have_a_quality() {
        let quality = |json| parse(&json).expect("a valid image").quality().map(Quality::number);
        assert_eq!(quality(json!({})), None);
        assert_eq!(quality(json!({ "format": "jpeg" })), Some(85));
        assert_eq!(quality(json!({ "format": "webp", "quality": 100 })), Some(100));
    }

    proptest! {
        #[test]
        fn valid_images_round_trip_through_json(
            format in prop::sample::select(ImageFormat::ALL.as_slice()),
            quality in prop::option::of(0_u8..),
            sides in prop::array::uniform2(prop::option::of(0_u32..70_000)),
            square_pixels: bool,
        ) {
            let [max_width, max_height] = sides;
            let mut json = json!({ "format": format, "square_pixels": square_pixels });
            for (member, value) in [
                ("quality", quality.map(u32::from)),
                ("max_width", max_width),
                ("max_height", max_height),
            ] {
                if let Some(value) = value {
                    json[member] = value.into();
                }
            }
            let parsed = parse(&json);
            let is_valid = quality.is_none_or(|quality| {
                format.is_lossy() && (1..=100).contains(&quality)
            }) && sides.iter().flatten().all(|side| (1..=65_535).contains(side));
            prop_assert_eq!(parsed.is_ok(), is_valid, "{}", json);
            let Ok(image) = parsed else { return Ok(()) };
            prop_assert_eq!(image.format(), format);
            let expected = format.is_lossy().then(|| quality.unwrap_or(85));
            prop_assert_eq!(image.quality().map(Quality::number), expected);
            prop_assert_eq!(image.max_width().map(|side| u32::from(side.get())), max_width);
            prop_assert_eq!(image.max_height().map(|side| u32::from(side.get())), max_height);
            prop_assert_eq!(image.square_pixels(), square_pixels);
            prop_assert_eq!(parse(&json!(image)), Ok(image));
        }
    }
}
