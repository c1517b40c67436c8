//! Few ranges of an object in the S3 store are requested for few frames.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use frames::Options;
use jobs::{InstallationId, JobId, UserId};
use parking_lot::Mutex;
use serde_json::json;
use servers::Garage;
use storage::blocking::Reader;
use storage::s3::{DEFAULT_ASSEMBLY_TIMEOUT, DEFAULT_UPLOAD_MEMORY};
use storage::{Checkpoint, Error, Key, Object, ResumedUpload, S3, S3Settings, Storage, Upload};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use crate::harness::clips::long_clip;

/// Store that records which ranges are read.
struct Recorder {
    store: S3,
    ranges: Mutex<Vec<Range<u64>>>,
}

#[async_trait]
impl Storage for Recorder {
    async fn create(&self, key: &Key) -> Result<Box<dyn Upload>, Error> {
        self.store.create(key).await
    }

    async fn head(&self, key: &Key) -> Result<Object, Error> {
        self.store.head(key).await
    }

    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Bytes, Error> {
        self.ranges.lock().push(range.clone());
        self.store.read(key, range).await
    }

    async fn copy(&self, from: &Key, to: &Key) -> Result<u64, Error> {
        self.store.copy(from, to).await
    }

    async fn delete(&self, key: &Key) -> Result<(), Error> {
        self.store.delete(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>) -> Result<Vec<Object>, Error> {
        self.store.list(prefix, after).await
    }

    async fn link(&self, key: &Key, filename: &str, valid_for: Duration) -> Result<String, Error> {
        self.store.link(key, filename, valid_for).await
    }

    async fn begin_resumable(&self, key: &Key, size: u64) -> Result<Checkpoint, Error> {
        self.store.begin_resumable(key, size).await
    }

    async fn resume(
        &self,
        key: &Key,
        from: &Checkpoint,
        fence: i64,
    ) -> Result<Box<dyn ResumedUpload>, Error> {
        self.store.resume(key, from, fence).await
    }

    async fn assemble(&self, key: &Key, all: &Checkpoint) -> Result<u64, Error> {
        self.store.assemble(key, all).await
    }

    async fn discard(&self, key: &Key, checkpoint: Option<&Checkpoint>) -> Result<(), Error> {
        self.store.discard(key, checkpoint).await
    }

    async fn sweep(&self, older_than: Duration, kept: &[JobId]) -> Result<u64, Error> {
        self.store.sweep(older_than, kept).await
    }

    async fn installation(&self) -> Result<Option<InstallationId>, Error> {
        self.store.installation().await
    }

    async fn set_installation(&self, id: InstallationId) -> Result<(), Error> {
        self.store.set_installation(id).await
    }

    async fn check(&self) -> Result<(), Error> {
        self.store.check().await
    }
}

async fn stored(video: Vec<u8>) -> (Arc<Recorder>, Object) {
    let garage = Garage::shared();
    let store = S3::connect(S3Settings {
        endpoint: garage.endpoint(),
        public_endpoint: None,
        region: garage.region().to_owned(),
        bucket: garage.bucket().to_owned(),
        access_key: garage.access_key().into(),
        secret_key: garage.secret_key().into(),
        path_style: true,
        upload_memory: DEFAULT_UPLOAD_MEMORY,
        assembly_timeout: DEFAULT_ASSEMBLY_TIMEOUT,
    })
    .expect("the settings are valid");
    let key = Key::archive(UserId::generate(), JobId::generate(), 1);
    let mut upload = store.create(&key).await.expect("an upload begins");
    upload.write(video.into()).await.expect("it can be written");
    upload.complete().await.expect("it is stored");
    let object = store.head(&key).await.expect("it exists");
    (Arc::new(Recorder { store, ranges: Mutex::default() }), object)
}

#[tokio::test(flavor = "multi_thread")]
async fn few_frames_take_few_requests() {
    for (suffix, recipe, requests, percent) in [
        ("mp4", json!({ "select": { "at": [125] } }), 9, 16),
        ("mkv", json!({ "select": { "at": [125] } }), 9, 16),
        ("mp4", json!({ "select": { "count": 4 } }), 12, 16),
        ("mkv", json!({ "select": { "count": 4 } }), 12, 16),
    ] {
        let video = std::fs::read(long_clip(suffix)).expect("the clip can be read");
        let size = video.len() as u64;
        let (store, object) = stored(video).await;
        let recipe_of = serde_json::from_value(recipe.clone()).expect("a valid recipe");
        let options = Options { recipe: recipe_of, ..Options::default() };
        let reader =
            Reader::new(Arc::clone(&store) as Arc<dyn Storage>, &object, Handle::current());
        let report = spawn_blocking(move || {
            frames::extract(reader, std::io::sink(), &options, |_| {}).expect("a valid clip")
        });
        assert!(report.await.expect("no panic").complete);
        let ranges = std::mem::take(&mut *store.ranges.lock());
        let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        let read = 100 * bytes / size;
        println!("{suffix}, {recipe}: {} requests, {read}% of {size} bytes", ranges.len());
        store.delete(&object.key).await.expect("it can be deleted");
        assert!(ranges.len() <= requests && read <= percent, "{suffix}, {recipe}: {ranges:?}");
    }
}
