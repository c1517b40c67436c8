//! Tokens in the links of mails about accounts.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use database::account_tokens::NewToken;
use poem::http::StatusCode;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// New token of a link, of 256 random bits.
pub struct LinkToken {
    secret: String,
    hash: String,
}

impl LinkToken {
    /// Generate a token.
    pub fn generate() -> Self {
        let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        Self { hash: hash_link_token(&secret), secret }
    }

    /// The token, as the database needs it.
    pub fn as_new(&self) -> NewToken<'_> {
        NewToken { secret: &self.secret, hash: &self.hash }
    }
}

/// Hash of a token, as it is stored. The token cannot be guessed, so a fast hash is sufficient.
pub fn hash_link_token(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(secret))
}

/// Problem of a token that is unknown, used or expired.
pub fn invalid_link() -> Problem {
    let detail = "The link was used already or has expired. Request a new one.";
    Problem::new(StatusCode::GONE, "ACCOUNT_LINK_INVALID", detail)
}

/// Example of a token.
pub const EXAMPLE: &str = "hL3m0q3Vn1q0bQ8Z5m7rG2Yk4c9T6xWd1sEoPuJfAiM";
