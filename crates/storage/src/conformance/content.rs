//! Objects for tests.

use bytes::Bytes;
use jobs::{JobId, UserId};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::error::Error;
use crate::interface::{Object, Storage};
use crate::key::Key;

/// A new key.
pub(super) fn new_key() -> Key {
    Key::archive(UserId::generate(), JobId::generate(), 1)
}

/// Prefix of all keys of the key's user.
pub(super) fn user_prefix(key: &Key) -> String {
    format!("{}{}/", Key::ROOT, key.user_id())
}

/// Pseudo-random bytes, the same for the same seed.
pub(crate) fn content(seed: u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes.into()
}

/// Store an object and return its metadata.
pub(super) async fn put(storage: &dyn Storage, key: &Key, bytes: &Bytes) -> Object {
    let mut upload = storage.create(key).await.expect("an upload starts");
    upload.write(bytes.clone()).await.expect("bytes are accepted");
    assert_eq!(upload.complete().await.expect("the upload completes"), bytes.len() as u64);
    storage.head(key).await.expect("the object exists")
}

/// Read a whole object.
pub(super) async fn get(storage: &dyn Storage, key: &Key) -> Bytes {
    let size = storage.head(key).await.expect("the object exists").size;
    storage.read(key, 0..size).await.expect("the object can be read")
}

/// Assert that an operation failed because the object does not exist.
pub(super) fn assert_missing<T>(result: Result<T, Error>, key: &Key) {
    assert!(matches!(result, Err(Error::NotFound { key: missing }) if missing == *key));
}

/// List all objects with a prefix, page by page.
pub(super) async fn list_all(storage: &dyn Storage, prefix: &str) -> Vec<Object> {
    let mut objects: Vec<Object> = Vec::new();
    loop {
        let page = storage
            .list(prefix, objects.last().map(|object| &object.key))
            .await
            .expect("objects can be listed");
        if page.is_empty() {
            return objects;
        }
        objects.extend(page);
    }
}
