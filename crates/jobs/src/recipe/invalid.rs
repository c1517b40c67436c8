//! Reasons why a text is not a recipe.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal;)*) => {
        /// Kind of a mistake in a recipe.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// All reasons.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Stable code in upper snake case.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
        }
    };
}

reasons! {
    /// The text is not JSON.
    NotJson = "RECIPE_NOT_JSON";
    /// The text is longer than allowed.
    TooLarge = "RECIPE_TOO_LARGE";
    /// The recipe follows the videos that it is for.
    Misplaced = "RECIPE_MISPLACED";
    /// The value has to be an object.
    NotAnObject = "RECIPE_NOT_AN_OBJECT";
    /// The value has to be a list.
    NotAList = "RECIPE_NOT_A_LIST";
    /// The value has to be `true` or `false`.
    NotABoolean = "RECIPE_NOT_A_BOOLEAN";
    /// This version does not know the member.
    UnknownMember = "RECIPE_UNKNOWN_MEMBER";
    /// `select` has no member.
    SelectionMissing = "RECIPE_SELECTION_MISSING";
    /// `select` has several members.
    SelectionsConflict = "RECIPE_SELECTIONS_CONFLICT";
    /// The value is not an interval in seconds.
    IntervalInvalid = "RECIPE_INTERVAL_INVALID";
    /// The interval is longer than a video can be.
    IntervalTooLong = "RECIPE_INTERVAL_TOO_LONG";
    /// The value is not a time.
    TimeInvalid = "RECIPE_TIME_INVALID";
    /// The time is later than a video can be long.
    TimeTooLate = "RECIPE_TIME_TOO_LATE";
    /// The interval or time has too many decimals.
    TooPrecise = "RECIPE_TOO_PRECISE";
    /// The list of times is empty.
    TimesMissing = "RECIPE_TIMES_MISSING";
    /// The list of times is too long.
    TooManyTimes = "RECIPE_TOO_MANY_TIMES";
    /// `to` is not later than `from`.
    PartEmpty = "RECIPE_PART_EMPTY";
    /// The value is not a number within the bounds of the member.
    NumberInvalid = "RECIPE_NUMBER_INVALID";
    /// The image format is unknown.
    FormatUnknown = "RECIPE_FORMAT_UNKNOWN";
    /// The recipe selects no frame of the video.
    NothingSelected = "RECIPE_NOTHING_SELECTED";
    /// The recipe selects more frames than one job may have.
    TooManyFrames = "RECIPE_TOO_MANY_FRAMES";
    /// The archive would not fit into the storage that the user has left.
    StorageExceeded = "RECIPE_STORAGE_EXCEEDED";
    /// A lossless format has no quality.
    QualityLossless = "RECIPE_QUALITY_LOSSLESS";
}

/// Mistake in a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRecipe {
    /// Path of the member, relative to the value that was read. Empty for that value itself.
    path: String,
    reason: Reason,
    message: String,
}

impl InvalidRecipe {
    /// Mistake in a value. `message` continues "the recipe is invalid", in English, without a
    /// period.
    pub fn new(reason: Reason, message: impl fmt::Display) -> Self {
        Self { path: String::new(), reason, message: message.to_string() }
    }

    /// The same mistake as seen from the object or list that holds the value as `member`: a name,
    /// or an index in brackets.
    #[must_use]
    pub fn within(mut self, member: &str) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{member}{separator}{}", self.path);
        self
    }

    /// Path of the member, such as `select.at[2]`; `None` if the mistake concerns all of the
    /// recipe.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        Some(self.path.as_str()).filter(|path| !path.is_empty())
    }

    /// Kind of the mistake.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }
}

impl fmt::Display for InvalidRecipe {
    /// The member and the explanation, in one line.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.member() {
            Some(member) => write!(formatter, "`{member}`: {}", self.message),
            None => formatter.write_str(&self.message),
        }
    }
}

impl std::error::Error for InvalidRecipe {}
