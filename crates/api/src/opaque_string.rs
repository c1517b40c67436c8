//! Normal form of passwords: the profile OpaqueString of PRECIS (RFC 8265, 4.2).
//!
//! Keyboards and systems encode the same text differently. macOS, for example, may send `é` as `e`
//! and a combining accent.

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Code points that are disallowed although their category is allowed: the exceptions (RFC 8264,
/// 9.6), and those with the property `Default_Ignorable_Code_Point` (9.13).
const DISALLOWED: [(char, char); 14] = [
    ('\u{034F}', '\u{034F}'),
    ('\u{0640}', '\u{0640}'),
    ('\u{07FA}', '\u{07FA}'),
    ('\u{17B4}', '\u{17B5}'),
    ('\u{180B}', '\u{180D}'),
    ('\u{180F}', '\u{180F}'),
    ('\u{302E}', '\u{302F}'),
    ('\u{3031}', '\u{3035}'),
    ('\u{303B}', '\u{303B}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{FE00}', '\u{FE0F}'),
    ('\u{FFA0}', '\u{FFA0}'),
    ('\u{FFF0}', '\u{FFF8}'),
    ('\u{E0000}', '\u{E0FFF}'),
];

/// Conjoining Jamo, which remain in the normal form only if they compose no syllable (RFC 8264,
/// 9.9).
const OLD_HANGUL_JAMO: [(char, char); 3] =
    [('\u{1100}', '\u{11FF}'), ('\u{A960}', '\u{A97C}'), ('\u{D7B0}', '\u{D7FB}')];

/// Return a text in normal form: Unicode's spaces as U+0020, and form NFC. The text may be empty.
///
/// # Errors
/// The first code point of the normal form that the class of free-form strings does not allow (RFC
/// 8264, 4.3): controls, unassigned and invisible ones. They are checked last, in the order of RFC
/// 8264, 7, so that a Korean text in form NFD is valid. The contextual rules of RFC 5892, appendix
/// A, are not applied: they keep identifiers from being confused, but a password is never shown.
pub fn enforce(text: &str) -> Result<String, char> {
    let spaces = text.chars().map(|char| match char.general_category() {
        GeneralCategory::SpaceSeparator => ' ',
        _ => char,
    });
    let normal: String = spaces.nfc().collect();
    match normal.chars().find(|char| !is_allowed(*char)) {
        Some(disallowed) => Err(disallowed),
        None => Ok(normal),
    }
}

/// Return whether free-form strings may contain a code point (RFC 8264, 8).
fn is_allowed(char: char) -> bool {
    use GeneralCategory as C;
    let is_in = |ranges: &[(char, char)]| {
        ranges.iter().any(|(first, last)| (*first..=*last).contains(&char))
    };
    // The join controls, which emoji and Persian words contain, are allowed in their contexts.
    if matches!(char, '\u{200C}' | '\u{200D}') {
        return true;
    }
    let has_allowed_category = !matches!(
        char.general_category(),
        C::Control
            | C::Format
            | C::Surrogate
            | C::PrivateUse
            | C::Unassigned
            | C::LineSeparator
            | C::ParagraphSeparator
    );
    has_allowed_category && !is_in(&DISALLOWED) && !is_in(&OLD_HANGUL_JAMO)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_normalization::{UnicodeNormalization, is_nfc};

    use super::enforce;

    #[test]
    fn maps_spaces_and_composes() {
        // The examples of RFC 8265, 4.2.3, that are valid.
        for valid in ["correct horse battery staple", "Correct Horse Battery Staple", "πßå"] {
            assert_eq!(enforce(valid).as_deref(), Ok(valid));
        }
        assert_eq!(enforce("Jack of \u{2666}s").as_deref(), Ok("Jack of \u{2666}s"));
        assert_eq!(enforce("foo\u{1680}bar\u{A0}x").as_deref(), Ok("foo bar x"));
        assert_eq!(enforce("Cafe\u{301}#1").as_deref(), Ok("Café#1"));
        assert_eq!(enforce("\u{1112}\u{1161}\u{11AB}").as_deref(), Ok("한"));
        assert_eq!(enforce("👩\u{200D}🚀").as_deref(), Ok("👩\u{200D}🚀"));
        assert_eq!(enforce("").as_deref(), Ok(""));
    }

    #[test]
    fn rejects_what_cannot_be_seen() {
        for disallowed in [
            '\t', '\n', '\0', '\u{7F}', '\u{85}', '\u{AD}', '\u{200B}', '\u{202E}', '\u{FEFF}',
            '\u{2028}', '\u{E000}', '\u{FFFE}', '\u{378}', '\u{FE0F}', '\u{1100}', '\u{0640}',
        ] {
            assert_eq!(enforce(&format!("a{disallowed}b")), Err(disallowed), "{disallowed:?}");
        }
    }

    proptest! {
        #[test]
        fn is_the_same_for_equivalent_texts(text in ".*") {
            let composed: String = text.nfc().collect();
            let decomposed: String = text.nfd().collect();
            prop_assert_eq!(enforce(&text), enforce(&composed));
            prop_assert_eq!(enforce(&text), enforce(&decomposed));
        }

        #[test]
        fn is_final(text in ".*") {
            if let Ok(normal) = enforce(&text) {
                prop_assert!(is_nfc(&normal));
                prop_assert_eq!(enforce(&normal), Ok(normal));
            }
        }
    }
}
