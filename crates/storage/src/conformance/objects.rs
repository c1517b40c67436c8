//! Existing and missing objects.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jobs::{InstallationId, JobId, UserId, VideoFormat};
use tokio::task::JoinSet;

use super::content::{assert_missing, content, get, list_all, new_key, put, user_prefix};
use crate::error::Error;
use crate::interface::{Object, PAGE_SIZE, Storage};
use crate::key::Key;

pub(super) async fn are_read_by_ranges(storage: &dyn Storage) {
    const SIZE: u64 = 1000;
    let (key, bytes) = (new_key(), content(1, SIZE as usize));
    put(storage, &key, &bytes).await;
    for range in [0..1, 0..SIZE, 999..SIZE, 1..999, 500..501, 0..0, 500..500, SIZE..SIZE] {
        let expected = bytes.slice(range.start as usize..range.end as usize);
        assert_eq!(
            storage.read(&key, range.clone()).await.expect("the range is within the object"),
            expected,
            "{range:?}"
        );
    }
    let backwards = Range { start: 3, end: 2 };
    for asked in [
        0..SIZE + 1,
        999..SIZE + 1,
        SIZE..SIZE + 1,
        1001..1001,
        0..u64::MAX,
        u64::MAX - 1..u64::MAX,
        backwards,
    ] {
        match storage.read(&key, asked.clone()).await {
            Err(Error::OutOfRange { key: of, range, size }) => {
                assert_eq!((of, range, size), (key.clone(), asked, SIZE));
            }
            other => panic!("{asked:?} is out of range, but the result is {other:?}"),
        }
    }
    storage.delete(&key).await.expect("the object can be deleted");
}

pub(super) async fn are_reported_missing(storage: &dyn Storage) {
    let key = new_key();
    assert_missing(storage.head(&key).await, &key);
    for range in [0..0, 0..1] {
        assert_missing(storage.read(&key, range).await, &key);
    }
    assert_eq!(list_all(storage, &user_prefix(&key)).await, []);
    storage.delete(&key).await.expect("a missing object is not an error");
}

/// A copy has all bytes of its original, replaces what has its key, and outlives the original.
pub(super) async fn are_copied_independently(storage: &dyn Storage) {
    let (user, jobs) = (UserId::generate(), [(); 3].map(|()| JobId::generate()));
    let [from, to, missing] = jobs.map(|job| Key::input(user, job, VideoFormat::Mp4));
    assert_missing(storage.copy(&missing, &to).await, &missing);
    assert_missing(storage.head(&to).await, &to);
    for (seed, size) in [(1, 0), (2, 1_000), (3, 6 << 20)] {
        let bytes = content(seed, size);
        put(storage, &from, &bytes).await;
        for _ in 0..2 {
            assert_eq!(storage.copy(&from, &to).await.expect("it is copied"), size as u64);
            assert!(get(storage, &to).await == bytes, "another copy of {size} bytes");
        }
        assert!(get(storage, &from).await == bytes, "the original of {size} bytes changed");
        let other = content(9, 10);
        put(storage, &from, &other).await;
        assert!(get(storage, &to).await == bytes, "the copy changed with its original");
        storage.delete(&from).await.expect("the original can be deleted");
        assert!(get(storage, &to).await == bytes, "the copy was deleted with its original");
    }
    let listed = list_all(storage, &user_prefix(&to)).await;
    assert!(listed.iter().map(|object| &object.key).eq([&to]), "{listed:?}");
    storage.delete(&to).await.expect("the copy can be deleted");
    assert_missing(storage.copy(&to, &from).await, &to);
}

pub(super) async fn are_deleted_individually(storage: &dyn Storage) {
    let (user, job) = (UserId::generate(), JobId::generate());
    let keys = [
        Key::input(user, job, VideoFormat::Mp4),
        Key::archive(user, job, 1),
        Key::archive(user, JobId::generate(), 1),
    ];
    let mut objects = Vec::new();
    for (seed, key) in (0..).zip(&keys) {
        objects.push(put(storage, key, &content(seed, 100)).await);
    }
    for (deleted, key) in keys.iter().enumerate() {
        for _ in 0..2 {
            storage.delete(key).await.expect("an object can be deleted repeatedly");
            assert_eq!(
                list_all(storage, &format!("{}{user}/", Key::ROOT)).await,
                objects[deleted + 1..]
            );
            assert!(matches!(storage.head(key).await, Err(Error::NotFound { .. })));
        }
    }
    let again = put(storage, &keys[0], &content(9, 10)).await;
    assert_eq!(list_all(storage, &Key::job_prefix(user, job)).await, [again]);
    assert_eq!(get(storage, &keys[0]).await, content(9, 10));
    storage.delete(&keys[0]).await.expect("the object can be deleted");
}

/// Number of objects of one user, more than a page holds.
const MANY: usize = PAGE_SIZE + 5;

