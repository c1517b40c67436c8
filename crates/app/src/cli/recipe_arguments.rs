//! Arguments that choose frames and their form.

use std::fs::File;
use std::io::Read;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use jobs::recipe::{
    Image, ImageFormat, Interval, KeyFrames, MAX_BYTES, Part, Position, Quality, Scenes, Selection,
    Sharpest, Sheet, Skip, Threshold, Times,
};
use jobs::{Recipe, manifest};

/// Frame selection and compression.
#[derive(Debug, Args)]
pub struct RecipeArguments {
    /// Interval between frames, in seconds: 1, 0.5, 1/3 [default: 1].
    #[arg(long, value_name = "SECONDS")]
    pub every: Option<Interval>,
    /// Extract the frames on screen at these times: 5,1:02.5.
    #[arg(long, value_name = "TIME,...", value_delimiter = ',')]
    pub at: Vec<Position>,
    /// Extract this number of frames, evenly distributed.
    #[arg(long, value_name = "NUMBER", value_parser = whole_number::<NonZeroU32>)]
    pub count: Option<NonZeroU32>,
    /// Extract the key frames.
    #[arg(long)]
    pub keyframes: bool,
    /// Extract the first frame of each scene: those whose scene score exceeds a threshold
    /// [default: 0.3].
    #[arg(
        long, value_name = "THRESHOLD", num_args = 0..=1, require_equals = true,
        default_missing_value = "0.3"
    )]
    pub scenes: Option<Threshold>,
    /// Minimum time from one frame of --scenes to the next, in seconds.
    #[arg(long, value_name = "TIME")]
    pub min_seconds: Option<Position>,
    /// Extract the frame with the most detail of each interval, which --every states.
    #[arg(long)]
    pub sharpest: bool,
    /// Leave out what is before this time: 10, 1:02.5.
    #[arg(long, value_name = "TIME")]
    pub from: Option<Position>,
    /// Leave out what is from this time on.
    #[arg(long, value_name = "TIME")]
    pub to: Option<Position>,
    /// Leave out frames that are blank, or repeat the frame before them.
    #[arg(long, value_name = "KIND,...", value_delimiter = ',', value_enum)]
    pub skip: Vec<SkipKind>,
    /// Maximum number of frames: the first ones.
    #[arg(long, value_name = "NUMBER", value_parser = whole_number::<NonZeroU32>)]
    pub max_frames: Option<NonZeroU32>,
    /// File format of the frames.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Quality of JPEG and WebP files, 1 to 100 [default: 85].
    #[arg(long, value_name = "NUMBER", value_parser = quality)]
    pub quality: Option<Quality>,
    /// Maximum width in pixels, into which larger frames are scaled down.
    #[arg(long, value_name = "PIXELS", value_parser = whole_number::<NonZeroU16>)]
    pub max_width: Option<NonZeroU16>,
    /// Maximum height in pixels, into which larger frames are scaled down.
    #[arg(long, value_name = "PIXELS", value_parser = whole_number::<NonZeroU16>)]
    pub max_height: Option<NonZeroU16>,
    /// Widen or narrow frames whose pixels are not square.
    #[arg(long)]
    pub square_pixels: bool,
    /// Add contact sheets: columns, and the width of each small frame in pixels [default: 5x320].
    #[arg(
        long, value_name = "COLUMNSxWIDTH", num_args = 0..=1, require_equals = true,
        default_missing_value = "5x320"
    )]
    pub sheet: Option<Sheet>,
    /// Read all of these choices from a JSON file, in the form of the manifest's `recipe`.
    #[arg(long, value_name = "FILE.json")]
    pub recipe: Option<PathBuf>,
    /// Compression effort of PNG frames. The pixels are the same for all levels.
    #[arg(long, value_enum, default_value_t = Compression::Fast)]
    pub compression: Compression,
}

/// Arguments that contradict each other, or a recipe that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

impl UsageError {
    /// Error with a message that names the arguments.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl RecipeArguments {
    /// Convert to options of the engine.
    ///
    /// # Errors
    /// The arguments contradict each other, or the file with the recipe is invalid.
    pub fn options(&self) -> Result<frames::Options, UsageError> {
        Ok(frames::Options {
            recipe: match &self.recipe {
                Some(file) => self.read_recipe(file)?,
                None => self.recipe()?,
            },
            compression: match self.compression {
                Compression::Fast => manifest::Compression::Fast,
                Compression::Balanced => manifest::Compression::Balanced,
                Compression::Small => manifest::Compression::Small,
            },
            ..frames::Options::default()
        })
    }

