//! Access tokens (JWT, RFC 7519) and refresh tokens (stored as a hash).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jobs::{Clock, Time, UserId};
use poem::http::StatusCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::problem::Problem;
use crate::settings::Settings;
use crate::signed_tokens::{ISSUER, TokenSigner};

const AUDIENCE: &str = "fiapx-api";

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    jti: Uuid,
    iat: i64,
    exp: i64,
    /// Generation of the user's sessions that the token belongs to.
    #[serde(rename = "gen", default)]
    generation: u32,
    /// Id of the session that the token belongs to.
    #[serde(rename = "sid", default, skip_serializing_if = "Option::is_none")]
    session: Option<Uuid>,
    /// Distinguishes access tokens from other tokens that the same key may sign in the future.
    #[serde(rename = "type")]
    kind: String,
}

/// User and session that an access token names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessToken {
    /// User of the token.
    pub user: UserId,
    /// Session of the token. `None` in tokens of versions until 0.1.0, which stay valid until they
    /// expire, so that no request fails while processes are replaced.
    pub session: Option<Uuid>,
    /// Generation of the user's sessions when the token was issued.
    pub generation: u32,
}

/// Issues and verifies access tokens.
pub struct AccessTokens {
    signer: TokenSigner,
    clock: Clock,
    lifetime: Duration,
}

impl AccessTokens {
    /// Create an issuer with the key and the lifetime of the settings.
    pub fn new(settings: &Settings, clock: Clock) -> Self {
        let signer = TokenSigner::new(settings, AUDIENCE);
        Self { signer, clock, lifetime: settings.access_token_lifetime }
    }

    /// Issue an access token that expires with its session at the latest. Returns it with its
    /// lifetime in seconds.
    pub fn issue(&self, token: AccessToken, session_end: Time) -> Result<(String, u64), Problem> {
        let now = self.clock.now().timestamp();
        let expires = (now + self.lifetime.as_secs() as i64).min(session_end.timestamp());
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: token.user,
            jti: Uuid::now_v7(),
            iat: now,
            exp: expires,
            generation: token.generation,
            session: token.session,
            kind: "access".to_owned(),
        };
        Ok((self.signer.sign(&claims)?, u64::try_from(expires - now).unwrap_or(0)))
    }

    /// Verify signature, claims and expiry of an access token.
    pub fn verify(&self, token: &str) -> Result<AccessToken, Problem> {
        let unauthorized = |code, detail| Problem::new(StatusCode::UNAUTHORIZED, code, detail);
        let claims: Claims = self.signer.verify(token).ok_or_else(|| {
            unauthorized("TOKEN_INVALID", "The access token is invalid. Log in again.")
        })?;
        if claims.kind != "access" {
            return Err(unauthorized("TOKEN_INVALID", "The token is not an access token."));
        }
        if claims.exp <= self.clock.now().timestamp() {
            return Err(unauthorized(
                "TOKEN_EXPIRED",
                "The access token has expired. Refresh the session or log in again.",
            ));
        }
        let Claims { sub: user, session, generation, .. } = claims;
        Ok(AccessToken { user, session, generation })
    }
}

/// Generate the first refresh token of a session, of 256 random bits.
pub fn new_refresh_token() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// Successor of a refresh token, with the id of its row. It can be computed again from the spent
/// token and the id, of which only the id is stored: neither the database nor the spent token alone
/// reveals it.
pub fn successor_refresh_token(spent: &str, id: Uuid) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(spent.as_bytes())
        .unwrap_or_else(|_| unreachable!("HMAC accepts keys of any length (RFC 2104)"));
    mac.update(b"fiapx refresh token");
    mac.update(id.as_bytes());
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

/// Hash of a refresh token, as it is stored. The token has 256 bits that cannot be guessed, so a
/// fast hash is sufficient.
pub fn hash_refresh_token(refresh_token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(refresh_token))
}
