//! Multipart uploads.

use std::ops::Range;
use std::panic;
use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinSet};

use super::client;
use super::part::Part;
use super::store::{MARK, Store, media_type};
use crate::byte_range::range_header;
use crate::error::Error;
use crate::key::Key;

/// Maximum number of parts of one object in transit: enough to keep the connection busy while a
/// response is outstanding, and few, because each of them is in memory.
const MAX_IN_TRANSIT: usize = 4;

/// A multipart upload. Dropping it aborts it in the background unless it is
/// [finished](Self::mark_finished).
pub(super) struct Multipart {
    store: Arc<Store>,
    key: Key,
    id: String,
    /// Runtime of the background abort.
    runtime: Handle,
    sent: u32,
    in_transit: JoinSet<Result<CompletedPart, Error>>,
    received: Vec<CompletedPart>,
    /// Whether there is nothing left to abort.
    finished: bool,
}

impl Multipart {
    /// Start an upload with this mark. If the future is dropped before the store has started it, it
    /// is aborted.
    pub(super) async fn start(store: &Arc<Store>, key: &Key, mark: &str) -> Result<Self, Error> {
        let (store, key, runtime) = (Arc::clone(store), key.clone(), Handle::current());
        let mark = mark.to_owned();
        let started = runtime.clone().spawn(async move {
            let request =
                store.client.create_multipart_upload().bucket(&store.bucket).key(key.as_str());
            let request = request.content_type(media_type(&key)).metadata(MARK, mark);
            let result = request.send().await;
            let response = result.map_err(|error| store.object_error("write", &key, &error))?;
            let id = response
                .upload_id
                .ok_or_else(|| store.incomplete_response("write", &key, "the upload ID"))?;
            Ok(Self {
                store,
                key,
                id,
                runtime,
                sent: 0,
                in_transit: JoinSet::new(),
                received: Vec::new(),
                finished: false,
            })
        });
        started.await.unwrap_or_else(|stopped| Err(task_error(stopped)))
    }

    /// Continue an upload that the store has started, after parts with these tags. It outlives this
    /// value.
    pub(super) fn resumed(store: &Arc<Store>, key: &Key, id: &str, tags: &[String]) -> Self {
        let part = |(number, tag): (i32, &String)| {
            CompletedPart::builder().part_number(number).e_tag(tag).build()
        };
        Self {
            store: Arc::clone(store),
            key: key.clone(),
            id: id.to_owned(),
            runtime: Handle::current(),
            sent: tags.len() as u32,
            in_transit: JoinSet::new(),
            received: (1..).zip(tags).map(part).collect(),
            finished: true,
        }
    }

    /// Return the id of the upload, which outlives this value.
    pub(super) fn into_id(mut self) -> String {
        self.finished = true;
        std::mem::take(&mut self.id)
    }

    /// Tags of the parts that the store has received by now, in their order up to the first one
    /// that is missing.
    pub(super) fn received_tags(&mut self) -> Result<Vec<String>, Error> {
        while let Some(part) = self.in_transit.try_join_next() {
            self.record(part)?;
        }
        self.received.sort_by_key(CompletedPart::part_number);
        let in_order = (1..).zip(&self.received);
        let in_order = in_order.take_while(|(number, part)| part.part_number() == Some(*number));
        Ok(in_order.filter_map(|(_, part)| part.e_tag().map(str::to_owned)).collect())
    }

    /// Number of parts passed to [`send`](Self::send).
    pub(super) fn sent(&self) -> u32 {
        self.sent
    }

    /// Send the next part in the background. Waits while too many are in transit.
    pub(super) async fn send(&mut self, part: Part) -> Result<(), Error> {
        self.make_room().await?;
        self.sent += 1;
        let (store, key, id, number) =
            (Arc::clone(&self.store), self.key.clone(), self.id.clone(), self.sent);
        self.in_transit.spawn(async move {
            let (bytes, _reserved) = part.into_bytes();
            store.send_part(&key, &id, number, bytes).await
        });
        Ok(())
    }

    /// Let the store copy bytes of an object as the next part, in the background. Waits while too
    /// many are in transit.
    pub(super) async fn copy(&mut self, from: &Key, range: Range<u64>) -> Result<(), Error> {
        self.make_room().await?;
        self.sent += 1;
        let (store, key, id, number) =
            (Arc::clone(&self.store), self.key.clone(), self.id.clone(), self.sent);
        let from = from.clone();
        self.in_transit
            .spawn(async move { store.copy_part(&from, range, &key, &id, number).await });
        Ok(())
    }

