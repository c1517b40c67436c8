//! Languages of the texts for users.

use serde::{Deserialize, Serialize};

/// Language of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Brazilian Portuguese.
    #[default]
    Pt,
    /// English.
    En,
}

impl Language {
    /// Language tag (BCP 47).
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Pt => "pt",
            Self::En => "en",
        }
    }

    /// Language of a tag such as `pt-BR`; `None` if it is not supported.
    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Self> {
        match tag.trim().split(['-', '_']).next()?.to_ascii_lowercase().as_str() {
            "pt" => Some(Self::Pt),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    /// First supported language in an `Accept-Language` header (RFC 9110, 12.5.4). Weights are
    /// ignored, because browsers list languages in order of preference.
    #[must_use]
    pub fn from_accept_language(header: &str) -> Option<Self> {
        header.split(',').find_map(|item| Self::from_tag(item.split(';').next()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_accept_language_headers() {
        let parse = Language::from_accept_language;
        assert_eq!(parse("pt-BR,pt;q=0.9,en;q=0.8"), Some(Language::Pt));
        assert_eq!(parse("de, en-GB;q=0.7, pt;q=0.3"), Some(Language::En));
        assert_eq!(parse("*"), None);
        assert_eq!(parse(""), None);
    }
}