/// Number of simultaneous uploads or deletions.
const TASKS: usize = 16;

pub(super) async fn are_listed_in_pages(storage: &Arc<dyn Storage>) {
    let users = [UserId::generate(), UserId::generate()];
    let jobs: Vec<JobId> = std::iter::repeat_with(JobId::generate).take(MANY / 3 + 1).collect();
    // Fences of different lengths, because keys are not ordered as numbers.
    let many = jobs
        .iter()
        .flat_map(|job| [2, 10, 1].map(|fence| Key::archive(users[0], *job, fence)))
        .take(MANY);
    let mut keys: Vec<Key> = many.chain([Key::archive(users[1], jobs[0], 1)]).collect();
    let objects = put_all(storage, &keys).await;
    keys.sort();
    assert!(objects.iter().map(|object| &object.key).eq(&keys));

    let (first, second) = objects.split_at(MANY);
    let prefix = |user| format!("{}{user}/", Key::ROOT);
    let page = async |prefix: &str, after: Option<&Key>| {
        storage.list(prefix, after).await.expect("objects can be listed")
    };
    assert_eq!(page(&prefix(users[0]), None).await, first[..PAGE_SIZE]);
    assert_eq!(page(&prefix(users[0]), Some(&keys[PAGE_SIZE - 1])).await, first[PAGE_SIZE..]);
    assert_eq!(page(&prefix(users[0]), Some(&keys[MANY - 1])).await, []);
    assert_eq!(page(&prefix(users[1]), None).await, second);
    let after_other_prefix = page(&prefix(users[1]), Some(&keys[0])).await;
    assert_eq!(after_other_prefix, second, "`after` may sort before the prefix");
    assert_eq!(list_all(&**storage, &prefix(users[0])).await, first);

    // A prefix may end anywhere, even within a name.
    let job_prefix = Key::job_prefix(users[0], jobs[1]);
    let matching = |prefix: &str| -> Vec<Object> {
        first.iter().filter(|object| object.key.as_str().starts_with(prefix)).cloned().collect()
    };
    let expected = [
        (job_prefix.clone(), 3),
        (format!("{job_prefix}output-1"), 2),
        (format!("{job_prefix}output-1."), 1),
        (format!("{job_prefix}x"), 0),
    ];
    for (prefix, count) in expected {
        assert_eq!(matching(&prefix).len(), count);
        assert_eq!(page(&prefix, None).await, matching(&prefix), "{prefix}");
    }
    let after_first = Key::archive(users[0], jobs[1], 1);
    assert_eq!(page(&job_prefix, Some(&after_first)).await, matching(&job_prefix)[1..]);
    let missing = Key::archive(users[0], jobs[1], 100);
    assert_eq!(page(&job_prefix, Some(&missing)).await.len(), 1, "`after` need not exist");
    assert_eq!(page(job_prefix.trim_end_matches('/'), None).await, matching(&job_prefix));
    assert_eq!(page("elsewhere/", None).await, []);

    delete_all(storage, &keys).await;
    for user in users {
        assert_eq!(list_all(&**storage, &prefix(user)).await, []);
    }
}

/// Store a small object under each key and return their metadata, ordered by key.
async fn put_all(storage: &Arc<dyn Storage>, keys: &[Key]) -> Vec<Object> {
    let mut tasks = JoinSet::new();
    for chunk in keys.chunks(keys.len().div_ceil(TASKS)) {
        let (storage, chunk) = (Arc::clone(storage), chunk.to_vec());
        tasks.spawn(async move {
            let mut objects = Vec::new();
            for key in chunk {
                objects.push(put(&*storage, &key, &content(0, key.as_str().len() % 7)).await);
            }
            objects
        });
    }
    let mut objects = tasks.join_all().await.concat();
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    objects
}

async fn delete_all(storage: &Arc<dyn Storage>, keys: &[Key]) {
    let mut tasks = JoinSet::new();
    for chunk in keys.chunks(keys.len().div_ceil(TASKS)) {
        let (storage, chunk) = (Arc::clone(storage), chunk.to_vec());
        tasks.spawn(async move {
            for key in chunk {
                storage.delete(&key).await.expect("the object can be deleted");
            }
        });
    }
    tasks.join_all().await;
}

pub(super) async fn belong_to_an_installation(storage: &dyn Storage) {
    let before = list_all(storage, "").await;
    for _ in 0..2 {
        let id = InstallationId::generate();
        storage.set_installation(id).await.expect("it can be recorded");
        assert_eq!(storage.installation().await.expect("it can be read"), Some(id));
    }
    assert_eq!(list_all(storage, "").await, before, "the record is not an object");
    storage.sweep(Duration::ZERO, &[]).await.expect("the sweep succeeds");
    assert!(storage.installation().await.expect("it can be read").is_some());
}
