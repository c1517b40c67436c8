//! Queries for jobs and their histories.

use jobs::{FailureCode, JobId, State, Time, UserId};

use super::case::{Case, accept, archive, video};
use crate::reading::Page;

/// Ids of the jobs of one page.
async fn page(case: &Case, user: UserId, page: Page) -> Vec<JobId> {
    let jobs = case.database.list_jobs(user, &page).await.expect("the database answers");
    assert!(
        jobs.iter()
            .all(|job| job.user_id == user && page.state.is_none_or(|state| job.state == state))
    );
    jobs.iter().map(|job| job.id).collect()
}

/// Create `count` jobs of a user.
async fn accept_videos(case: &Case, user: UserId, count: usize) -> Vec<JobId> {
    let videos: Vec<_> = std::iter::repeat_with(video).take(count).collect();
    accept(&case.database, user, &videos, None, None).await.expect("the videos are accepted");
    videos.iter().map(|video| video.id).collect()
}

async fn cancel_queued(case: &Case, id: JobId) {
    let cancelled = case.database.cancel(id, State::Queued).await;
    cancelled.expect("the database answers").expect("the job is queued");
}

/// Read all jobs of a user in a state, by pages of at most `limit`, while further jobs are accepted
/// and cancelled.
async fn read_pages(case: &Case, user: UserId, state: Option<State>, limit: u64) -> Vec<JobId> {
    let (mut read, mut older_than) = (Vec::new(), None);
    loop {
        let next = page(case, user, Page { state, older_than, limit }).await;
        assert!(
            next.len() as u64 <= limit
                && next.iter().all(|id| older_than.is_none_or(|last| *id < last))
        );
        let Some(last) = next.last() else { return read };
        older_than = Some(*last);
        read.extend(next);
        // Jobs that are accepted meanwhile are newer than all jobs still to be read.
        case.queued_for(user).await;
        cancel_queued(case, case.queued_for(user).await).await;
    }
}

pub(super) async fn lists_jobs_by_page(case: &Case) {
    let (user, neighbor) = (case.user().await, case.user().await);
    assert_eq!(page(case, user, Page { limit: 10, ..Page::default() }).await, []);
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.extend(accept_videos(case, user, 50).await);
        accept_videos(case, neighbor, 3).await;
    }
    jobs.reverse();
    let (cancelled, queued): (Vec<_>, Vec<_>) =
        jobs.iter().enumerate().partition(|(number, _)| number % 3 == 0);
    let [cancelled, queued] =
        [cancelled, queued].map(|some| some.into_iter().map(|(_, id)| *id).collect::<Vec<_>>());
    for id in &cancelled {
        cancel_queued(case, *id).await;
    }
    for (state, expected) in
        [(None, &jobs), (Some(State::Cancelled), &cancelled), (Some(State::Queued), &queued)]
    {
        for limit in [1000, 40, expected.len() as u64] {
            let read = read_pages(case, user, state, limit).await;
            let known = read.iter().filter(|id| expected.contains(id)).copied().collect::<Vec<_>>();
            assert_eq!(&known, expected, "{state:?} by {limit}");
            let newer = read.len() - known.len();
            assert_eq!(read[newer..], known, "newer jobs come first");
        }
    }
    assert_eq!(
        page(case, user, Page { state: Some(State::Done), older_than: None, limit: 10 }).await,
        []
    );
    assert_eq!(page(case, neighbor, Page { limit: 100, ..Page::default() }).await.len(), 15);

    let mut some = case
        .database
        .jobs_by_id(&[jobs[7], JobId::generate(), jobs[3]])
        .await
        .expect("the database answers");
    some.sort_by_key(|job| std::cmp::Reverse(job.id));
    assert_eq!(some.iter().map(|job| job.id).collect::<Vec<_>>(), [jobs[3], jobs[7]]);
    assert_eq!(case.database.jobs_by_id(&[]).await.expect("the database answers"), []);
}

pub(super) async fn returns_the_history(case: &Case) {
    let (id, began) = (case.queued().await, case.clock.now());
    case.advance(100);
    case.database
        .fail(&case.claim(id).await, FailureCode::StorageError, "no answer")
        .await
        .expect("the database answers");
    case.advance(30);
    let claim = case.claim(id).await;
    case.database.finish(&claim, &archive(&claim)).await.expect("the database answers");
    case.job_in(State::Failed).await;

    let history = case.database.history(id).await.expect("the database answers");
    let states: Vec<_> =
        history.iter().map(|change| (change.old_state, change.new_state)).collect();
    assert_eq!(
        states,
        [
            (None, State::Uploaded),
            (Some(State::Uploaded), State::Queued),
            (Some(State::Queued), State::Processing),
            (Some(State::Processing), State::Processing),
            (Some(State::Processing), State::Processing),
            (Some(State::Processing), State::Done),
        ]
    );
    assert_eq!(history[3].metadata["error_code"], "STORAGE_ERROR");
    let next =
        history[3].metadata["next_attempt_at"].as_str().and_then(|text| text.parse::<Time>().ok());
    assert_eq!(next.map(|next| (next - history[3].at).num_seconds()), Some(30));
    assert!(history.is_sorted_by_key(|change| change.at));
    assert!(history[1].at <= began && history[2].at > began);
    let row = case.rows().await.job(id).clone();
    assert_eq!(
        (row.created_at, row.started_at, row.completed_at),
        (history[0].at, Some(history[2].at), Some(history[5].at))
    );
}

pub(super) async fn finds_any_number_of_jobs(case: &Case) {
    let known = [case.queued().await, case.queued().await];
    // More than a statement of PostgreSQL may have parameters.
    let mut ids = vec![known[0]];
    ids.extend(std::iter::repeat_with(JobId::generate).take(70_000));
    ids.push(known[1]);
    let jobs = case.database.jobs_by_id(&ids).await.expect("the database answers");
    let mut found: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    found.sort_unstable();
    assert_eq!(found, known);
    assert_eq!(case.database.jobs_by_id(&[]).await.expect("the database answers"), []);
}

pub(super) async fn reports_the_oldest_waiting_job(case: &Case) {
    let oldest = async || case.database.oldest_waiting().await.expect("the database answers");
    let since = async |id: JobId| {
        case.database
            .job(id)
            .await
            .expect("the database answers")
            .expect("the job exists")
            .created_at
    };
    assert_eq!(oldest().await, None);
    let first = case.queued().await;
    case.advance(10);
    let second = case.queued().await;
    assert_eq!(oldest().await, Some(since(first).await));
    let claim = case.claim(first).await;
    assert_eq!(oldest().await, Some(since(second).await), "a running job does not wait");
    case.claim(second).await;
    case.database
        .fail(&claim, FailureCode::StorageError, "no answer")
        .await
        .expect("the database answers");
    assert_eq!(oldest().await, None, "a job in its pause does not wait");
    let due = case
        .database
        .job(first)
        .await
        .expect("the database answers")
        .expect("the job exists")
        .next_attempt_at;
    case.advance(31);
    assert!(due.is_some());
    assert_eq!(oldest().await, due, "it waits since the end of its pause");
}
