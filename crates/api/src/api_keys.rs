//! API keys: `fx_`, 32 random bytes in base62, and a checksum of these characters (CRC-32 in
//! base62). GitHub's tokens have the same form ("Behind GitHub's new authentication token formats",
//! 2021): scanners for leaked secrets find keys by a regular expression, and tell them from other
//! texts by the checksum, without asking the service.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// First characters of every key. No access token begins with them, because a JWT begins with `ey`.
const PREFIX: &str = "fx_";
/// Number of digits of 32 bytes in base62.
const RANDOM_DIGITS: usize = 43;
/// Number of digits of a checksum.
const CHECKSUM_DIGITS: usize = 6;
/// Number of characters by which users recognize a key.
const SHOWN: usize = 8;
/// Digits of base62, in the order of their values.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Example of a key: that of the bytes from 0 to 31.
pub const EXAMPLE: &str = "fx_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf1Yo7hP";

/// Well-formed key.
#[derive(Debug, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Generate a key, of 256 random bits.
    pub fn generate() -> Self {
        Self::of(rand::random())
    }

    fn of(bytes: [u8; 32]) -> Self {
        Self(secret_text(PREFIX, bytes))
    }

    /// Return whether a text is meant to be a key, well-formed or not.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Parse a key. Return `None` if a character is missing or wrong, which needs no query.
    pub fn parse(text: &str) -> Option<Self> {
        is_well_formed(PREFIX, text).then(|| Self(text.to_owned()))
    }

    /// The key, for its owner.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// First characters of a text that is meant to be a key, by which users recognize the key. A
    /// text without so many has the prefix only.
    pub fn shown(text: &str) -> &str {
        text.get(..SHOWN).unwrap_or(PREFIX)
    }

    /// First characters, by which users recognize the key.
    pub fn start(&self) -> &str {
        &self.0[..SHOWN]
    }

    /// Hash of the key, as it is stored. The key cannot be guessed, so a fast hash is sufficient.
    pub fn hash(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.0))
    }
}

/// Secret of 256 bits as a text: a prefix, the bytes, and their checksum.
pub fn secret_text(prefix: &str, bytes: [u8; 32]) -> String {
    let random = base62(&bytes, RANDOM_DIGITS);
    let checksum = checksum(&random);
    format!("{prefix}{random}{checksum}")
}

/// Return whether a text has the form of a secret with this prefix.
pub fn is_well_formed(prefix: &str, text: &str) -> bool {
    let digits = text.strip_prefix(prefix);
    let parts = digits.and_then(|digits| digits.split_at_checked(RANDOM_DIGITS));
    parts.is_some_and(|(random, stated)| {
        random.bytes().all(|digit| digit.is_ascii_alphanumeric()) && stated == checksum(random)
    })
}

/// Checksum of a text, in base62.
fn checksum(text: &str) -> String {
    base62(&crc32fast::hash(text.as_bytes()).to_be_bytes(), CHECKSUM_DIGITS)
}

/// Number with these bytes, most significant first, in base62 with so many digits.
fn base62(bytes: &[u8], digits: usize) -> String {
    let mut number = bytes.to_vec();
    let mut text = vec!['0'; digits];
    for digit in text.iter_mut().rev() {
        let mut remainder = 0;
        for byte in &mut number {
            let dividend = remainder << 8 | u32::from(*byte);
            *byte = (dividend / 62) as u8;
            remainder = dividend % 62;
        }
        *digit = char::from(DIGITS[remainder as usize]);
    }
    text.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn matches_the_test_vectors() {
        // The example of GitHub's format, without its prefix.
        assert_eq!(checksum("zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ"), "0mLq17");
        let bytes = std::array::from_fn(|index| index as u8);
        let key = ApiKey::of(bytes);
        assert_eq!(key.as_str(), EXAMPLE);
        assert_eq!(key.start(), "fx_003aU");
        assert_eq!(key.hash(), "b1VjqN-StoN8SOKDz9UQjh0xs4pOti3W2H5BQrCUTEo");
        assert_eq!(base62(&[0xFF; 32], RANDOM_DIGITS).len(), RANDOM_DIGITS);
        assert_eq!(base62(&[0, 0, 1, 0], 6), "000048");
    }

    #[test]
    fn rejects_wrong_and_missing_characters() {
        let (all, key) = (EXAMPLE.chars().count(), ApiKey::parse(EXAMPLE));
        assert_eq!(key.as_ref().map(ApiKey::as_str), Some(EXAMPLE));
        for at in 0..all {
            for other in ['0', 'z', '-', 'é'] {
                let changed: String = EXAMPLE
                    .chars()
                    .enumerate()
                    .map(|(index, char)| if index == at { other } else { char })
                    .collect();
                assert!(changed == EXAMPLE || ApiKey::parse(&changed).is_none(), "{changed}");
            }
            assert_eq!(ApiKey::parse(&EXAMPLE[..at]), None);
        }
        for text in [&format!("{EXAMPLE}0"), &format!(" {EXAMPLE}"), "fx_", "", "eyJ0"] {
            assert_eq!(ApiKey::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_key_is_well_formed(bytes: [u8; 32]) {
            let key = ApiKey::of(bytes);
            prop_assert_eq!(key.as_str().len(), 52);
            prop_assert_eq!(ApiKey::parse(key.as_str()), Some(key));
        }

        #[test]
        fn no_text_causes_a_panic(text in "(fx_)?.{0,60}") {
            prop_assert!(ApiKey::parse(&text).is_none());
        }
    }
}
