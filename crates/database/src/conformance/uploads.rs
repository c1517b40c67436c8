//! Uploads that are not jobs yet.

use std::time::Duration;

use jobs::JobId;

use super::case::{Case, video};
use crate::accept::Accepted;
use crate::uploads::{AbandonedUpload, UPLOAD_LIFETIME};

const HOLD: Duration = Duration::from_mins(10);

/// Begin an upload of a new user.
async fn begin(case: &Case) -> (jobs::UserId, crate::accept::Video) {
    let (user, video) = (case.user().await, video());
    let begun = case.database.begin_upload(user, video.id, &video.path, 0..=0).await;
    begun.expect("the database answers");
    (user, video)
}

async fn abandoned(case: &Case) -> Vec<JobId> {
    let taken = case.database.take_abandoned_uploads(10, HOLD).await;
    let mut ids: Vec<JobId> =
        taken.expect("the database answers").into_iter().map(|upload| upload.id).collect();
    ids.sort_unstable();
    ids
}

async fn is_used(case: &Case, id: JobId, key: &str) -> bool {
    let orphans = case.database.orphans(&[(id, key)]).await;
    orphans.expect("the database answers").is_empty()
}

pub(super) async fn become_jobs_once(case: &Case) {
    let (user, video) = begin(case).await;
    assert!(is_used(case, video.id, &video.path).await);
    let videos = [video];
    let accepted = case.database.accept(user, &videos, None, None).await;
    assert!(matches!(accepted, Ok(Accepted::New(_))), "{accepted:?}");
    case.advance(2 * UPLOAD_LIFETIME.as_secs());
    assert_eq!(abandoned(case).await, []);
    let unknown = [super::case::video()];
    let accepted = case.database.accept(user, &unknown, None, None).await;
    assert!(matches!(accepted, Ok(Accepted::Abandoned)), "it was never begun: {accepted:?}");
}

pub(super) async fn are_abandoned_after_a_day(case: &Case) {
    let ((user, first), (_, second)) = (begin(case).await, begin(case).await);
    case.advance(UPLOAD_LIFETIME.as_secs() - 1);
    assert_eq!(abandoned(case).await, []);
    case.advance(1);
    let taken = case.database.take_abandoned_uploads(1, HOLD).await.expect("the database answers");
    let oldest = AbandonedUpload { id: first.id, key: first.path.clone(), parts: None };
    assert_eq!(taken, [oldest], "the limit is respected");
    assert_eq!(abandoned(case).await, [second.id], "the first one is held");
    assert!(is_used(case, first.id, &first.path).await, "until its record is removed");

    let videos = [first];
    let accepted =
        super::case::accept_begun(&case.database, user, &videos, Some("key"), None).await;
    assert!(matches!(accepted, Ok(Accepted::Abandoned)), "its file may be gone: {accepted:?}");
    assert_eq!(case.rows().await.jobs, []);
    let found = case.database.find_accepted(user, "key").await.expect("the database answers");
    assert!(found.is_none(), "the key is free");

    case.advance(HOLD.as_secs());
    assert_eq!(abandoned(case).await, [videos[0].id, second.id]);
    for id in [videos[0].id, second.id] {
        case.database.end_upload(id).await.expect("the database answers");
    }
    case.advance(HOLD.as_secs());
    assert_eq!(abandoned(case).await, []);
    assert!(!is_used(case, videos[0].id, &videos[0].path).await);
}

pub(super) async fn are_abandoned_by_a_restart(case: &Case) {
    let (_, video) = begin(case).await;
    case.database.abandon_uploads().await.expect("the database answers");
    assert_eq!(abandoned(case).await, [video.id]);
}

pub(super) async fn belong_to_one_installation(case: &Case) {
    let installation = case.database.installation().await.expect("the database answers");
    assert_eq!(case.other.installation().await.expect("the database answers"), installation);
}
