//! Objects in a bucket of an S3 store: Amazon's, or another that speaks its language.
//!
//! Uploads go to the store in parts while they are written. A process has a budget of memory for
//! parts that are filled or on their way, which all uploads share: each takes its turn to reserve
//! room for a whole part before it fills it, and gives it back when the store has the part. So a
//! part that is begun can always be finished, and none waits for memory that it holds itself. Who
//! writes to several uploads in one task has to complete one before beginning the next, or they may
//! wait for one another: what a part that is not full holds is given back only when its upload
//! ends.
//!
//! What a crash leaves unfinished is [swept](Storage::sweep), by the age that it has since it was
//! begun, and forgotten by the bucket itself if it was [prepared](S3::prepare).

mod client;
mod part;
mod upload;
mod multipart;
mod read;
mod link;
mod bucket;
mod refusal;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use bytes::Bytes;
use secrecy::SecretString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use crate::{Error, Key, Object, Storage, Upload};
use upload::S3Upload;

/// Least bytes of [`S3Settings::upload_memory`]: the largest part, which only very large objects
/// have.
pub const LEAST_UPLOAD_MEMORY: usize = part::LARGEST;

/// A good measure for [`S3Settings::upload_memory`]: 128 MiB. With what the allocator keeps, a
/// hundred uploads at once take less than 200 MiB.
pub const USUAL_UPLOAD_MEMORY: usize = 128 << 20;

/// Where the store is, and who we are to it.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// The store's address, `http://` or `https://` (`S3_ENDPOINT`).
    pub endpoint: String,
    /// The same store as browsers reach it, for links; none is the same address
    /// (`S3_PUBLIC_ENDPOINT`). The host is part of what is signed, so that nothing between may
    /// change it.
    pub public_endpoint: Option<String>,
    /// What signatures name as the region (`S3_REGION`).
    pub region: String,
    /// Where objects lie; it has to be there (`S3_BUCKET`).
    pub bucket: String,
    /// The name of our key (`S3_ACCESS_KEY`).
    pub access_key: SecretString,
    /// Our key (`S3_SECRET_KEY`).
    pub secret_key: SecretString,
    /// Whether the bucket stands in the path of URLs instead of the host's name. Every store knows
    /// that, and only few the other.
    pub path_style: bool,
    /// Bytes that all uploads together may hold, [`LEAST_UPLOAD_MEMORY`] or more.
    /// [`USUAL_UPLOAD_MEMORY`] is a good measure; an upload on its own makes use of 25 MiB.
    pub upload_memory: usize,
}

/// The storage that is a bucket of an S3 store.
#[derive(Debug, Clone)]
pub struct S3 {
    store: Arc<Store>,
}

impl S3 {
    /// Use a bucket. This makes no request yet: ask for a [check](Storage::check).
    pub fn connect(settings: S3Settings) -> Result<Self, Error> {
        let endpoint = address("S3_ENDPOINT", &settings.endpoint)?;
        let public = settings
            .public_endpoint
            .as_deref()
            .map(|public| address("S3_PUBLIC_ENDPOINT", public))
            .transpose()?;
        if settings.upload_memory < LEAST_UPLOAD_MEMORY {
            let problem = format!(
                "is {} bytes, but parts of large objects have {LEAST_UPLOAD_MEMORY}",
                settings.upload_memory
            );
            return Err(Error::Setting { setting: "the memory for uploads", problem });
        }
        // No store has that much: it stands for no limit.
        let memory = settings.upload_memory.min(Semaphore::MAX_PERMITS);
        let client = client::new(&settings, &endpoint);
        let signer =
            public.map_or_else(|| client.clone(), |public| client::new(&settings, &public));
        let memory = Arc::new(Semaphore::new(memory));
        Ok(Self {
            store: Arc::new(Store { client, signer, endpoint, bucket: settings.bucket, memory }),
        })
    }

    /// Let the bucket remove by itself what this service does not get to remove: objects of this
    /// age, in full days, and uploads that were not completed within a day. Rules for other things
    /// are left alone. Says in words what the store does not do; that is no error.
    ///
    /// Give a day or more than the service's own retention: the bucket does not know whether an
    /// object is still in use.
    pub async fn prepare(&self, retention: Duration) -> Result<Vec<String>, Error> {
        self.store.prepare(retention).await
    }
}

#[async_trait]
impl Storage for S3 {
    /// Makes no request yet.
    async fn create(&self, key: &Key) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(S3Upload::new(Arc::clone(&self.store), key.clone())))
    }

    async fn head(&self, key: &Key) -> Result<Object, Error> {
        self.store.head(key).await
    }

    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Bytes, Error> {
        self.store.read(key, range).await
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

    /// The age of an upload is counted from its beginning, by the store's clock, and compared with
    /// this machine's. Objects that fit into one part, and so are sent with one request, leave
    /// nothing behind.
    async fn sweep(&self, older_than: Duration) -> Result<u64, Error> {
        self.store.sweep(older_than).await
    }

    async fn check(&self) -> Result<(), Error> {
        self.store.check().await
    }
}

/// What uploads share.
#[derive(Debug)]
struct Store {
    client: Client,
    /// For links only: it knows the store by the address that browsers use.
    signer: Client,
    endpoint: String,
    bucket: String,
    /// Bytes that uploads may still reserve.
    memory: Arc<Semaphore>,
}

impl Store {
    /// Wait for room for a part; first come, first served.
    async fn reserve(&self, bytes: usize) -> OwnedSemaphorePermit {
        let bytes = u32::try_from(bytes).expect("the largest part has 64 MiB");
        Arc::clone(&self.memory)
            .acquire_many_owned(bytes)
            .await
            .expect("the semaphore is never closed")
    }
}

/// What browsers are told an object is.
fn media_type(key: &Key) -> &'static str {
    match key.as_str().rsplit('.').next() {
        Some("zip") => "application/zip",
        _ => "application/octet-stream",
    }
}

/// The address of a store, without a slash at its end.
fn address(setting: &'static str, address: &str) -> Result<String, Error> {
    let wrong = |problem: String| Error::Setting { setting, problem };
    let url = Url::parse(address)
        .map_err(|error| wrong(format!("is {address:?} ({error}), not like http://host:port")))?;
    let known = matches!(url.scheme(), "http" | "https") && url.has_host();
    if !known
        || url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err(wrong("is not like http://host:port".to_owned()));
    }
    Ok(address.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests;
