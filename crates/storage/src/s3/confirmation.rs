//! Confirmation that the store has completed an object.

use tracing::warn;

use super::store::Store;
use crate::error::Error;
use crate::key::Key;

impl Store {
    /// Check that an object of this size exists: a response may report success and yet contain an
    /// error, in a form that the SDK does not always recognize. Under a key with other simultaneous
    /// uploads, the object may be that of another; then this one existed for a moment.
    pub(super) async fn confirm(&self, key: &Key, size: u64) -> Result<(), Error> {
        match self.head(key).await {
            Ok(object) if object.size == size => Ok(()),
            Ok(_) | Err(Error::NotFound { .. }) => Err(Error::Interrupted { key: key.clone() }),
            Err(error) => Err(error),
        }
    }

    /// Check whether the store has exactly the object with this mark although the request that
    /// completes it failed, and return the error if not: the response may have been lost or late,
    /// and a repetition of the request fails, because the upload no longer exists.
    pub(super) async fn require_stored(
        &self,
        key: &Key,
        size: u64,
        mark: &str,
        error: Error,
    ) -> Result<(), Error> {
        match self.head_marked(key).await {
            Ok((object, Some(found))) if object.size == size && found == mark => {
                metrics::counter!("fiapx_store_responses_lost_total").increment(1);
                warn!(%key, %error, "the request failed, but the store has completed its object");
                Ok(())
            }
            _ => Err(error),
        }
    }
}
