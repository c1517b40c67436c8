//! The most common passwords.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Passwords in lower case, one a line; lines that start with `#!` state their source and license.
const LIST: &str = include_str!("common_passwords.txt");

static COMMON: LazyLock<HashSet<&str>> =
    LazyLock::new(|| LIST.lines().filter(|line| !line.starts_with("#!")).collect());

/// Return whether a password is one of the 10,000 most common ones, in any case.
pub fn contains(password: &str) -> bool {
    COMMON.contains(password.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_common_passwords() {
        for password in ["password1", "Password1", "12345678", "iloveyou2", "qwertyuiop"] {
            assert!(contains(password), "{password}");
        }
        assert!(!contains("praia#2026") && !contains(""));
    }

    #[test]
    fn holds_no_password_that_is_too_short_anyway() {
        assert!(COMMON.iter().all(|password| password.chars().count() >= 8));
        assert!(COMMON.iter().all(|password| *password == password.to_lowercase()));
    }
}
