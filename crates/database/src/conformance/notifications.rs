//! Notifications of users.

use std::collections::HashSet;
use std::time::Duration;

use jobs::{JobId, State};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::case::Case;
use crate::connection::Database;
use crate::notifications::DueNotification;

const HOLD: Duration = Duration::from_mins(1);

/// Take all due notifications.
async fn take(database: &Database) -> Vec<DueNotification> {
    database.take_notifications(100, HOLD).await.expect("the database answers")
}

/// Lines about the notifications of a job.
async fn lines(case: &Case, id: JobId) -> Vec<String> {
    case.lines(id).await.into_iter().filter(|line| line.starts_with("notification")).collect()
}

pub(super) async fn are_created_once(case: &Case) {
    let id = case.job_in(State::Done).await;
    let before = case.rows().await;
    let done = case.run_concurrently(20, move |_, database| async move {
        database.create_notification(id, "job.completed").await
    });
    for result in done.await {
        result.expect("a repetition has no effect");
    }
    assert_eq!(lines(case, id).await, ["notification job.completed PENDING attempts=0"]);
    let first = case.rows().await;
    case.database
        .create_notification(id, "job.completed")
        .await
        .expect("a repetition has no effect");
    assert_eq!(case.rows().await, first);
    assert_eq!(
        (first.jobs, first.events, first.outbox),
        (before.jobs, before.events, before.outbox)
    );

    let neighbor = case.job_in(State::Failed).await;
    let due = take(&case.database).await;
    let due = due.iter().find(|due| due.job.id == id).expect("a notification is due");
    case.database.mark_notification_sent(due.id).await.expect("the database answers");
    case.database
        .create_notification(id, "job.completed")
        .await
        .expect("a repetition has no effect");
    assert_eq!(lines(case, id).await, ["notification job.completed SENT attempts=1 sent=yes"]);
    assert!(take(&case.database).await.is_empty(), "no user is notified twice");

    case.database
        .create_notification(id, "job.expired")
        .await
        .expect("another outcome has its own notification");
    case.database
        .create_notification(neighbor, "job.failed")
        .await
        .expect("another job has its own notification");
    case.database
        .create_notification(JobId::generate(), "job.failed")
        .await
        .expect("an event of a deleted job is ignored");
    assert_eq!(case.rows().await.notifications.len(), 3);
}

pub(super) async fn are_held_and_sent(case: &Case) {
    let id = case.job_in(State::Done).await;
    let row = case.rows().await.notifications.remove(0);
    for attempts in 1..=2 {
        let [due] = &take(&case.database).await[..] else { panic!("one notification is due") };
        assert_eq!((due.id, due.attempts, due.created_at), (row.id, attempts, row.created_at));
        assert_eq!(
            Some(&due.job),
            case.database.job(id).await.expect("the database answers").as_ref()
        );
        assert_eq!(
            Some(&due.user),
            case.database.user(due.job.user_id).await.expect("the database answers").as_ref()
        );
        case.advance(59);
        assert!(take(&case.other).await.is_empty(), "another process holds it");
        case.advance(1);
    }
    let neighbor = case.job_in(State::Done).await;
    case.database.mark_notification_sent(row.id).await.expect("the database answers");
    case.advance(3600);
    assert_eq!(
        take(&case.database).await.iter().map(|due| due.job.id).collect::<Vec<_>>(),
        [neighbor]
    );
    assert_eq!(lines(case, id).await, ["notification job.completed SENT attempts=2 sent=yes"]);
}

pub(super) async fn fail_permanently(case: &Case) {
    let id = case.job_in(State::Failed).await;
    let failed = async |mail: Uuid, pause| {
        case.database
            .record_notification_failure(mail, "no route to host", pause)
            .await
            .expect("the database answers");
    };
    let [due] = &take(&case.database).await[..] else { panic!("one notification is due") };
    failed(due.id, Some(Duration::from_mins(5))).await;
    assert_eq!(
        lines(case, id).await,
        ["notification job.failed PENDING attempts=1 error=no route to host"]
    );
    case.advance(5 * 60 - 1);
    assert!(take(&case.database).await.is_empty(), "the pause has not ended");
    case.advance(1);
    let [due] = &take(&case.database).await[..] else { panic!("the pause has ended") };
    assert_eq!(due.attempts, 2);
    let neighbor = case.job_in(State::Failed).await;
    failed(due.id, None).await;
    assert_eq!(
        lines(case, id).await,
        ["notification job.failed FAILED attempts=2 error=no route to host"]
    );
    assert_eq!(lines(case, neighbor).await, ["notification job.failed PENDING attempts=0"]);
    case.advance(24 * 60 * 60);
    let due: Vec<_> = take(&case.database).await.iter().map(|due| due.job.id).collect();
    assert_eq!(due, [neighbor], "a failed notification is kept, but not sent");
}

pub(super) async fn respect_the_limit(case: &Case) {
    // With statistics that describe the table as almost empty, PostgreSQL plans the query in a way
    // in which the limit could fail.
    let mut jobs = Vec::new();
    for number in 0..9 {
        jobs.push(case.job_in(State::Cancelled).await);
        case.database
            .create_notification(jobs[number], "job.cancelled")
            .await
            .expect("the database answers");
        if number == 0 {
            case.database
                .write
                .execute_unprepared("ANALYZE notifications")
                .await
                .expect("the statistics are updated");
        }
    }
    for expected in jobs.chunks(4) {
        let taken = case.database.take_notifications(4, HOLD).await.expect("the database answers");
        assert_eq!(sorted(taken.iter().map(|due| due.job.id).collect()), expected);
    }
}

fn sorted(mut jobs: Vec<JobId>) -> Vec<JobId> {
    jobs.sort_unstable();
    jobs
}

pub(super) async fn are_taken_once(case: &Case) {
    for _ in 0..30 {
        let id = case.job_in(State::Cancelled).await;
        case.database.create_notification(id, "job.cancelled").await.expect("the database answers");
    }
    let taken = case.run_concurrently(6, |_, database| async move {
        let mut all: Vec<Uuid> = Vec::new();
        loop {
            let taken = database.take_notifications(4, HOLD).await.expect("the database answers");
            assert!(taken.len() <= 4, "the limit is respected");
            if taken.is_empty() {
                return all;
            }
            all.extend(taken.iter().map(|due| due.id));
            assert!(all.len() <= 30, "each is taken once");
        }
    });
    let mut taken = taken.await.concat();
    taken.extend(take(&case.database).await.iter().map(|due| due.id));
    assert_eq!(taken.len(), 30);
    assert_eq!(taken.into_iter().collect::<HashSet<_>>().len(), 30);
}
