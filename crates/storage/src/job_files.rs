//! Deletion of all files of a job or a user.

use jobs::{JobId, UserId};

use crate::error::Error;
use crate::interface::Storage;
use crate::key::Key;

/// Delete all files of a job, which are its video and the archives of its attempts, and return
/// their number. Repeating the call after an error deletes the rest.
pub async fn delete_job_files(
    storage: &dyn Storage,
    user: UserId,
    job: JobId,
) -> Result<u64, Error> {
    delete_all(storage, &Key::job_prefix(user, job)).await
}

/// Delete all files of a user, and return their number. Repeating the call after an error deletes
/// the rest.
pub async fn delete_user_files(storage: &dyn Storage, user: UserId) -> Result<u64, Error> {
    delete_all(storage, &Key::user_prefix(user)).await
}

/// Delete all objects whose keys begin with a prefix, and return their number.
async fn delete_all(storage: &dyn Storage, prefix: &str) -> Result<u64, Error> {
    let (mut after, mut deleted) = (None, 0);
    loop {
        let objects = storage.list(prefix, after.as_ref()).await?;
        for object in &objects {
            storage.delete(&object.key).await?;
            deleted += 1;
        }
        let Some(last) = objects.into_iter().next_back() else { return Ok(deleted) };
        after = Some(last.key);
    }
}

#[cfg(test)]
mod tests {
    use jobs::VideoFormat;

    use super::*;
    use crate::interface::PAGE_SIZE;
    use crate::memory::{Memory, put};

    #[tokio::test]
    async fn deletes_all_files_of_one_job_only() {
        let storage = Memory::default();
        let (user, job, other_job) = (UserId::generate(), JobId::generate(), JobId::generate());
        let attempts = i64::try_from(PAGE_SIZE).expect("a page is small") + 1;
        let kept = Key::archive(user, other_job, 1);
        put(&storage, &kept, b"other").await;
        put(&storage, &Key::input(user, job, VideoFormat::Mp4), b"video").await;
        for fence in 1..=attempts {
            put(&storage, &Key::archive(user, job, fence), b"archive").await;
        }

        let deleted = delete_job_files(&storage, user, job).await.expect("deletion works");
        assert_eq!(deleted, attempts.unsigned_abs() + 1);
        let left = storage.list(Key::ROOT, None).await.expect("listing works");
        assert_eq!(left.into_iter().map(|object| object.key).collect::<Vec<_>>(), [kept]);
        assert_eq!(delete_job_files(&storage, user, job).await.expect("deletion works"), 0);
    }

    #[tokio::test]
    async fn deletes_all_files_of_one_user_only() {
        let storage = Memory::default();
        let (user, other) = (UserId::generate(), UserId::generate());
        let kept = Key::archive(other, JobId::generate(), 1);
        put(&storage, &kept, b"other").await;
        for fence in 1..=2 {
            put(&storage, &Key::archive(user, JobId::generate(), fence), b"archive").await;
        }
        assert_eq!(delete_user_files(&storage, user).await.expect("deletion works"), 2);
        let left = storage.list(Key::ROOT, None).await.expect("listing works");
        assert_eq!(left.into_iter().map(|object| object.key).collect::<Vec<_>>(), [kept]);
    }
}
