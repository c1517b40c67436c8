//! Uploads.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jobs::JobId;
use tokio::task::JoinSet;

use super::content::{assert_missing, content, get, list_all, new_key, put, user_prefix};
use crate::error::Error;
use crate::interface::{Object, Storage};
use crate::key::Key;

/// More bytes than an adapter buffers before it sends or writes them.
const LARGE: usize = (12 << 20) + 1;

pub(super) async fn appear_complete_or_not_at_all(storage: &dyn Storage) {
    let (key, bytes) = (new_key(), content(1, LARGE));
    let mut upload = storage.create(&key).await.expect("an upload starts");
    for part in [bytes.slice(..1), bytes.slice(1..LARGE / 2), bytes.slice(LARGE / 2..)] {
        upload.write(part).await.expect("bytes are accepted");
        assert_missing(storage.head(&key).await, &key);
        assert_missing(storage.read(&key, 0..1).await, &key);
        assert_eq!(list_all(storage, &user_prefix(&key)).await, []);
    }
    assert_eq!(upload.complete().await.expect("the upload completes"), LARGE as u64);
    let object = storage.head(&key).await.expect("the object exists");
    assert_eq!(object, Object { key: key.clone(), size: LARGE as u64, modified: object.modified });
    assert_eq!(object.modified.timestamp_subsec_nanos(), 0, "times are in whole seconds");
    assert_eq!(list_all(storage, &user_prefix(&key)).await, [object]);
    assert!(get(storage, &key).await == bytes);
    storage.delete(&key).await.expect("the object can be deleted");
}

pub(super) async fn leave_nothing_when_aborted_or_dropped(storage: &dyn Storage) {
    for size in [0, 1, LARGE] {
        for dropped in [false, true] {
            let key = new_key();
            let mut upload = storage.create(&key).await.expect("an upload starts");
            upload.write(content(2, size)).await.expect("bytes are accepted");
            if dropped {
                drop(upload);
            } else {
                upload.abort().await;
                assert_eq!(
                    storage.sweep(Duration::ZERO, &[]).await.expect("the sweep succeeds"),
                    0,
                    "no remains of {size} bytes"
                );
            }
            assert!(matches!(storage.head(&key).await, Err(Error::NotFound { .. })));
            assert_eq!(list_all(storage, &user_prefix(&key)).await, []);
            if dropped {
                // The adapter may still be cleaning up, so the number of remains is unknown.
                storage.sweep(Duration::ZERO, &[]).await.expect("the sweep succeeds");
            }
        }
    }
}

pub(super) async fn are_swept_when_abandoned(storage: &dyn Storage) {
    let (key, other) = (new_key(), new_key());
    let finished = put(storage, &other, &content(3, 1)).await;
    let mut upload = storage.create(&key).await.expect("an upload starts");
    upload.write(content(3, LARGE)).await.expect("bytes are accepted");
    assert_eq!(
        storage.sweep(Duration::from_hours(1), &[]).await.expect("the sweep succeeds"),
        0,
        "recent uploads are kept"
    );
    assert_eq!(
        storage.sweep(Duration::ZERO, &[]).await.expect("the sweep succeeds"),
        1,
        "the upload is swept"
    );
    upload.complete().await.expect_err("the upload no longer exists");
    assert_eq!(list_all(storage, &user_prefix(&key)).await, []);
    assert_eq!(
        list_all(storage, &user_prefix(&other)).await,
        [finished],
        "objects are never swept"
    );
    storage.delete(&other).await.expect("the object can be deleted");
}

pub(super) async fn replace_an_object_at_completion(storage: &dyn Storage) {
    let (key, old, new) = (new_key(), content(4, 1000), content(5, LARGE));
    put(storage, &key, &old).await;

    let mut aborted = storage.create(&key).await.expect("an upload starts");
    aborted.write(content(6, LARGE)).await.expect("bytes are accepted");
    aborted.abort().await;
    assert!(get(storage, &key).await == old, "an aborted upload replaces nothing");

    let mut upload = storage.create(&key).await.expect("an upload starts");
    upload.write(new.clone()).await.expect("bytes are accepted");
    assert!(
        get(storage, &key).await == old,
        "the old object remains until the new one is complete"
    );
    upload.complete().await.expect("the upload completes");
    assert!(get(storage, &key).await == new);
    let object = storage.head(&key).await.expect("the object exists");
    assert_eq!(list_all(storage, &user_prefix(&key)).await, [object]);
    storage.delete(&key).await.expect("the object can be deleted");
}

pub(super) async fn may_be_empty(storage: &dyn Storage) {
    for writes in [0, 2] {
        let key = new_key();
        let mut upload = storage.create(&key).await.expect("an upload starts");
        for _ in 0..writes {
            upload.write(Bytes::new()).await.expect("no bytes are accepted");
        }
        assert_eq!(upload.complete().await.expect("the upload completes"), 0);
        let object = storage.head(&key).await.expect("the object exists");
        assert_eq!(object.size, 0);
        assert_eq!(list_all(storage, &user_prefix(&key)).await, [object]);
        assert_eq!(storage.read(&key, 0..0).await.expect("an empty range is valid"), Bytes::new());
        storage.delete(&key).await.expect("the object can be deleted");
    }
}

pub(super) async fn may_be_large(storage: &dyn Storage) {
    // Not a multiple of any part, page or buffer size.
    const PIECE: usize = 300_007;
    let (key, bytes) = (new_key(), content(7, LARGE));
    let mut upload = storage.create(&key).await.expect("an upload starts");
    for from in (0..LARGE).step_by(PIECE) {
        upload.write(bytes.slice(from..LARGE.min(from + PIECE))).await.expect("bytes are accepted");
    }
    assert_eq!(upload.complete().await.expect("the upload completes"), LARGE as u64);
    for from in (0..LARGE).step_by(5 << 20) {
        let to = LARGE.min(from + (5 << 20));
        let read =
            storage.read(&key, from as u64..to as u64).await.expect("the object can be read");
        assert!(read == bytes.slice(from..to), "the bytes at {from} are correct");
    }
    storage.delete(&key).await.expect("the object can be deleted");
}

pub(super) async fn may_run_simultaneously_under_one_key(storage: &Arc<dyn Storage>) {
    const SIZE: usize = 2_000_003;
    let key = new_key();
    let mut uploads = JoinSet::new();
    for seed in 0..8 {
        let (storage, key) = (Arc::clone(storage), key.clone());
        uploads.spawn(async move { put(&*storage, &key, &content(seed, SIZE)).await });
    }
    uploads.join_all().await;
    let bytes = get(&**storage, &key).await;
    assert!(
        (0..8).any(|seed| bytes == content(seed, SIZE)),
        "one of the uploads remains, complete"
    );
    let object = storage.head(&key).await.expect("the object exists");
    assert_eq!(list_all(&**storage, &user_prefix(&key)).await, [object]);
    storage.delete(&key).await.expect("the object can be deleted");
}

/// Objects of one user are created and deleted simultaneously; none is lost with the directory of
/// a deleted one.
pub(super) async fn may_run_beside_deletions(storage: &Arc<dyn Storage>) {
    let first = new_key();
    let (user, job) = (first.user_id(), first.job_id());
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let storage = Arc::clone(storage);
        tasks.spawn(async move {
            // Half of the tasks share the directory of a job, the others only that of the user.
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
    assert_eq!(list_all(&**storage, &user_prefix(&first)).await, []);
}
