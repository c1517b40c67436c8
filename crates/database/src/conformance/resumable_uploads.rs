//! Uploads that clients resume.

use std::sync::Arc;
use std::time::Duration;

use jobs::{JobId, Recipe, UserId, VideoFormat};
use sea_orm::EntityTrait;

use super::case::{Case, accept_begun};
use crate::accept::{Accepted, Video};
use crate::connection::{Database, Quotas, Rules};
use crate::quotas::{Refusal, Reservation, Usage};
use crate::resumable_uploads::{
    NewUpload, Progress, RESUMABLE_LIFETIME, Stored, UPLOAD_HOLD, UploadState,
};
use crate::rows::{resumable_upload, upload};
use crate::uploads::AbandonedUpload;

const HOLD: Duration = Duration::from_mins(10);
const SIZE: u64 = 1000;

fn new_upload(user: UserId) -> NewUpload {
    let id = JobId::generate();
    NewUpload {
        id,
        user,
        key: format!("videos/{user}/{id}/input.mp4"),
        filename: "praia.mp4".to_owned(),
        recipe: Recipe::default(),
        metadata: "filename cHJhaWEubXA0".to_owned(),
        size_bytes: SIZE,
    }
}

/// Begin an upload of which nothing is stored.
async fn begin(case: &Case, user: UserId) -> NewUpload {
    let new = new_upload(user);
    let begun = case.database.begin_resumable_upload(&new).await;
    assert_eq!(begun.expect("the database answers"), Reservation::Granted(SIZE));
    assert_eq!(state(case, new.id).await, Some(UploadState::Ended), "the store has nothing");
    assert!(record(case, new.id, 0, Some((0, "begun")), false).await);
    new
}

async fn record(
    case: &Case,
    id: JobId,
    fence: i64,
    stored: Option<(u64, &str)>,
    goes_on: bool,
) -> bool {
    let stored = stored.map(|(received_bytes, parts)| Stored { received_bytes, parts });
    let recorded = case.database.record_progress(id, fence, stored, goes_on).await;
    recorded.expect("the database answers")
}

async fn hold(case: &Case, id: JobId, offset: u64) -> Option<Progress> {
    case.database.hold_upload(id, offset).await.expect("the database answers")
}

async fn state(case: &Case, id: JobId) -> Option<UploadState> {
    let found = case.other.resumable_upload(id).await.expect("the database answers");
    found.map(|upload| upload.state)
}

async fn received(case: &Case, id: JobId) -> u64 {
    match state(case, id).await {
        Some(UploadState::Receiving(progress)) => progress.received_bytes,
        other => panic!("{other:?}"),
    }
}

async fn abandoned(case: &Case) -> Vec<AbandonedUpload> {
    let taken = case.database.take_abandoned_uploads(10, HOLD).await;
    taken.expect("the database answers")
}

fn video(new: &NewUpload) -> Video {
    Video {
        id: new.id,
        filename: new.filename.clone(),
        format: VideoFormat::Mp4,
        path: new.key.clone(),
        size_bytes: SIZE,
        recipe: new.recipe.clone(),
        source: None,
    }
}

pub(super) async fn are_held_by_one_request(case: &Case) {
    let user = case.user().await;
    let id = begin(case, user).await.id;
    let held = case.run_concurrently(20, move |_, database| async move {
        database.hold_upload(id, 0).await.expect("the database answers")
    });
    let mut held = held.await.into_iter().flatten();
    let first = held.next().expect("one of them holds it");
    assert_eq!(held.next(), None);
    let expected = Progress {
        key: format!("videos/{user}/{id}/input.mp4"),
        received_bytes: 0,
        parts: "begun".to_owned(),
        fence: 1,
        is_held: true,
    };
    assert_eq!(first, expected);
    assert!(record(case, id, 1, Some((10, "ten")), true).await);
    assert_eq!(hold(case, id, 10).await, None);
    assert!(record(case, id, 1, Some((20, "twenty")), false).await);
    assert_eq!(hold(case, id, 10).await, None, "the offset is another");
    assert_eq!(hold(case, id, 20).await.map(|held| held.fence), Some(2));
    assert!(!record(case, id, 1, Some((30, "thirty")), true).await, "it has an old fence");
    assert_eq!(received(case, id).await, 20);

    // The request is lost.
    case.advance(UPLOAD_HOLD.as_secs() - 1);
    assert!(record(case, id, 2, None, true).await);
    case.advance(UPLOAD_HOLD.as_secs() - 1);
    assert_eq!(hold(case, id, 20).await, None, "it was seen since");
    case.advance(1);
    let third = hold(case, id, 20).await.expect("it is free");
    assert_eq!((third.fence, third.parts.as_str()), (3, "twenty"));
    assert!(!record(case, id, 2, Some((30, "thirty")), true).await);
}

pub(super) async fn become_jobs_with_their_ids(case: &Case) {
    let user = case.user().await;
    let new = begin(case, user).await;
    let held = hold(case, new.id, 0).await.expect("it is free");
    assert!(record(case, new.id, held.fence, Some((SIZE, "all")), true).await);
    let usage = case.database.usage(user).await.expect("the database answers");
    assert_eq!(usage, Usage { unfinished_jobs: 1, stored_bytes: SIZE });
    for times in 0..2 {
        let accepted = accept_begun(&case.database, user, &[video(&new)], None, None).await;
        match accepted.expect("the database answers") {
            Accepted::New(jobs) => assert_eq!((times, jobs[0].id), (0, new.id)),
            other => assert!(matches!((times, &other), (1, Accepted::Abandoned)), "{other:?}"),
        }
        assert_eq!(state(case, new.id).await, Some(UploadState::Accepted));
    }
    let usage = case.database.usage(user).await.expect("the database answers");
    assert_eq!(usage, Usage { unfinished_jobs: 1, stored_bytes: SIZE });
    assert_eq!(case.database.terminate_upload(new.id, HOLD).await.ok(), Some(None));
    case.database.end_upload(new.id).await.expect("the database answers");
    assert_eq!(state(case, new.id).await, Some(UploadState::Accepted));
    case.database.purge_expired().await.expect("the database answers");
    assert!(state(case, new.id).await.is_some());
    case.clock.advance(RESUMABLE_LIFETIME);
    assert_eq!(abandoned(case).await, []);
    case.database.purge_expired().await.expect("the database answers");
    assert_eq!(state(case, new.id).await, None);
    let job = case.database.job(new.id).await.expect("the database answers");
    assert!(job.is_some(), "the job remains");
}

