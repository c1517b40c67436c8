//! Links to selected frames of an archive. A link is a signed token (JWT, RFC 7519), because a
//! store cannot serve parts of its objects as an archive, so its own links do not suffice.

use std::time::Duration;

use jobs::{Clock, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use storage::disk::LinkError;
use uuid::Uuid;

use crate::frame_numbers::FrameNumbers;
use crate::problem::Problem;
use crate::settings::Settings;

const ISSUER: &str = "fiapx";
/// Distinguishes these tokens from access tokens, which the same key signs.
const AUDIENCE: &str = "fiapx-selection";

/// Path of the links.
pub const PATH: &str = "/files/selection";

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    exp: i64,
    job: Uuid,
    frames: String,
}

/// Selected frames that a link names.
pub struct LinkedSelection {
    /// Owner of the job.
    pub user: UserId,
    /// Id of the job.
    pub job: Uuid,
    /// Numbers of the frames.
    pub numbers: FrameNumbers,
}

/// Issues and verifies links.
pub struct SelectionLinks {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    clock: Clock,
}

impl SelectionLinks {
    /// Create an issuer with the key of access tokens, which all API processes share.
    pub fn new(settings: &Settings, clock: Clock) -> Self {
        let secret = settings.jwt_secret.expose_secret().as_bytes();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The library reads the system clock. `verify` checks the expiry by `clock`, without
        // leeway.
        validation.validate_exp = false;
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
            clock,
        }
    }

    /// Issue a link, as a path on this service.
    pub fn issue(
        &self,
        selection: &LinkedSelection,
        valid_for: Duration,
    ) -> Result<String, Problem> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: selection.user,
            exp: self.clock.now().timestamp() + valid_for.as_secs() as i64,
            job: selection.job,
            frames: selection.numbers.to_string(),
        };
        let header = Header::new(Algorithm::HS256);
        let token = jsonwebtoken::encode(&header, &claims, &self.encoding)
            .map_err(|error| Problem::internal(&error))?;
        Ok(format!("{PATH}?token={token}"))
    }

    /// Verify the token of a link.
    ///
    /// # Errors
    /// The signature is invalid, or the link has expired.
    pub fn verify(&self, token: &str) -> Result<LinkedSelection, LinkError> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|_| LinkError::Invalid)?
            .claims;
        if claims.exp <= self.clock.now().timestamp() {
            return Err(LinkError::Expired);
        }
        let numbers = FrameNumbers::parse(&claims.frames).map_err(|_| LinkError::Invalid)?;
        Ok(LinkedSelection { user: claims.sub, job: claims.job, numbers })
    }
}
