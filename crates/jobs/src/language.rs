//! The languages in which users are spoken to.

use serde::{Deserialize, Serialize};

/// A user's language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Portuguese, as spoken where the service was first used.
    #[default]
    Pt,
    /// English.
    En,
}

impl Language {
    /// The language's tag (BCP 47).
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Pt => "pt",
            Self::En => "en",
        }
    }

    /// The language of a tag such as `pt-BR`, if it is one of ours.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        match tag.trim().split(['-', '_']).next()?.to_ascii_lowercase().as_str() {
            "pt" => Some(Self::Pt),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    /// The first of ours in an `Accept-Language` header (RFC 9110, 12.5.4). Browsers list what they
    /// prefer first, so the weights are not read.
    #[must_use]
    pub fn of_header(header: &str) -> Option<Self> {
        header.split(',').find_map(|item| Self::of_tag(item.split(';').next()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_understood() {
        assert_eq!(Language::of_header("pt-BR,pt;q=0.9,en;q=0.8"), Some(Language::Pt));
        assert_eq!(Language::of_header("de, en-GB;q=0.7, pt;q=0.3"), Some(Language::En));
        assert_eq!(Language::of_header("*"), None);
        assert_eq!(Language::of_header(""), None);
    }
}
