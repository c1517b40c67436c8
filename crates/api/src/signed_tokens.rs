//! Signed tokens (JWT, RFC 7519): access tokens, and links to selected frames. One key signs all of
//! them, and each kind has its own audience, so that none is accepted as another.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;
use crate::settings::Settings;

/// Issuer of all tokens.
pub const ISSUER: &str = "fiapx";

/// Signs and verifies the tokens of one audience.
pub struct TokenSigner {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl TokenSigner {
    /// Create a signer with the key of the settings, which all API processes share.
    pub fn new(settings: &Settings, audience: &str) -> Self {
        let secret = settings.jwt_secret.expose_secret().as_bytes();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The library reads the system clock. Callers check the expiry by theirs, without leeway.
        validation.validate_exp = false;
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
        }
    }

    /// Sign claims.
    ///
    /// # Errors
    /// The claims cannot be serialized.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, Problem> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.encoding)
            .map_err(|error| Problem::internal(&error))
    }

    /// Verify signature, issuer and audience, and return the claims. The expiry is not checked.
    pub fn verify<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        let verified = jsonwebtoken::decode::<T>(token, &self.decoding, &self.validation);
        verified.ok().map(|token| token.claims)
    }
}
