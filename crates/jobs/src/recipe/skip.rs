//! Selected frames that are left out.

use serde::Serialize;

/// Kinds of selected frames that are left out of the archive. The default is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Skip {
    /// Frames of almost one brightness, such as black ones.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub blank: bool,
    /// Frames that hardly differ from the frame before them in the archive.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
}

impl Skip {
    /// Whether no frames are left out.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
