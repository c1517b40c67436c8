//! Access tokens (JWT, RFC 7519) and refresh tokens (random, kept as a hash).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jobs::{Clock, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use poem::http::StatusCode;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::Settings;
use crate::problem::Problem;

const ISSUER: &str = "fiapx";
const AUDIENCE: &str = "fiapx-api";

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    jti: Uuid,
    iat: i64,
    exp: i64,
    /// The generation of the user's sessions that it belongs to.
    #[serde(rename = "gen", default)]
    generation: u32,
    /// Tells an access token from whatever else may be signed with the same key one day.
    #[serde(rename = "type")]
    kind: String,
}

/// Makes and checks tokens.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    clock: Clock,
    access_valid_for: Duration,
}

impl Tokens {
    /// Tokens of these settings.
    pub fn new(settings: &Settings, clock: Clock) -> Self {
        let secret = settings.jwt_secret.expose_secret().as_bytes();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The library would look at the system's clock; ours is looked at below, to the second and
        // without leeway.
        validation.validate_exp = false;
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
            clock,
            access_valid_for: settings.access_valid_for,
        }
    }

    /// An access token for a user, worth something as long as the user's sessions are of this
    /// generation.
    pub fn access(&self, user: UserId, generation: u32) -> Result<String, Problem> {
        let now = self.clock.now().timestamp();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user,
            jti: Uuid::now_v7(),
            iat: now,
            exp: now + self.access_valid_for.as_secs() as i64,
            generation,
            kind: "access".to_owned(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .map_err(|error| Problem::internal(&error))
    }

    /// Whose access token this is, and of which generation.
    pub fn user(&self, token: &str) -> Result<(UserId, u32), Problem> {
        let refused = |code, detail| Problem::new(StatusCode::UNAUTHORIZED, code, detail);
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|_| {
                refused("TOKEN_INVALID", "The access token is not one of ours. Log in again.")
            })?
            .claims;
        if claims.kind != "access" {
            return Err(refused("TOKEN_INVALID", "This is not an access token."));
        }
        if claims.exp <= self.clock.now().timestamp() {
            return Err(refused(
                "TOKEN_EXPIRED",
                "The access token has expired. Refresh it or log in again.",
            ));
        }
        Ok((claims.sub, claims.generation))
    }
}

/// A new refresh token: 256 random bits.
pub fn refresh_token() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// What is kept of a refresh token. It is random, so a fast hash is enough.
pub fn hash(refresh_token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(refresh_token))
}
