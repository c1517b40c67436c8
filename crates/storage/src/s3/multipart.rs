//! The parts of an object that are sent or on their way.

use std::panic;
use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinSet};

use super::upload::Part;
use super::{Store, client, media_type};
use crate::{Error, Key};

/// How many parts of one object are on their way at once: enough that the way is never empty while
/// a part is answered, and few, since each is in memory.
const IN_FLIGHT: usize = 4;

/// A multipart upload. It is aborted in the background when it is dropped, unless it is
/// [over](Self::forget).
pub(super) struct Multipart {
    store: Arc<Store>,
    key: Key,
    id: String,
    /// Where the work goes on that nobody waits for.
    runtime: Handle,
    sent: u32,
    flying: JoinSet<Result<CompletedPart, Error>>,
    landed: Vec<CompletedPart>,
    /// Whether there is nothing left to abort.
    over: bool,
}

impl Multipart {
    /// Begin one. If nobody waits any more when the store has begun it, it is aborted.
    pub(super) async fn begin(store: &Arc<Store>, key: &Key) -> Result<Self, Error> {
        let (store, key, runtime) = (Arc::clone(store), key.clone(), Handle::current());
        let begun = runtime.clone().spawn(async move {
            let request =
                store.client.create_multipart_upload().bucket(&store.bucket).key(key.as_str());
            let answer = request.content_type(media_type(&key)).send().await;
            let begun = answer.map_err(|error| store.object_error("write", &key, &error))?;
            let id = begun
                .upload_id
                .ok_or_else(|| store.incomplete_answer("write", &key, "the upload's identifier"))?;
            Ok(Self {
                store,
                key,
                id,
                runtime,
                sent: 0,
                flying: JoinSet::new(),
                landed: Vec::new(),
                over: false,
            })
        });
        begun.await.unwrap_or_else(|stopped| Err(unless_panic(stopped)))
    }

    /// How many parts were sent.
    pub(super) fn sent(&self) -> u32 {
        self.sent
    }

    /// Send the next part in the background; waits while too many are on their way.
    pub(super) async fn send(&mut self, part: Part) -> Result<(), Error> {
        while let Some(part) = self.flying.try_join_next() {
            self.land(part)?;
        }
        while self.flying.len() >= IN_FLIGHT
            && let Some(part) = self.flying.join_next().await
        {
            self.land(part)?;
        }
        self.sent += 1;
        let (store, key, id, number) =
            (Arc::clone(&self.store), self.key.clone(), self.id.clone(), self.sent);
        self.flying.spawn(async move {
            let (bytes, _reserved) = part.into_bytes();
            store.send_part(&key, &id, number, bytes).await
        });
        Ok(())
    }

    fn land(&mut self, part: Result<Result<CompletedPart, Error>, JoinError>) -> Result<(), Error> {
        self.landed.push(part.unwrap_or_else(|stopped| Err(unless_panic(stopped)))?);
        Ok(())
    }

    /// Wait for all parts, and let the store put the object together.
    pub(super) async fn assemble(&mut self) -> Result<(), Error> {
        while let Some(part) = self.flying.join_next().await {
            self.land(part)?;
        }
        self.landed.sort_by_key(CompletedPart::part_number);
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(std::mem::take(&mut self.landed)))
            .build();
        let Self { store, key, id, .. } = &*self;
        let request = store
            .client
            .complete_multipart_upload()
            .bucket(&store.bucket)
            .key(key.as_str())
            .upload_id(id);
        let answer = request
            .multipart_upload(parts)
            .customize()
            .config_override(client::assembling())
            .send()
            .await;
        answer.map_err(|error| store.object_error("complete", key, &error))?;
        Ok(())
    }

    /// The object is there, so that there is nothing left to abort.
    pub(super) fn forget(mut self) {
        self.over = true;
    }

    /// Throw away what was sent.
    pub(super) async fn abort(mut self) {
        // A part that is still on its way would outlive the abort.
        self.flying.shutdown().await;
        self.over = self.store.abort(self.key.as_str(), &self.id).await.is_ok();
    }
}

impl Drop for Multipart {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let (store, key, id, mut flying) = (
            Arc::clone(&self.store),
            self.key.clone(),
            std::mem::take(&mut self.id),
            std::mem::take(&mut self.flying),
        );
        self.runtime.spawn(async move {
            flying.shutdown().await;
            // What this leaves is swept.
            let _ = store.abort(key.as_str(), &id).await;
        });
    }
}

impl Store {
    async fn send_part(
        &self,
        key: &Key,
        id: &str,
        number: u32,
        bytes: Bytes,
    ) -> Result<CompletedPart, Error> {
        let timeouts = client::sending(bytes.len());
        let request =
            self.client.upload_part().bucket(&self.bucket).key(key.as_str()).upload_id(id);
        // There are 10,000 parts at most.
        let request = request.part_number(number as i32).body(ByteStream::from(bytes));
        let answer = request.customize().config_override(timeouts).send().await;
        let sent = answer.map_err(|error| self.object_error("write", key, &error))?;
        let tag =
            sent.e_tag.ok_or_else(|| self.incomplete_answer("write", key, "the part's ETag"))?;
        Ok(CompletedPart::builder().part_number(number as i32).e_tag(tag).build())
    }

    fn incomplete_answer(&self, action: &str, key: &Key, missing: &str) -> Error {
        let source = format!(
            "{} did not answer as an S3 store does ({missing} is missing): is S3_ENDPOINT right?",
            self.endpoint
        );
        Error::Unavailable { action: format!("{action} {key}"), cause: source.into() }
    }
}

/// The error of a task that the runtime stopped. One that panicked panics here.
fn unless_panic(stopped: JoinError) -> Error {
    match stopped.try_into_panic() {
        Ok(panic) => panic::resume_unwind(panic),
        Err(stopped) => Error::Unavailable {
            action: "do anything while the service stops".to_owned(),
            cause: stopped.into(),
        },
    }
}
