//! Resumable uploads.

use std::time::Duration;

use jobs::{JobId, UserId, VideoFormat};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::content::{assert_missing, content, get, list_all, user_prefix};
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::interface::Storage;
use crate::key::Key;

/// Size that takes several parts in S3 and several buffers on disk.
const LARGE: usize = (17 << 20) + 7;

fn new_key() -> Key {
    Key::input(UserId::generate(), JobId::generate(), VideoFormat::Mp4)
}

fn is_interrupted<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Interrupted { .. }))
}

/// Writers that are suspended, dropped, or dropped after a checkpoint, in turns at random.
pub(super) async fn continue_with_other_writers(storage: &dyn Storage) {
    for (seed, size) in [(1, 1), (2, 5 << 20), (3, 10 << 20), (4, LARGE)] {
        let (key, bytes) = (new_key(), content(seed, size));
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut at = storage.begin_resumable(&key, size as u64).await.expect("an upload begins");
        let mut fence = 0;
        while !at.is_complete() {
            fence += 1;
            at = Checkpoint::from_json(&key, &at.to_json()).expect("it is valid");
            let mut writer = storage.resume(&key, &at, fence).await.expect("it continues");
            let mut offset = at.offset() as usize;
            for _ in 0..rng.random_range(0..=3) {
                let end = size.min(offset + rng.random_range(0..=3 << 20));
                writer.write(bytes.slice(offset..end)).await.expect("bytes are accepted");
                offset = end;
                if rng.random_bool(0.3) {
                    at = writer.checkpoint().await.expect("a checkpoint");
                    assert!(at.offset() <= offset as u64);
                }
            }
            if rng.random_bool(0.7) {
                at = writer.suspend().await.expect("bytes are stored");
                assert_eq!(at.offset(), offset as u64);
            }
            assert_missing(storage.head(&key).await, &key);
        }
        for _ in 0..2 {
            let stored = storage.assemble(&key, &at).await.expect("all bytes are stored");
            assert_eq!(stored, size as u64);
            assert!(get(storage, &key).await == bytes, "{size} bytes are stored");
        }
        let listed = list_all(storage, &user_prefix(&key)).await;
        assert!(listed.iter().map(|object| &object.key).eq([&key]), "{listed:?}");
        storage.delete(&key).await.expect("the object can be deleted");
        assert!(is_interrupted(&storage.assemble(&key, &at).await), "the object is gone");
    }
}

/// What a writer has stored after the checkpoint from which another one continues has no effect.
pub(super) async fn ignore_bytes_after_the_checkpoint(storage: &dyn Storage) {
    let (key, bytes, other) = (new_key(), content(5, LARGE), content(6, LARGE));
    let at = storage.begin_resumable(&key, LARGE as u64).await.expect("an upload begins");
    let mut writer = storage.resume(&key, &at, 1).await.expect("it continues");
    writer.write(bytes.slice(..1000)).await.expect("bytes are accepted");
    let at = writer.suspend().await.expect("bytes are stored");
    let mut lost = storage.resume(&key, &at, 2).await.expect("it continues");
    lost.write(other.slice(1000..12 << 20)).await.expect("bytes are accepted");
    lost.suspend().await.expect("bytes are stored");
    let mut writer = storage.resume(&key, &at, 3).await.expect("it continues");
    writer.write(bytes.slice(1000..)).await.expect("bytes are accepted");
    let at = writer.suspend().await.expect("bytes are stored");
    storage.assemble(&key, &at).await.expect("all bytes are stored");
    assert!(get(storage, &key).await == bytes);
    storage.delete(&key).await.expect("the object can be deleted");
}

pub(super) async fn need_all_bytes_and_no_more(storage: &dyn Storage) {
    let (key, bytes) = (new_key(), content(7, 1000));
    let at = storage.begin_resumable(&key, 1000).await.expect("an upload begins");
    let mut writer = storage.resume(&key, &at, 1).await.expect("it continues");
    writer.write(bytes.slice(..999)).await.expect("bytes are accepted");
    let at = writer.suspend().await.expect("bytes are stored");
    assert!(is_interrupted(&storage.assemble(&key, &at).await), "a byte is missing");
    let mut writer = storage.resume(&key, &at, 2).await.expect("it continues");
    let error = writer.write(bytes.slice(..2)).await.expect_err("a byte too many");
    assert!(matches!(error, Error::TooLarge { limit: 1000, .. }), "{error}");
    assert!(is_interrupted(&writer.checkpoint().await), "the writer is lost");
    let mut writer = storage.resume(&key, &at, 3).await.expect("the upload is not");
    writer.write(bytes.slice(999..)).await.expect("bytes are accepted");
    let at = writer.suspend().await.expect("bytes are stored");
    storage.assemble(&key, &at).await.expect("all bytes are stored");
    assert!(get(storage, &key).await == bytes);
    storage.delete(&key).await.expect("the object can be deleted");
}

pub(super) async fn are_discarded(storage: &dyn Storage) {
    let (key, bytes) = (new_key(), content(8, LARGE));
    let at = storage.begin_resumable(&key, LARGE as u64).await.expect("an upload begins");
    let mut writer = storage.resume(&key, &at, 1).await.expect("it continues");
    writer.write(bytes.slice(..LARGE - 1)).await.expect("bytes are accepted");
    let at = writer.suspend().await.expect("bytes are stored");
    for _ in 0..2 {
        storage.discard(&key, Some(&at)).await.expect("it can be discarded repeatedly");
        assert_eq!(list_all(storage, &user_prefix(&key)).await, []);
    }
    storage.discard(&key, None).await.expect("the checkpoint may be unknown");
    assert!(is_interrupted(&storage.resume(&key, &at, 2).await.map(drop)));
}

pub(super) async fn are_swept_unless_they_are_kept(storage: &dyn Storage) {
    let (key, bytes) = (new_key(), content(9, LARGE));
    let at = storage.begin_resumable(&key, LARGE as u64).await.expect("an upload begins");
    let mut writer = storage.resume(&key, &at, 1).await.expect("it continues");
    writer.write(bytes.slice(..LARGE - 1)).await.expect("bytes are accepted");
    let at = writer.suspend().await.expect("bytes are stored");
    let sweep =
        async |age, kept: &[JobId]| storage.sweep(age, kept).await.expect("the sweep succeeds");
    assert_eq!(sweep(Duration::from_hours(1), &[]).await, 0, "a recent one is kept");
    assert_eq!(sweep(Duration::ZERO, &[key.job_id()]).await, 0);
    let mut writer = storage.resume(&key, &at, 2).await.expect("it is kept");
    writer.write(bytes.slice(LARGE - 1..)).await.expect("bytes are accepted");
    let at = writer.suspend().await.expect("bytes are stored");
    assert_eq!(sweep(Duration::ZERO, &[JobId::generate()]).await, 1);
    assert!(is_interrupted(&storage.assemble(&key, &at).await), "it is swept");
    storage.discard(&key, Some(&at)).await.expect("it can be discarded");
    assert_eq!(list_all(storage, &user_prefix(&key)).await, []);
}
