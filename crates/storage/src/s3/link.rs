//! Presigned links, which browsers can follow without credentials.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;

use super::store::Store;
use crate::content_disposition::content_disposition;
use crate::error::Error;
use crate::key::Key;

/// Validity of a signature, which is in whole seconds, at least one.
pub(super) fn validity(
    valid_for: Duration,
    action: impl FnOnce() -> String,
) -> Result<PresigningConfig, Error> {
    let seconds = valid_for.as_secs() + u64::from(valid_for.subsec_nanos() > 0);
    PresigningConfig::expires_in(Duration::from_secs(seconds.max(1)))
        .map_err(|error| Error::Unavailable { action: action(), cause: error.into() })
}

impl Store {
    /// Sign a link. The clock of the store decides when it expires.
    pub(super) async fn link(
        &self,
        key: &Key,
        filename: &str,
        valid_for: Duration,
    ) -> Result<String, Error> {
        let action = || format!("create a link to {key}");
        let validity = validity(valid_for, action)?;
        let request = self.link_client.get_object().bucket(&self.bucket).key(key.as_str());
        let request = request.response_content_disposition(content_disposition(filename));
        let signed =
            request.presigned(validity).await.map_err(|error| self.error(action(), &error))?;
        Ok(signed.uri().to_owned())
    }
}
