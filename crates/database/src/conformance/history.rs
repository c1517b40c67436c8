//! History of jobs that ended long ago.

use std::time::Duration;

use jobs::{JobId, State};
use sea_orm::{ConnectionTrait, EntityTrait, QueryOrder};
use serde_json::Value;

use super::case::Case;
use super::counters;
use crate::operator::Requeue;
use crate::rows::past_job;

const DAY: u64 = 24 * 60 * 60;
const AFTER: Duration = Duration::from_secs(30 * DAY);

/// Move jobs to the history. Return their number.
async fn move_jobs(case: &Case) -> u64 {
    case.database.move_to_history(AFTER).await.expect("the database answers")
}

/// Jobs in the history.
async fn history(case: &Case) -> Vec<past_job::Model> {
    let rows = past_job::Entity::find().order_by_asc(past_job::Column::Id);
    rows.all(&case.database.read).await.expect("rows can be read")
}

/// Create a job in a final state whose files are removed.
async fn removed(case: &Case, state: State) -> JobId {
    let id = case.job_in(state).await;
    case.database.mark_files_removed(id).await.expect("the database answers");
    id
}

pub(super) async fn receives_jobs_without_files(case: &Case) {
    let expired = removed(case, State::Expired).await;
    let (failed, cancelled) =
        (removed(case, State::Failed).await, removed(case, State::Cancelled).await);
    let mut kept = vec![case.job_in(State::Done).await, case.job_in(State::Failed).await];
    kept.extend([case.queued().await, case.job_in(State::Processing).await]);
    let before = case.rows().await;
    case.advance(29 * DAY);
    assert_eq!(move_jobs(case).await, 0, "30 days start with the end of the retention");
    assert_eq!(case.rows().await, before);

    // The expired job ended its retention when it was made, the others seven days later.
    case.advance(DAY);
    assert_eq!(move_jobs(case).await, 1);
    let [past] = <[_; 1]>::try_from(history(case).await).expect("one job is in the history");
    let row = before.job(expired);
    assert_eq!((past.id, past.user_id), (row.id, row.user_id));
    assert_eq!(Some(past.ended_at), row.completed_at);
    let record: Value = serde_json::from_str(&past.record).expect("a record is JSON");
    assert_eq!(record["job"]["status"], "EXPIRED");
    assert_eq!(record["job"]["filename"], "praia.mp4");
    assert_eq!(record["job"]["frame_count"], 3);
    let states: Vec<_> = record["events"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| event["new_state"].as_str().expect("a state"))
        .collect();
    assert_eq!(states, ["UPLOADED", "QUEUED", "PROCESSING", "DONE", "EXPIRED"]);
    assert_eq!(record["notifications"][0]["event_type"], "job.completed");
    let after = case.rows().await;
    assert!(after.jobs.iter().all(|job| job.id != expired.0));
    assert!(after.events.iter().all(|event| event.job_id != expired.0));
    assert!(after.notifications.iter().all(|row| row.job_id != expired.0));
    counters::check(case, "after one job has moved").await;

    case.advance(7 * DAY);
    assert_eq!(move_jobs(case).await, 2);
    let moved: Vec<JobId> = history(case).await.iter().map(|past| JobId(past.id)).collect();
    assert_eq!(moved, [expired, failed, cancelled]);
    let remaining: Vec<JobId> = case.rows().await.jobs.iter().map(|job| JobId(job.id)).collect();
    assert_eq!(remaining, kept, "jobs with files and unfinished jobs stay");
    counters::check(case, "after all jobs have moved").await;
    // For its user and for operators, the job does not exist anymore.
    assert_eq!(case.database.job(failed).await.expect("the database answers"), None);
    let requeued = case.database.requeue(failed).await.expect("the database answers");
    assert_eq!(requeued, Requeue::NotFound);
}

pub(super) async fn receives_each_job_once(case: &Case) {
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(removed(case, State::Cancelled).await);
    }
    // One that cannot be read moves as it is.
    let corrupt = "UPDATE jobs SET warnings = 'none' WHERE status = 'CANCELLED'";
    let changed = case.database.write.execute_unprepared(corrupt).await;
    changed.expect("rows can be changed");
    case.advance(37 * DAY);
    let moved = case.run_concurrently(4, |_, database| async move {
        // Two processes may create a partition at once; one of them fails and repeats the chore.
        database.move_to_history(AFTER).await.unwrap_or_default()
    });
    let moved: u64 = moved.await.into_iter().sum();
    assert_eq!(moved + move_jobs(case).await, 10);
    let moved: Vec<JobId> = history(case).await.iter().map(|past| JobId(past.id)).collect();
    assert_eq!(moved, ids);
}

pub(super) async fn is_deleted_by_month(case: &Case) {
    let year = Duration::from_secs(365 * DAY);
    let drop = async || case.database.drop_history(year).await.expect("the database answers");
    drop().await;
    let old = removed(case, State::Cancelled).await;
    case.advance(62 * DAY);
    let new = removed(case, State::Cancelled).await;
    case.advance(37 * DAY);
    assert_eq!(move_jobs(case).await, 2);
    let ids = async || history(case).await.iter().map(|past| JobId(past.id)).collect::<Vec<_>>();
    drop().await;
    assert_eq!(ids().await, [old, new]);
    // The whole month of the old job has ended a year ago, but not that of the new one.
    case.advance((365 - 99 + 31) * DAY);
    drop().await;
    assert_eq!(ids().await, [new]);
    case.advance(62 * DAY);
    drop().await;
    assert_eq!(ids().await, []);
    // The month can be used again.
    removed(case, State::Cancelled).await;
    case.advance(37 * DAY);
    assert_eq!(move_jobs(case).await, 1);
}
