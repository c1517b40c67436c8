//! Objects that are there, and those that are not.

use std::ops::Range;
use std::sync::Arc;

use jobs::{JobId, UserId, VideoFormat};
use tokio::task::JoinSet;

use super::{content, get, listing, new_key, put, users};
use crate::{Error, Key, Object, PAGE, Storage};

pub(super) async fn are_read_by_ranges(storage: &dyn Storage) {
    const SIZE: u64 = 1000;
    let (key, bytes) = (new_key(), content(1, SIZE as usize));
    put(storage, &key, &bytes).await;
    for range in [0..1, 0..SIZE, 999..SIZE, 1..999, 500..501, 0..0, 500..500, SIZE..SIZE] {
        let expected = bytes.slice(range.start as usize..range.end as usize);
        assert_eq!(
            storage.read(&key, range.clone()).await.expect("the range lies inside"),
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
            other => panic!("{asked:?} lies outside, but gave {other:?}"),
        }
    }
    storage.delete(&key).await.expect("the object can be deleted");
}

pub(super) async fn are_missed(storage: &dyn Storage) {
    let key = new_key();
    assert!(
        matches!(storage.head(&key).await, Err(Error::NotFound { key: missing }) if missing == key)
    );
    for range in [0..0, 0..1] {
        assert!(
            matches!(storage.read(&key, range).await, Err(Error::NotFound { key: missing }) if missing == key)
        );
    }
    assert_eq!(listing(storage, &users(&key)).await, []);
    storage.delete(&key).await.expect("what is not there can be deleted");
}

pub(super) async fn are_deleted_alone(storage: &dyn Storage) {
    let (user, job) = new_key().job();
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
            storage.delete(key).await.expect("an object can be deleted, and once more");
            assert_eq!(
                listing(storage, &format!("{}{user}/", Key::ROOT)).await,
                objects[deleted + 1..]
            );
            assert!(matches!(storage.head(key).await, Err(Error::NotFound { .. })));
        }
    }
    let again = put(storage, &keys[0], &content(9, 10)).await;
    assert_eq!(listing(storage, &Key::folder(user, job)).await, [again]);
    assert_eq!(get(storage, &keys[0]).await, content(9, 10));
    storage.delete(&keys[0]).await.expect("the object can be deleted");
}

pub(super) async fn are_listed_by_pages(storage: &Arc<dyn Storage>) {
    /// The objects of a user are too many for one page.
    const MANY: usize = PAGE + 5;
    /// How many are uploaded at once.
    const TASKS: usize = 16;
    let users = [UserId::generate(), UserId::generate()];
    let jobs: Vec<JobId> = std::iter::repeat_with(JobId::generate).take(MANY / 3 + 1).collect();
    // Fences of different lengths, since keys are not sorted as numbers are.
    let many = jobs
        .iter()
        .flat_map(|job| [2, 10, 1].map(|fence| Key::archive(users[0], *job, fence)))
        .take(MANY);
    let mut keys: Vec<Key> = many.chain([Key::archive(users[1], jobs[0], 1)]).collect();

    let mut tasks = JoinSet::new();
    for some in keys.chunks(keys.len().div_ceil(TASKS)) {
        let (storage, some) = (Arc::clone(storage), some.to_vec());
        tasks.spawn(async move {
            let mut objects = Vec::new();
            for key in some {
                objects.push(put(&*storage, &key, &content(0, key.as_str().len() % 7)).await);
            }
            objects
        });
    }
    let mut objects = tasks.join_all().await.concat();
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    keys.sort();
    assert!(objects.iter().map(|object| &object.key).eq(&keys));

    let (first, second) = objects.split_at(MANY);
    let prefix = |user| format!("{}{user}/", Key::ROOT);
    let page = async |prefix: &str, after: Option<&Key>| {
        storage.list(prefix, after).await.expect("objects can be listed")
    };
    assert_eq!(page(&prefix(users[0]), None).await, first[..PAGE]);
    assert_eq!(page(&prefix(users[0]), Some(&keys[PAGE - 1])).await, first[PAGE..]);
    assert_eq!(page(&prefix(users[0]), Some(&keys[MANY - 1])).await, []);
    assert_eq!(page(&prefix(users[1]), None).await, second);
    assert_eq!(
        page(&prefix(users[1]), Some(&keys[0])).await,
        second,
        "what comes before the prefix leaves nothing out"
    );
    assert_eq!(listing(&**storage, &prefix(users[0])).await, first);

    // A prefix may end anywhere, also inside a name.
    let folder = Key::folder(users[0], jobs[1]);
    let of = |prefix: &str| -> Vec<Object> {
        first.iter().filter(|object| object.key.as_str().starts_with(prefix)).cloned().collect()
    };
    let expected = [
        (folder.clone(), 3),
        (format!("{folder}output-1"), 2),
        (format!("{folder}output-1."), 1),
        (format!("{folder}x"), 0),
    ];
    for (prefix, count) in expected {
        assert_eq!(of(&prefix).len(), count);
        assert_eq!(page(&prefix, None).await, of(&prefix), "{prefix}");
    }
    assert_eq!(page(&folder, Some(&Key::archive(users[0], jobs[1], 1))).await, of(&folder)[1..]);
    assert_eq!(
        page(&folder, Some(&Key::archive(users[0], jobs[1], 100))).await.len(),
        1,
        "the last key need not be there"
    );
    assert_eq!(page(folder.trim_end_matches('/'), None).await, of(&folder));
    assert_eq!(page("elsewhere/", None).await, []);

    let mut tasks = JoinSet::new();
    for some in keys.chunks(keys.len().div_ceil(TASKS)) {
        let (storage, some) = (Arc::clone(storage), some.to_vec());
        tasks.spawn(async move {
            for key in some {
                storage.delete(&key).await.expect("the object can be deleted");
            }
        });
    }
    tasks.join_all().await;
    for user in users {
        assert_eq!(listing(&**storage, &prefix(user)).await, []);
    }
}
