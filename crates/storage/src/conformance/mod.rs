//! What every adapter must do, as tests that panic where it does not.

mod uploads;
mod objects;
mod bridges;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jobs::{JobId, UserId};

use crate::{Key, Object, Storage};

/// Hold an adapter to everything that [`Storage`] promises, but for its [links](Storage::link),
/// which only its own tests can follow.
///
/// Nobody else may use the storage meanwhile. It holds what it held before when this returns. Needs
/// a runtime with several threads.
///
/// # Panics
///
/// When the adapter breaks a promise.
pub async fn all(storage: Arc<dyn Storage>) {
    let before = listing(&*storage, Key::ROOT).await;
    storage.check().await.expect("the storage can be used");

    uploads::appear_whole_or_not_at_all(&*storage).await;
    uploads::leave_nothing_when_aborted_or_dropped(&*storage).await;
    uploads::are_swept_when_forgotten(&*storage).await;
    uploads::replace_at_once(&*storage).await;
    uploads::may_be_empty(&*storage).await;
    uploads::may_be_large(&*storage).await;
    uploads::may_be_many_of_one_key(&storage).await;
    uploads::may_go_on_beside_deletes(&storage).await;

    objects::are_read_by_ranges(&*storage).await;
    objects::are_missed(&*storage).await;
    objects::are_deleted_alone(&*storage).await;
    objects::are_listed_by_pages(&storage).await;

    bridges::read_as_from_memory(&storage).await;
    bridges::write_in_order(&storage).await;
    bridges::tell_what_is_missing(&storage).await;

    assert_eq!(listing(&*storage, Key::ROOT).await, before, "the suite has cleaned up");
    assert_eq!(
        storage.sweep(Duration::ZERO).await.expect("sweeping works"),
        0,
        "no upload is left"
    );
}

/// A key that nothing else has.
fn new_key() -> Key {
    Key::archive(UserId::generate(), JobId::generate(), 1)
}

/// What all keys of the key's user begin with.
fn users(key: &Key) -> String {
    format!("{}{}/", Key::ROOT, key.job().0)
}

/// Bytes that repeat nowhere near, other ones for each seed.
fn content(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let words = std::iter::repeat_with(move || random(&mut state).to_le_bytes());
    words.take(length.div_ceil(8)).flatten().take(length).collect::<Vec<u8>>().into()
}

/// The next number of a sequence that looks like chance: xorshift64 (Marsaglia, "Xorshift RNGs",
/// 2003).
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Make an object of these bytes; returns what is known of it.
async fn put(storage: &dyn Storage, key: &Key, bytes: &Bytes) -> Object {
    let mut upload = storage.create(key).await.expect("an upload begins");
    upload.write(bytes.clone()).await.expect("bytes are taken");
    assert_eq!(upload.complete().await.expect("the upload is completed"), bytes.len() as u64);
    storage.head(key).await.expect("the object is there")
}

/// All bytes of an object.
async fn get(storage: &dyn Storage, key: &Key) -> Bytes {
    let size = storage.head(key).await.expect("the object is there").size;
    storage.read(key, 0..size).await.expect("the object can be read")
}

/// All objects whose keys begin so, page by page.
async fn listing(storage: &dyn Storage, prefix: &str) -> Vec<Object> {
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