    /// Wait while too many parts are in transit.
    async fn make_room(&mut self) -> Result<(), Error> {
        while let Some(part) = self.in_transit.try_join_next() {
            self.record(part)?;
        }
        while self.in_transit.len() >= MAX_IN_TRANSIT
            && let Some(part) = self.in_transit.join_next().await
        {
            self.record(part)?;
        }
        Ok(())
    }

    /// Record a part that the store has received.
    fn record(
        &mut self,
        part: Result<Result<CompletedPart, Error>, JoinError>,
    ) -> Result<(), Error> {
        self.received.push(part.unwrap_or_else(|stopped| Err(task_error(stopped)))?);
        Ok(())
    }

    /// Wait until the store has received all parts.
    pub(super) async fn receive_all(&mut self) -> Result<(), Error> {
        while let Some(part) = self.in_transit.join_next().await {
            self.record(part)?;
        }
        Ok(())
    }

    /// Request the assembly of the object from the received parts.
    pub(super) async fn assemble(&mut self) -> Result<(), Error> {
        self.received.sort_by_key(CompletedPart::part_number);
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(std::mem::take(&mut self.received)))
            .build();
        let Self { store, key, id, .. } = &*self;
        let request = store
            .client
            .complete_multipart_upload()
            .bucket(&store.bucket)
            .key(key.as_str())
            .upload_id(id);
        let result = request
            .multipart_upload(parts)
            .customize()
            .config_override(client::timeouts_for_assembling(store.assembly_timeout))
            .send()
            .await;
        result.map_err(|error| store.object_error("complete", key, &error))?;
        Ok(())
    }

    /// Consume the upload after the object has been confirmed, so that it is not aborted.
    pub(super) fn mark_finished(mut self) {
        self.finished = true;
    }

    /// Discard the parts sent.
    pub(super) async fn abort(mut self) {
        // A part still in transit would outlive the abort.
        self.in_transit.shutdown().await;
        self.finished = self.store.abort(self.key.as_str(), &self.id).await.is_ok();
    }
}

impl Drop for Multipart {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let (store, key, id, mut in_transit) = (
            Arc::clone(&self.store),
            self.key.clone(),
            std::mem::take(&mut self.id),
            std::mem::take(&mut self.in_transit),
        );
        self.runtime.spawn(async move {
            in_transit.shutdown().await;
            // The sweep removes the remains of a failure.
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
        let timeouts = client::timeouts_for_sending(bytes.len());
        let request =
            self.client.upload_part().bucket(&self.bucket).key(key.as_str()).upload_id(id);
        // The number is at most 10,000.
        let request = request.part_number(number as i32).body(ByteStream::from(bytes));
        let result = request.customize().config_override(timeouts).send().await;
        let response = result.map_err(|error| self.object_error("write", key, &error))?;
        let tag = response
            .e_tag
            .ok_or_else(|| self.incomplete_response("write", key, "the part's ETag"))?;
        Ok(CompletedPart::builder().part_number(number as i32).e_tag(tag).build())
    }

    async fn copy_part(
        &self,
        from: &Key,
        range: Range<u64>,
        key: &Key,
        id: &str,
        number: u32,
    ) -> Result<CompletedPart, Error> {
        let request =
            self.client.upload_part_copy().bucket(&self.bucket).key(key.as_str()).upload_id(id);
        let request = request
            .copy_source(self.copy_source(from))
            .copy_source_range(range_header(&range))
            .part_number(number as i32);
        let timeouts = client::timeouts_for_assembling(self.assembly_timeout);
        let result = request.customize().config_override(timeouts).send().await;
        let response = result.map_err(|error| self.object_error("copy", from, &error))?;
        let tag = response
            .copy_part_result
            .and_then(|part| part.e_tag)
            .ok_or_else(|| self.incomplete_response("copy", from, "the part's ETag"))?;
        Ok(CompletedPart::builder().part_number(number as i32).e_tag(tag).build())
    }

    /// Name of an object as the source of a copy. Keys and buckets need no encoding.
    pub(super) fn copy_source(&self, key: &Key) -> String {
        format!("{}/{key}", self.bucket)
    }
}

/// Convert the error of a task that the runtime cancelled, or continue the panic of one.
fn task_error(stopped: JoinError) -> Error {
    match stopped.try_into_panic() {
        Ok(panic) => panic::resume_unwind(panic),
        Err(cancelled) => Error::Unavailable {
            action: "do anything during the shutdown of the service".to_owned(),
            cause: cancelled.into(),
        },
    }
}
