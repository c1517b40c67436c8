//! Tests that every adapter must pass. They panic where it does not.

mod content;
mod uploads;
mod resumable;
mod objects;
mod blocking;

use std::sync::Arc;
use std::time::Duration;

use crate::interface::Storage;
use crate::key::Key;
use content::list_all;

pub(crate) use content::content;

/// Check an adapter against all guarantees of [`Storage`] except its [links](Storage::link), which
/// only its own tests can follow.
///
/// Nothing else may use the storage meanwhile, which has the same objects afterwards as
/// before. Needs a multi-threaded runtime.
///
/// # Panics
///
/// The adapter violates a guarantee.
pub(crate) async fn all(storage: Arc<dyn Storage>) {
    let before = list_all(&*storage, Key::ROOT).await;
    storage.check().await.expect("the storage is usable");

    uploads::appear_complete_or_not_at_all(&*storage).await;
    uploads::leave_nothing_when_aborted_or_dropped(&*storage).await;
    uploads::are_swept_when_abandoned(&*storage).await;
    uploads::replace_an_object_at_completion(&*storage).await;
    uploads::may_be_empty(&*storage).await;
    uploads::may_be_large(&*storage).await;
    uploads::may_run_simultaneously_under_one_key(&storage).await;
    uploads::may_run_beside_deletions(&storage).await;

    resumable::continue_with_other_writers(&*storage).await;
    resumable::ignore_bytes_after_the_checkpoint(&*storage).await;
    resumable::need_all_bytes_and_no_more(&*storage).await;
    resumable::are_discarded(&*storage).await;
    resumable::are_swept_unless_they_are_kept(&*storage).await;

    objects::are_read_by_ranges(&*storage).await;
    objects::are_reported_missing(&*storage).await;
    objects::are_deleted_individually(&*storage).await;
    objects::are_copied_independently(&*storage).await;
    objects::are_listed_in_pages(&storage).await;
    assert_eq!(storage.installation().await.expect("the storage responds"), None);
    objects::belong_to_an_installation(&*storage).await;

    blocking::reader_behaves_like_memory(&storage).await;
    blocking::writer_keeps_the_order(&storage).await;
    blocking::reader_reports_a_missing_object(&storage).await;

    assert_eq!(list_all(&*storage, Key::ROOT).await, before, "the suite leaves no objects");
    let swept = storage.sweep(Duration::ZERO, &[]).await.expect("the sweep succeeds");
    assert_eq!(swept, 0, "the suite leaves no uploads");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_conforms() {
    all(Arc::new(crate::memory::Memory::default())).await;
}
