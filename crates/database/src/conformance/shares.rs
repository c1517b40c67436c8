//! Links to finished jobs: their number, and when they end.

use std::time::Duration;

use jobs::{JobId, State};
use sea_orm::{EntityTrait, PaginatorTrait};
use uuid::Uuid;

use super::case::{Case, expire};
use crate::job::Job;
use crate::rows::job_share;
use crate::shares::{Share, ShareCreation};

const MAX: u64 = 3;
const DAY: u64 = 24 * 60 * 60;

async fn job_with(case: &Case, id: JobId) -> Job {
    case.other.job(id).await.expect("the database answers").expect("the job exists")
}

async fn create(case: &Case, job: &Job, hash: &str, days: u64) -> ShareCreation {
    let end = case.clock.now() + Duration::from_secs(days * DAY);
    case.database.create_share(job, hash, end, MAX).await.expect("the database answers")
}

/// Create a link to a finished job that is valid for days.
pub(super) async fn share(case: &Case, job: JobId, hash: &str, days: u64) -> Share {
    match create(case, &job_with(case, job).await, hash, days).await {
        ShareCreation::Created(share) => share,
        other => panic!("{other:?}"),
    }
}

/// Link that is valid, and the id of its job.
async fn find(case: &Case, hash: &str) -> Option<(Share, JobId)> {
    let found = case.other.find_share(hash).await.expect("the database answers");
    let (share, job) = found?;
    let by_id = case.other.share_by_id(share.id).await.expect("the database answers");
    assert_eq!(by_id.map(|(share, job)| (share, job.id)), Some((share.clone(), job.id)));
    Some((share, job.id))
}

async fn listed(case: &Case, job: JobId) -> Vec<Share> {
    case.other.shares(job).await.expect("the database answers")
}

async fn rows(case: &Case) -> u64 {
    let rows = job_share::Entity::find().count(&case.database.read).await;
    rows.expect("they can be counted")
}

pub(super) async fn are_created_listed_and_revoked(case: &Case) {
    case.clock.pause();
    let (user, neighbor) = (case.user().await, case.user().await);
    let job = case.job_of(user, State::Done).await;
    let other = case.job_of(user, State::Done).await;
    let first = share(case, job, "first", 1).await;
    case.advance(1);
    let second = share(case, job, "second", 3).await;
    assert_eq!(first.expires_at, first.created_at + Duration::from_secs(DAY));
    assert_eq!(listed(case, job).await, [second.clone(), first.clone()]);
    assert_eq!(listed(case, other).await, []);
    assert_eq!(find(case, "first").await, Some((first.clone(), job)));
    assert_eq!(find(case, "third").await, None);

    let delete = async |user, job, id| {
        case.database.delete_share(user, job, id).await.expect("the database answers")
    };
    assert!(!delete(neighbor, job, first.id).await, "it is a job of another user");
    assert!(!delete(user, other, first.id).await, "it is a link to another job");
    assert!(!delete(user, job, Uuid::nil()).await);
    assert!(delete(user, job, first.id).await);
    assert!(!delete(user, job, first.id).await);
    assert_eq!(find(case, "first").await, None);
    assert_eq!(listed(case, job).await, [second]);
}

pub(super) async fn are_limited_in_number(case: &Case) {
    case.clock.pause();
    let user = case.user().await;
    let id = case.job_of(user, State::Done).await;
    let job = job_with(case, id).await;
    let end = case.clock.now() + Duration::from_secs(DAY);
    let created = case.run_concurrently(10, move |task, database| {
        let job = job.clone();
        async move {
            let created = database.create_share(&job, &format!("share {task}"), end, MAX).await;
            matches!(created.expect("the database answers"), ShareCreation::Created(_))
        }
    });
    let created = created.await;
    assert_eq!(created.iter().filter(|created| **created).count() as u64, MAX, "{created:?}");
    let job = job_with(case, id).await;
    assert_eq!(create(case, &job, "another", 3).await, ShareCreation::TooMany);
    share(case, case.job_of(user, State::Done).await, "of another job", 3).await;
    case.advance(DAY);
    assert!(matches!(create(case, &job, "another", 3).await, ShareCreation::Created(_)));
    assert_eq!(listed(case, id).await.len(), 1, "the others have expired");
    case.database.purge_expired().await.expect("the database answers");
    assert_eq!(rows(case).await, 2);
}

pub(super) async fn end_with_their_files(case: &Case) {
    case.clock.pause();
    let user = case.user().await;
    for state in [State::Queued, State::Processing, State::Failed, State::Cancelled] {
        let job = job_with(case, case.job_of(user, state).await).await;
        assert_eq!(create(case, &job, "unfinished", 1).await, ShareCreation::Ended, "{state}");
    }
    let id = case.job_of(user, State::Done).await;
    let job = job_with(case, id).await;
    let short = share(case, id, "short", 1).await;
    let long = share(case, id, "long", 1000).await;
    assert_eq!(long.expires_at, job.expires_at, "no link outlives the files");
    case.advance(DAY - 1);
    assert_eq!(find(case, "short").await, Some((short, id)));
    case.advance(1);
    assert_eq!(find(case, "short").await, None);
    assert_eq!(find(case, "long").await, Some((long, id)));
    while case.clock.now() < job.expires_at {
        case.advance(DAY);
    }
    assert_eq!(find(case, "long").await, None, "its files are deleted soon");
    assert_eq!(create(case, &job, "late", 1).await, ShareCreation::Ended);
    expire(&case.database).await.expect("the database answers");
    assert_eq!(job_with(case, id).await.state, State::Expired);
    assert_eq!((find(case, "long").await, listed(case, id).await), (None, vec![]));
}

pub(super) async fn end_with_their_job_and_their_user(case: &Case) {
    let user = case.user().await;
    let deleted = case.job_of(user, State::Done).await;
    let kept = case.job_of(user, State::Done).await;
    share(case, deleted, "deleted", 1).await;
    share(case, kept, "kept", 1).await;
    let job = job_with(case, deleted).await;
    assert!(case.database.delete(deleted).await.expect("the database answers"));
    assert_eq!(find(case, "deleted").await, None);
    assert_eq!(create(case, &job, "late", 1).await, ShareCreation::Ended);
    assert_eq!(rows(case).await, 1);

    let email = case.user_with(user).await.email;
    case.database.disable_user(&email).await.expect("the database answers");
    assert_eq!(find(case, "kept").await, None, "its user is disabled");
    case.database.enable_user(&email).await.expect("the database answers");
    assert!(find(case, "kept").await.is_some());
    let job = job_with(case, kept).await;
    case.database.delete_user(user).await.expect("the database answers");
    assert_eq!((find(case, "kept").await, rows(case).await), (None, 0));
    assert_eq!(create(case, &job, "late", 1).await, ShareCreation::Ended);
}
