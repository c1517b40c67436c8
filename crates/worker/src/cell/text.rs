//! Texts that a cell supplied, before they reach rows, logs and mails.

use jobs::{Language, Warning};

/// Maximum number of characters of a text.
pub(super) const MAX_CHARACTERS: usize = 300;

/// Maximum number of texts in a list, or of warnings.
pub(super) const MAX_TEXTS: usize = 20;

/// Beginning of a text, on one line. A compromised cell writes anything: escape sequences of
/// terminals, line breaks that look like further lines of a log, and characters that reorder or
/// hide what is printed around them.
pub(super) fn printable(text: &str) -> String {
    let mut characters = text.chars();
    let beginning = characters.by_ref().take(MAX_CHARACTERS);
    let mut printable: String =
        beginning.map(|character| if is_hidden(character) { ' ' } else { character }).collect();
    if characters.next().is_some() {
        printable.push('…');
    }
    printable.trim().to_owned()
}

/// The first texts of a list, each as [`printable`] returns it.
pub(super) fn printable_list(texts: &[String]) -> Vec<String> {
    texts.iter().take(MAX_TEXTS).map(|text| printable(text)).collect()
}

/// The first warnings of a list. One whose text is not [`printable`] is replaced by the text.
pub(super) fn printable_warnings(warnings: Vec<Warning>) -> Vec<Warning> {
    let replaced = |warning: Warning| {
        let text = warning.text(Language::En);
        let printable = printable(&text);
        if printable == text { warning } else { Warning::Other { text: printable } }
    };
    warnings.into_iter().take(MAX_TEXTS).map(replaced).collect()
}

/// Whether a character is invisible or changes those around it: control characters, separators of
/// lines, and the characters of the Unicode category Cf that plain English has no use for.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_texts_are_kept() {
        for text in ["the file is truncated: às 3 s", "", "moov atom not found (-1094995529)"] {
            assert_eq!(printable(text), text);
        }
        assert_eq!(printable("one\ntwo\u{1b}[31m\u{202e}\0"), "one two [31m");
    }

    #[test]
    fn long_lists_are_shortened() {
        let texts = vec!["x".repeat(10_000); 1_000];
        let short = printable_list(&texts);
        assert_eq!(short.len(), MAX_TEXTS);
        assert!(short.iter().all(|text| text.chars().count() == MAX_CHARACTERS + 1));
    }

    #[test]
    fn warnings_with_long_texts_are_shortened() {
        let long = Warning::ContainerDamaged { reason: "x".repeat(10_000) };
        let short = printable_warnings(vec![long; 1_000]);
        assert_eq!(short.len(), MAX_TEXTS);
        for warning in &short {
            let Warning::Other { text } = warning else { panic!("{warning:?} is long") };
            assert_eq!(text.chars().count(), MAX_CHARACTERS + 1);
        }
        let ordinary = [
            Warning::ContainerDamaged { reason: "End of file".to_owned() },
            Warning::FileTruncated { reason: "it ends early".to_owned(), end_s: 4.0 },
        ];
        assert_eq!(printable_warnings(ordinary.to_vec()), ordinary);
        // Numbers are texts as well.
        let absurd = Warning::EndDiffers { end_s: f64::MAX, stated_s: f64::MIN };
        assert_eq!(printable_warnings(vec![absurd])[0].code(), "OTHER");
    }

    proptest! {
        #[test]
        fn texts_are_short_and_on_one_line(text in ".*{0,400}") {
            let text = printable(&text);
            prop_assert!(text.chars().count() <= MAX_CHARACTERS + 1);
            prop_assert!(!text.contains(is_hidden));
        }
    }
}
