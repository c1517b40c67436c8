//! Objects on their way.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jobs::JobId;
use tokio::task::JoinSet;

use super::{content, get, listing, new_key, put, users};
use crate::{Error, Key, Object, Storage};

/// More than an adapter keeps to itself before it sends or writes something.
const LARGE: usize = (12 << 20) + 1;

pub(super) async fn appear_whole_or_not_at_all(storage: &dyn Storage) {
    let (key, bytes) = (new_key(), content(1, LARGE));
    let mut upload = storage.create(&key).await.expect("an upload begins");
    for part in [bytes.slice(..1), bytes.slice(1..LARGE / 2), bytes.slice(LARGE / 2..)] {
        upload.write(part).await.expect("bytes are taken");
        assert!(
            matches!(storage.head(&key).await, Err(Error::NotFound { key: missing }) if missing == key)
        );
        assert!(
            matches!(storage.read(&key, 0..1).await, Err(Error::NotFound { key: missing }) if missing == key)
        );
        assert_eq!(listing(storage, &users(&key)).await, []);
    }
    assert_eq!(upload.complete().await.expect("the upload is completed"), LARGE as u64);
    let object = storage.head(&key).await.expect("the object is there");
    assert_eq!(object, Object { key: key.clone(), size: LARGE as u64, modified: object.modified });
    assert_eq!(object.modified.timestamp_subsec_nanos(), 0, "times are told to the second");
    assert_eq!(listing(storage, &users(&key)).await, [object]);
    assert!(get(storage, &key).await == bytes);
    storage.delete(&key).await.expect("the object can be deleted");
}

pub(super) async fn leave_nothing_when_aborted_or_dropped(storage: &dyn Storage) {
    for size in [0, 1, LARGE] {
        for dropped in [false, true] {
            let key = new_key();
            let mut upload = storage.create(&key).await.expect("an upload begins");
            upload.write(content(2, size)).await.expect("bytes are taken");
            if dropped {
                drop(upload);
            } else {
                upload.abort().await;
                assert_eq!(
                    storage.sweep(Duration::ZERO).await.expect("sweeping works"),
                    0,
                    "nothing is left of {size} bytes"
                );
            }
            assert!(matches!(storage.head(&key).await, Err(Error::NotFound { .. })));
            assert_eq!(listing(storage, &users(&key)).await, []);
            if dropped {
                // An adapter may still be at it, so what is left is not counted.
                storage.sweep(Duration::ZERO).await.expect("sweeping works");
            }
        }
    }
}

pub(super) async fn are_swept_when_forgotten(storage: &dyn Storage) {
    let (key, other) = (new_key(), new_key());
    let finished = put(storage, &other, &content(3, 1)).await;
    let mut upload = storage.create(&key).await.expect("an upload begins");
    upload.write(content(3, LARGE)).await.expect("bytes are taken");
    assert_eq!(
        storage.sweep(Duration::from_hours(1)).await.expect("sweeping works"),
        0,
        "young uploads are left alone"
    );
    assert_eq!(
        storage.sweep(Duration::ZERO).await.expect("sweeping works"),
        1,
        "the upload is swept away"
    );
    upload.complete().await.expect_err("nothing is left to complete");
    assert_eq!(listing(storage, &users(&key)).await, []);
    assert_eq!(listing(storage, &users(&other)).await, [finished], "objects are never swept away");
    storage.delete(&other).await.expect("the object can be deleted");
}

pub(super) async fn replace_at_once(storage: &dyn Storage) {
    let (key, old, new) = (new_key(), content(4, 1000), content(5, LARGE));
    put(storage, &key, &old).await;

    let mut aborted = storage.create(&key).await.expect("an upload begins");
    aborted.write(content(6, LARGE)).await.expect("bytes are taken");
    aborted.abort().await;
    assert!(get(storage, &key).await == old, "an aborted upload replaces nothing");

    let mut upload = storage.create(&key).await.expect("an upload begins");
    upload.write(new.clone()).await.expect("bytes are taken");
    assert!(get(storage, &key).await == old, "the old object stays until the new one is complete");
    upload.complete().await.expect("the upload is completed");
    assert!(get(storage, &key).await == new);
    let object = storage.head(&key).await.expect("the object is there");
    assert_eq!(listing(storage, &users(&key)).await, [object]);
    storage.delete(&key).await.expect("the object can be deleted");
}

pub(super) async fn may_be_empty(storage: &dyn Storage) {
    for writes in [0, 2] {
        let key = new_key();
        let mut upload = storage.create(&key).await.expect("an upload begins");
        for _ in 0..writes {
            upload.write(Bytes::new()).await.expect("no bytes are taken");
        }
        assert_eq!(upload.complete().await.expect("the upload is completed"), 0);
        let object = storage.head(&key).await.expect("the object is there");
        assert_eq!(object.size, 0);
        assert_eq!(listing(storage, &users(&key)).await, [object]);
        assert_eq!(storage.read(&key, 0..0).await.expect("nothing can be read"), Bytes::new());
        storage.delete(&key).await.expect("the object can be deleted");
    }
}

pub(super) async fn may_be_large(storage: &dyn Storage) {
    // Pieces that fit no part, page or buffer.
    const PIECE: usize = 300_007;
    let (key, bytes) = (new_key(), content(7, LARGE));
    let mut upload = storage.create(&key).await.expect("an upload begins");
    for from in (0..LARGE).step_by(PIECE) {
        upload.write(bytes.slice(from..LARGE.min(from + PIECE))).await.expect("bytes are taken");
    }
    assert_eq!(upload.complete().await.expect("the upload is completed"), LARGE as u64);
    for from in (0..LARGE).step_by(5 << 20) {
        let to = LARGE.min(from + (5 << 20));
        let read =
            storage.read(&key, from as u64..to as u64).await.expect("the object can be read");
        assert!(
            read == bytes.slice(from..to),
            "the bytes from {from} on are those that were written"
        );
    }
    storage.delete(&key).await.expect("the object can be deleted");
}

pub(super) async fn may_be_many_of_one_key(storage: &Arc<dyn Storage>) {
    const SIZE: usize = 2_000_003;
    let key = new_key();
    let mut uploads = JoinSet::new();
    for seed in 0..8 {
        let (storage, key) = (Arc::clone(storage), key.clone());
        uploads.spawn(async move { put(&*storage, &key, &content(seed, SIZE)).await });
    }
    uploads.join_all().await;
    let bytes = get(&**storage, &key).await;
    assert!((0..8).any(|seed| bytes == content(seed, SIZE)), "one of the uploads has won, whole");
    let object = storage.head(&key).await.expect("the object is there");
    assert_eq!(listing(&**storage, &users(&key)).await, [object]);
    storage.delete(&key).await.expect("the object can be deleted");
}

/// Objects of one user come and go at the same time; none that was completed is lost with the
/// folders of those that went.
pub(super) async fn may_go_on_beside_deletes(storage: &Arc<dyn Storage>) {
    let first = new_key();
    let (user, job) = first.job();
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let storage = Arc::clone(storage);
        tasks.spawn(async move {
            // Half of the tasks share a job's folder, the others only the user's.
            let job = if task % 2 == 0 { job } else { JobId::generate() };
            let key = Key::archive(user, job, task + 2);
            for round in 0..40 {
                let bytes = content(round, 10);
                put(&*storage, &key, &bytes).await;
                assert!(get(&*storage, &key).await == bytes);
                storage.delete(&key).await.expect("the object can be deleted");
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(listing(&**storage, &users(&first)).await, []);
}
