//! Arguments that choose frames and their form.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jobs::recipe::{Interval, Part, Position, Selection, Times};
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
    #[arg(long, value_name = "NUMBER")]
    pub count: Option<NonZeroU32>,
    /// Leave out what is before this time: 10, 1:02.5.
    #[arg(long, value_name = "TIME")]
    pub from: Option<Position>,
    /// Leave out what is from this time on.
    #[arg(long, value_name = "TIME")]
    pub to: Option<Position>,
    /// Maximum number of frames: the first ones.
    #[arg(long, value_name = "NUMBER")]
    pub max_frames: Option<NonZeroU32>,
    /// Read all of these choices from a JSON file, in the form of the manifest's `recipe`.
    #[arg(long, value_name = "FILE.json")]
    pub recipe: Option<PathBuf>,
    /// Compression effort of the frames. The pixels are the same for all levels.
    #[arg(long, value_enum, default_value_t = Compression::Fast)]
    pub compression: Compression,
}

/// Arguments that contradict each other, or a recipe that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

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
        let usage = |error: &dyn std::error::Error| UsageError(error.to_string());
        let select = match (self.every, self.at.as_slice(), self.count) {
            (None, [], None) => Selection::default(),
            (Some(interval), [], None) => Selection::Every(interval),
            (None, [], Some(count)) => Selection::Count(count),
            (None, times, None) => {
                let times: Result<Times, _> = times.to_vec().try_into();
                Selection::At(times.map_err(|error| usage(&error))?)
            }
            _ => return Err(UsageError("choose only one of --every, --at and --count".to_owned())),
        };
        let part = Part::new(self.from, self.to).map_err(|_| {
            UsageError("--to must be later than --from, and later than 0".to_owned())
        })?;
        Ok(Recipe { select, part, max_frames: self.max_frames, ..Recipe::default() })
    }

    fn read_recipe(&self, file: &Path) -> Result<Recipe, UsageError> {
        let Self { every, at, count, from, to, max_frames, recipe: _, compression: _ } = self;
        let is_alone = every.is_none()
            && at.is_empty()
            && count.is_none()
            && from.is_none()
            && to.is_none()
            && max_frames.is_none();
        if !is_alone {
            let text = "--recipe contains the whole choice: put the other options into its file";
            return Err(UsageError(text.to_owned()));
        }
        let invalid = |reason: &dyn std::fmt::Display| {
            UsageError(format!("the recipe {} cannot be used: {reason}", file.display()))
        };
        let text = std::fs::read_to_string(file).map_err(|error| invalid(&error))?;
        serde_json::from_str(&text).map_err(|error| invalid(&error))
    }
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
