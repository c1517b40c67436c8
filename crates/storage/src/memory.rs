//! Storage in memory, for tests.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use jobs::{Clock, InstallationId, JobId};
use parking_lot::Mutex;

use crate::byte_range::check_bounds;
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::interface::{Object, PAGE_SIZE, ResumedUpload, Storage, Upload};
use crate::key::Key;

/// A storage that keeps objects in memory and records the ranges that are read.
#[derive(Default)]
pub(crate) struct Memory {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Key, (Object, Bytes)>,
    /// Uploads in progress, by their numbers.
    uploads: BTreeMap<u64, Unfinished>,
    next_upload: u64,
    /// Resumable uploads.
    resumable: BTreeMap<JobId, Unfinished>,
    reads: Vec<Range<u64>>,
    installation: Option<InstallationId>,
}

impl State {
    fn insert(&mut self, key: &Key, bytes: Vec<u8>) {
        let seconds = Clock::default().now().timestamp();
        let modified = jobs::Time::from_timestamp(seconds, 0).unwrap_or_default();
        let object = Object { key: key.clone(), size: bytes.len() as u64, modified };
        self.objects.insert(key.clone(), (object, bytes.into()));
    }
}

struct Unfinished {
    started: Instant,
    bytes: Vec<u8>,
}

impl Memory {
    /// Return the ranges read since the last call, in order.
    pub(crate) fn take_reads(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.state.lock().reads)
    }
}

#[async_trait]
impl Storage for Memory {
    async fn create(&self, key: &Key) -> Result<Box<dyn Upload>, Error> {
        let mut state = self.state.lock();
        let id = state.next_upload;
        state.next_upload += 1;
        state.uploads.insert(id, Unfinished { started: Instant::now(), bytes: Vec::new() });
        Ok(Box::new(MemoryUpload { state: Arc::clone(&self.state), key: key.clone(), id }))
    }

    async fn head(&self, key: &Key) -> Result<Object, Error> {
        let state = self.state.lock();
        let found = state.objects.get(key).map(|(object, _)| object.clone());
        found.ok_or_else(|| Error::NotFound { key: key.clone() })
    }

    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Bytes, Error> {
        let mut state = self.state.lock();
        state.reads.push(range.clone());
        let (object, bytes) =
            state.objects.get(key).ok_or_else(|| Error::NotFound { key: key.clone() })?;
        check_bounds(key, &range, object.size)?;
        Ok(bytes.slice(range.start as usize..range.end as usize))
    }

    async fn copy(&self, from: &Key, to: &Key) -> Result<u64, Error> {
        let mut state = self.state.lock();
        let found = state.objects.get(from).cloned();
        let (object, bytes) = found.ok_or_else(|| Error::NotFound { key: from.clone() })?;
        let size = object.size;
        state.objects.insert(to.clone(), (Object { key: to.clone(), ..object }, bytes));
        Ok(size)
    }

    async fn delete(&self, key: &Key) -> Result<(), Error> {
        self.state.lock().objects.remove(key);
        Ok(())
    }

    async fn list(&self, prefix: &str, after: Option<&Key>) -> Result<Vec<Object>, Error> {
        let state = self.state.lock();
        let objects = state.objects.values().map(|(object, _)| object);
        let listed = objects
            .filter(|object| object.key.as_str().starts_with(prefix))
            .filter(|object| after.is_none_or(|after| object.key > *after));
        Ok(listed.take(PAGE_SIZE).cloned().collect())
    }

    async fn link(&self, key: &Key, filename: &str, _: Duration) -> Result<String, Error> {
        Ok(format!("/memory/{key}?filename={filename}"))
    }

    async fn begin_resumable(&self, key: &Key, size: u64) -> Result<Checkpoint, Error> {
        let upload = Unfinished { started: Instant::now(), bytes: Vec::new() };
        self.state.lock().resumable.insert(key.job_id(), upload);
        Ok(Checkpoint { size, ..Checkpoint::default() })
    }

    async fn resume(
        &self,
        key: &Key,
        from: &Checkpoint,
        _fence: i64,
    ) -> Result<Box<dyn ResumedUpload>, Error> {
        let mut state = self.state.lock();
        let upload = state.resumable.get_mut(&key.job_id());
        let upload = upload.ok_or_else(|| Error::Interrupted { key: key.clone() })?;
        upload.bytes.truncate(from.offset as usize);
        let (state, key, at) = (Arc::clone(&self.state), key.clone(), from.clone());
        Ok(Box::new(ResumedMemoryUpload { state, key, at, is_lost: false }))
    }