    fn recipe(&self) -> Result<Recipe, UsageError> {
        let part = Part::new(self.from, self.to).map_err(|_| {
            UsageError("--to must be later than --from, and later than 0".to_owned())
        })?;
        Ok(Recipe {
            select: self.selection()?,
            part,
            skip: Skip {
                blank: self.skip.contains(&SkipKind::Blank),
                repeated: self.skip.contains(&SkipKind::Repeated),
            },
            max_frames: self.max_frames,
            image: self.image()?,
            sheet: self.sheet,
        })
    }

    fn selection(&self) -> Result<Selection, UsageError> {
        let times = (!self.at.is_empty()).then(|| Times::try_from(self.at.clone())).transpose();
        let times = times.map_err(|error| UsageError(error.to_string()))?;
        let min_seconds = self.min_seconds.unwrap_or_default();
        let scenes = |threshold| Selection::Scenes(Scenes { threshold, min_seconds });
        let every = self.every.unwrap_or(Interval::ONE_SECOND);
        let choices = [
            self.every.filter(|_| !self.sharpest).map(Selection::Every),
            times.map(Selection::At),
            self.count.map(Selection::Count),
            self.keyframes.then_some(Selection::KeyFrames(KeyFrames {})),
            self.scenes.map(scenes),
            self.sharpest.then_some(Selection::Sharpest(Sharpest { every })),
        ];
        let mut chosen = choices.into_iter().flatten();
        let first = chosen.next();
        if chosen.next().is_some() {
            return Err(UsageError(
                "choose only one of --every, --at, --count, --keyframes, --scenes and --sharpest; \
                 only --sharpest goes with --every"
                    .to_owned(),
            ));
        }
        if self.min_seconds.is_some() && self.scenes.is_none() {
            return Err(UsageError("--min-seconds goes with --scenes".to_owned()));
        }
        Ok(first.unwrap_or_default())
    }

    fn image(&self) -> Result<Image, UsageError> {
        let format = self.format.map_or(ImageFormat::default(), Format::of_images);
        let image = Image::new(format, self.quality).map_err(|_| {
            UsageError("--quality goes with --format jpeg or --format webp".to_owned())
        })?;
        Ok(image.within(self.max_width, self.max_height).with_square_pixels(self.square_pixels))
    }

    fn read_recipe(&self, file: &Path) -> Result<Recipe, UsageError> {
        let has_others = self.every.is_some()
            || self.format.is_some()
            || self.recipe().ok() != Some(Recipe::default());
        if has_others {
            let text = "--recipe contains the whole choice: put the other options into its file";
            return Err(UsageError(text.to_owned()));
        }
        let invalid = |reason: &dyn std::fmt::Display| {
            UsageError(format!("the recipe {} cannot be used: {reason}", file.display()))
        };
        let mut text = Vec::new();
        // One byte too many is an error of the recipe; a device may have no end.
        let limit = MAX_BYTES as u64 + 1;
        File::open(file)
            .and_then(|opened| opened.take(limit).read_to_end(&mut text))
            .map_err(|error| invalid(&error))?;
        Recipe::from_json(&text).map_err(|mistake| invalid(&mistake))
    }
}

/// Parse a quality.
fn quality(text: &str) -> Result<Quality, String> {
    let number = whole_number(text).ok().and_then(Quality::new);
    number.ok_or_else(|| "it is not a whole number from 1 to 100".to_owned())
}

/// Parse a whole number above 0, without a sign.
fn whole_number<T: FromStr>(text: &str) -> Result<T, String> {
    let is_unsigned = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_unsigned);
    number.ok_or_else(|| "it is not a whole number above 0, or too large".to_owned())
}

/// File format of the frames.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Format {
    /// Lossless, at the depth of the video.
    Png,
    /// Small files, without transparency.
    Jpeg,
    /// Smaller files, in more time.
    Webp,
}

impl Format {
    const fn of_images(self) -> ImageFormat {
        match self {
            Self::Png => ImageFormat::Png,
            Self::Jpeg => ImageFormat::Jpeg,
            Self::Webp => ImageFormat::Webp,
        }
    }
}

/// Kind of frames that are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SkipKind {
    /// Frames of almost one brightness, such as black ones.
    Blank,
    /// Frames that hardly differ from the frame before them in the archive.
    Repeated,
}

/// Compression effort of the frames.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Compression {
    /// Fastest. On film, output is smaller than with the default level of zlib.
    Fast,
    /// One eighth smaller on film, in twice the time.
    Balanced,
    /// A few percent smaller again, in six times the time.
    Small,
}
