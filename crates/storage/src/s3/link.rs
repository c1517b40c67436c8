//! Links that a browser can follow without an account.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;

use super::Store;
use crate::{Error, Key, disposition};

impl Store {
    /// Sign a link. Whether it is too old is judged by the store's clock.
    pub(super) async fn link(
        &self,
        key: &Key,
        filename: &str,
        valid_for: Duration,
    ) -> Result<String, Error> {
        let action = || format!("make a link to {key}");
        // Links count in full seconds, of which they need one.
        let seconds = valid_for.as_secs() + u64::from(valid_for.subsec_nanos() > 0);
        let config = PresigningConfig::expires_in(Duration::from_secs(seconds.max(1)));
        let config =
            config.map_err(|error| Error::Unavailable { action: action(), cause: error.into() })?;
        let request = self.signer.get_object().bucket(&self.bucket).key(key.as_str());
        let request = request.response_content_disposition(disposition(filename));
        let signed =
            request.presigned(config).await.map_err(|error| self.error(action(), &error))?;
        Ok(signed.uri().to_owned())
    }
}
