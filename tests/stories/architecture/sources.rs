//! Source files of the repository, and their tokens.

use std::path::{Path, PathBuf};

use crate::harness::programs::root;

/// All files under these directories of the repository whose names end with `suffix`, relative to
/// its root. Build results in `target` are left out.
pub fn files(directories: &[&str], suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = directories
        .iter()
        .map(|directory| root().join(directory))
        .filter(|path| path.is_dir())
        .collect();
    while let Some(directory) = left.pop() {
        for entry in directory.read_dir().expect("the directory can be read") {
            let path = entry.expect("the directory can be read").path();
            if path.is_dir() && !path.ends_with("target") {
                left.push(path);
            } else if path.to_string_lossy().ends_with(suffix) {
                let relative = path.strip_prefix(root()).expect("it is in the repository");
                found.push(relative.to_owned());
            }
        }
    }
    assert!(!found.is_empty(), "no {suffix} under {directories:?}");
    found.sort();
    found
}

/// Content of a file.
pub fn text(path: &Path) -> String {
    std::fs::read_to_string(root().join(path))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Tokens of Rust source: words, `::`, and single characters. Comments are left out, a string or
/// character literal is the token `"`, and so are items that only tests compile.
pub fn tokens(source: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = literal(rest) {
            tokens.push("\"".to_owned());
            length
        } else if first.is_alphanumeric() || first == '_' {
            let is_word = |char: char| char.is_alphanumeric() || char == '_';
            rest.find(|char| !is_word(char)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let is_code = !rest.starts_with("//") && !rest.starts_with("/*") && !first.is_whitespace();
        if is_code && literal(rest).is_none() {
            tokens.push(rest[..length].to_owned());
        }
        rest = &rest[length..];
    }
    without_tests(&tokens)
}

/// Length of a block comment, which may contain others.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// Length of the string or character literal that the text begins with, if it does.
fn literal(text: &str) -> Option<usize> {
    let unprefixed = text.trim_start_matches(['b', 'c', 'r']);
    let prefix = text.len() - unprefixed.len();
    let hashes = unprefixed.len() - unprefixed.trim_start_matches('#').len();
    if text[..prefix].contains('r') && unprefixed[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let content = &unprefixed[hashes + 1..];
        return Some(prefix + hashes + 1 + content.find(&end)? + end.len());
    }
    if prefix > 1 {
        return None;
    }
    if unprefixed.starts_with('"') {
        return Some(prefix + closing_quote(unprefixed, '"')?);
    }
    // A quote without a closing one after a single character begins a lifetime.
    let mut chars = unprefixed.strip_prefix('\'')?.chars();
    let is_char = chars.next()? == '\\' || chars.next()? == '\'';
    if is_char { Some(prefix + closing_quote(unprefixed, '\'')?) } else { None }
}

/// Length of a literal up to its closing quote.
fn closing_quote(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if char == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Leave out the items under `#[cfg(test)]`.
fn without_tests(tokens: &[String]) -> Vec<String> {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if tokens[at..].iter().map(String::as_str).take(ATTRIBUTE.len()).eq(ATTRIBUTE) {
            at = end_of_item(tokens, at + ATTRIBUTE.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Index after the item at `at`, which ends with a semicolon or a block, after any attributes.
fn end_of_item(tokens: &[String], mut at: usize) -> usize {
    let mut depth = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            ";" if depth == 0 => break,
            _ => {}
        }
    }
    at
}