    async fn assemble(&self, key: &Key, all: &Checkpoint) -> Result<u64, Error> {
        let mut state = self.state.lock();
        let is_complete = |upload: &Unfinished| upload.bytes.len() as u64 == all.size;
        if state.resumable.get(&key.job_id()).is_some_and(is_complete) {
            let upload = state.resumable.remove(&key.job_id());
            let bytes = upload.map(|upload| upload.bytes).unwrap_or_default();
            state.insert(key, bytes);
        }
        match state.objects.get(key) {
            Some((object, _)) if object.size == all.size => Ok(all.size),
            _ => Err(Error::Interrupted { key: key.clone() }),
        }
    }

    async fn discard(&self, key: &Key, _checkpoint: Option<&Checkpoint>) -> Result<(), Error> {
        self.state.lock().resumable.remove(&key.job_id());
        Ok(())
    }

    async fn sweep(&self, older_than: Duration, kept: &[JobId]) -> Result<u64, Error> {
        let mut state = self.state.lock();
        let before = state.uploads.len() + state.resumable.len();
        state.uploads.retain(|_, upload| upload.started.elapsed() < older_than);
        state
            .resumable
            .retain(|id, upload| upload.started.elapsed() < older_than || kept.contains(id));
        Ok((before - state.uploads.len() - state.resumable.len()) as u64)
    }

    async fn installation(&self) -> Result<Option<InstallationId>, Error> {
        Ok(self.state.lock().installation)
    }

    async fn set_installation(&self, id: InstallationId) -> Result<(), Error> {
        self.state.lock().installation = Some(id);
        Ok(())
    }

    async fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

struct MemoryUpload {
    state: Arc<Mutex<State>>,
    key: Key,
    id: u64,
}

#[async_trait]
impl Upload for MemoryUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let mut state = self.state.lock();
        let upload = state.uploads.get_mut(&self.id);
        let upload = upload.ok_or_else(|| Error::Interrupted { key: self.key.clone() })?;
        upload.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn complete(self: Box<Self>) -> Result<u64, Error> {
        let mut state = self.state.lock();
        let key = self.key.clone();
        let Some(Unfinished { bytes, .. }) = state.uploads.remove(&self.id) else {
            return Err(Error::Interrupted { key });
        };
        let size = bytes.len() as u64;
        state.insert(&key, bytes);
        Ok(size)
    }

    async fn abort(self: Box<Self>) {}
}

impl Drop for MemoryUpload {
    fn drop(&mut self) {
        self.state.lock().uploads.remove(&self.id);
    }
}

struct ResumedMemoryUpload {
    state: Arc<Mutex<State>>,
    key: Key,
    at: Checkpoint,
    /// Whether a write has failed.
    is_lost: bool,
}

impl ResumedMemoryUpload {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.check()?;
        let end = self.at.offset + bytes.len() as u64;
        if end > self.at.size {
            return Err(Error::TooLarge { key: self.key.clone(), limit: self.at.size });
        }
        let mut state = self.state.lock();
        let upload = state.resumable.get_mut(&self.key.job_id());
        let upload = upload.ok_or_else(|| Error::Interrupted { key: self.key.clone() })?;
        // What another writer has appended after the checkpoint is replaced.
        upload.bytes.truncate(self.at.offset as usize);
        upload.bytes.extend_from_slice(bytes);
        self.at.offset = end;
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        if self.is_lost { Err(Error::Interrupted { key: self.key.clone() }) } else { Ok(()) }
    }
}

#[async_trait]
impl ResumedUpload for ResumedMemoryUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let result = self.append(&bytes);
        self.is_lost = result.is_err();
        result
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint, Error> {
        self.check().map(|()| self.at.clone())
    }

    async fn suspend(self: Box<Self>) -> Result<Checkpoint, Error> {
        self.check().map(|()| self.at)
    }
}

/// Store an object.
pub(crate) async fn put(storage: &Memory, key: &Key, bytes: &'static [u8]) {
    let mut upload = storage.create(key).await.expect("an upload starts");
    upload.write(Bytes::from_static(bytes)).await.expect("bytes are accepted");
    upload.complete().await.expect("the upload completes");
}
