//! Texts of users in messages.

use std::fmt;

/// Maximum number of characters of an [`Excerpt`].
const MAX_CHARACTERS: usize = 40;

/// Beginning of a text that a message quotes, on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt(String);

impl Excerpt {
    /// Beginning of a text. Characters that a line cannot show are escaped.
    #[must_use]
    pub fn of(text: impl fmt::Display) -> Self {
        let text = text.to_string();
        let mut characters = text.chars();
        let mut excerpt = String::new();
        for character in characters.by_ref().take(MAX_CHARACTERS) {
            match character {
                '"' | '\'' | '\\' => excerpt.push(character),
                _ => excerpt.extend(character.escape_debug()),
            }
        }
        if characters.next().is_some() {
            excerpt.push('…');
        }
        Self(excerpt)
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_and_unprintable_texts_are_shortened_and_escaped() {
        for (text, excerpt) in [
            ("1:60", "1:60"),
            ("a \"b\"", "a \"b\""),
            ("one\ntwo\t\u{1b}[31m", "one\\ntwo\\t\\u{1b}[31m"),
            ("\u{202e}x", "\\u{202e}x"),
            ("às três", "às três"),
        ] {
            assert_eq!(Excerpt::of(text).to_string(), excerpt);
        }
        let long = "1".repeat(MAX_CHARACTERS + 1);
        assert_eq!(Excerpt::of(&long).to_string(), format!("{}…", &long[1..]));
        assert_eq!(Excerpt::of(&long[1..]).to_string(), long[1..]);
    }

    proptest! {
        #[test]
        fn excerpts_are_short_and_on_one_line(text in any::<String>()) {
            let excerpt = Excerpt::of(text).to_string();
            let escaped = r"\u{10ffff}".len();
            prop_assert!(excerpt.len() <= MAX_CHARACTERS * escaped + "…".len(), "{}", excerpt);
            prop_assert!(!excerpt.contains(|character: char| character.is_control()));
        }
    }
}
