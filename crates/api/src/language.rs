//! Language of the texts for a user.

use jobs::Language;
use poem::http::{HeaderMap, header};
use poem_openapi::Enum;

/// Language of mails and messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "Language", rename_all = "lowercase")]
pub enum LanguageTag {
    /// Portuguese.
    Pt,
    /// English.
    En,
}

impl From<LanguageTag> for Language {
    fn from(tag: LanguageTag) -> Self {
        match tag {
            LanguageTag::Pt => Self::Pt,
            LanguageTag::En => Self::En,
        }
    }
}

impl From<Language> for LanguageTag {
    fn from(language: Language) -> Self {
        match language {
            Language::Pt => Self::Pt,
            Language::En => Self::En,
        }
    }
}

/// Preferred language of a request, from its `Accept-Language` (RFC 9110, 12.5.4).
pub fn accepted(headers: &HeaderMap) -> Option<Language> {
    Language::from_accept_language(headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?)
}
