//! Tokens of links to jobs: `fxs_` and a secret of 256 bits, in the form of API keys.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::api_keys::{is_well_formed, secret_text};

/// First characters of every token. No API key begins with them.
const PREFIX: &str = "fxs_";

/// Example of a token: that of the bytes from 0 to 31.
pub const EXAMPLE: &str = "fxs_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf1Yo7hP";

/// Well-formed token.
#[derive(Debug, PartialEq, Eq)]
pub struct ShareToken(String);

impl ShareToken {
    /// Generate a token, of 256 random bits.
    pub fn generate() -> Self {
        Self(secret_text(PREFIX, rand::random()))
    }

    /// Parse a token. Return `None` if a character is missing or wrong, which needs no query.
    pub fn parse(text: &str) -> Option<Self> {
        is_well_formed(PREFIX, text).then(|| Self(text.to_owned()))
    }

    /// The token, for its owner.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Hash of the token, as it is stored. The token cannot be guessed, so a fast hash is
    /// sufficient.
    pub fn hash(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_keys::{self, ApiKey};

    #[test]
    fn tokens_and_keys_are_told_apart() {
        assert_eq!(secret_text(PREFIX, std::array::from_fn(|index| index as u8)), EXAMPLE);
        let token = ShareToken::generate();
        assert_eq!((token.as_str().len(), ShareToken::parse(token.as_str())), (53, Some(token)));
        assert!(!ApiKey::is_meant(EXAMPLE));
        for text in [api_keys::EXAMPLE, &EXAMPLE[..52], &format!("{EXAMPLE}0"), "fxs_", ""] {
            assert_eq!(ShareToken::parse(text), None, "{text}");
        }
    }
}
