//! Links to selected frames of an archive. A link is a signed token (JWT, RFC 7519), because a
//! store cannot serve parts of its objects as an archive, so its own links do not suffice.

use std::time::Duration;

use jobs::{Clock, UserId};
use serde::{Deserialize, Serialize};
use storage::disk::LinkError;
use uuid::Uuid;

use crate::frame_numbers::FrameNumbers;
use crate::problem::Problem;
use crate::settings::Settings;
use crate::signed_tokens::{ISSUER, TokenSigner};

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
    signer: TokenSigner,
    clock: Clock,
}

impl SelectionLinks {
    /// Create an issuer with the key of access tokens.
    pub fn new(settings: &Settings, clock: Clock) -> Self {
        Self { signer: TokenSigner::new(settings, AUDIENCE), clock }
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
        Ok(format!("{PATH}?token={}", self.signer.sign(&claims)?))
    }

    /// Verify the token of a link.
    ///
    /// # Errors
    /// The signature is invalid, or the link has expired.
    pub fn verify(&self, token: &str) -> Result<LinkedSelection, LinkError> {
        let claims: Claims = self.signer.verify(token).ok_or(LinkError::Invalid)?;
        if claims.exp <= self.clock.now().timestamp() {
            return Err(LinkError::Expired);
        }
        let numbers = FrameNumbers::parse(&claims.frames).map_err(|_| LinkError::Invalid)?;
        Ok(LinkedSelection { user: claims.sub, job: claims.job, numbers })
    }
}