pub(super) async fn expire_after_two_days(case: &Case) {
    let new = begin(case, case.user().await).await;
    case.advance(25 * 3600);
    case.database.purge_expired().await.expect("the database answers");
    assert_eq!(abandoned(case).await, []);
    let tail = format!("videos/{}/{}/tail-1.part", new.user, new.id);
    let orphans = case.database.orphans(&[(new.id, &new.key), (new.id, &tail)]).await;
    assert_eq!(orphans.expect("the database answers"), [""; 0]);
    let ids = case.database.resumable_upload_ids().await.expect("the database answers");
    assert_eq!(ids, [new.id]);
    let held = hold(case, new.id, 0).await.expect("it is free");
    assert!(record(case, new.id, held.fence, Some((7, "seven")), true).await);
    case.advance(23 * 3600);
    assert_eq!(state(case, new.id).await, Some(UploadState::Ended));
    assert!(!record(case, new.id, held.fence, Some((8, "eight")), true).await);
    assert_eq!(hold(case, new.id, 7).await, None);
    let parts = Some("seven".to_owned());
    let expected = AbandonedUpload { id: new.id, key: new.key.clone(), parts };
    assert_eq!(abandoned(case).await, [expected]);
    let ids = case.database.resumable_upload_ids().await.expect("the database answers");
    assert_eq!(ids, [new.id], "until its parts are deleted");
    let accepted = accept_begun(&case.database, new.user, &[video(&new)], None, None).await;
    assert!(matches!(accepted, Ok(Accepted::Abandoned)), "{accepted:?}");
    case.database.end_upload(new.id).await.expect("the database answers");
    assert_eq!(state(case, new.id).await, None);
}

pub(super) async fn are_free_after_a_restart(case: &Case) {
    let user = case.user().await;
    let (new, unborn) = (begin(case, user).await, new_upload(user));
    case.database.begin_resumable_upload(&unborn).await.expect("the database answers");
    hold(case, new.id, 0).await.expect("it is free");
    case.database.abandon_uploads().await.expect("the database answers");
    let ids: Vec<JobId> = abandoned(case).await.into_iter().map(|upload| upload.id).collect();
    assert_eq!(ids, [unborn.id], "the store has nothing of it");
    assert_eq!(hold(case, new.id, 0).await.map(|held| held.fence), Some(2));
}

pub(super) async fn are_terminated_once(case: &Case) {
    let user = case.user().await;
    let new = begin(case, user).await;
    let held = hold(case, new.id, 0).await.expect("it is free");
    let terminated = case.run_concurrently(10, move |_, database| async move {
        database.terminate_upload(new.id, HOLD).await.expect("the database answers")
    });
    let terminated: Vec<AbandonedUpload> = terminated.await.into_iter().flatten().collect();
    assert_eq!(terminated.len(), 1);
    assert_eq!(terminated[0].parts.as_deref(), Some("begun"));
    assert!(!record(case, new.id, held.fence, Some((1, "one")), true).await);
    assert_eq!(state(case, new.id).await, Some(UploadState::Ended));
    case.advance(HOLD.as_secs());
    assert_eq!(abandoned(case).await.len(), 1, "its files were not deleted in time");
    case.database.end_upload(new.id).await.expect("the database answers");
    assert_eq!(state(case, new.id).await, None);
    let usage = case.database.usage(user).await.expect("the database answers");
    assert_eq!(usage, Usage::default());
}

pub(super) async fn reserve_all_of_their_bytes(case: &Case) {
    let limited = |database: &Database| {
        let quotas = Quotas { stored_bytes: 3 * SIZE + 1, ..Quotas::default() };
        let mut limited = database.clone();
        limited.rules = Arc::new(Rules { quotas, ..Rules::default() });
        limited
    };
    let user = case.user().await;
    let begun = case.run_concurrently(10, move |_, database| async move {
        let begun = limited(&database).begin_resumable_upload(&new_upload(user)).await;
        begun.expect("the database answers")
    });
    let begun = begun.await;
    let refused = Reservation::Refused(Refusal::StoredBytes(3 * SIZE));
    let count = |wanted| begun.iter().filter(|reservation| **reservation == wanted).count();
    assert_eq!((count(Reservation::Granted(SIZE)), count(refused)), (3, 7), "{begun:?}");
}

pub(super) async fn are_abandoned_with_their_user(case: &Case) {
    let new = begin(case, case.user().await).await;
    case.database.delete_user(new.user).await.expect("the database answers");
    let described = resumable_upload::Entity::find().all(&case.other.read).await;
    assert_eq!(described.expect("rows can be read"), []);
    let records = upload::Entity::find().all(&case.other.read).await.expect("rows can be read");
    assert!(records.iter().all(|record| record.user_id.is_nil()), "{records:?}");
    let parts = Some("begun".to_owned());
    assert_eq!(abandoned(case).await, [AbandonedUpload { id: new.id, key: new.key, parts }]);
}
