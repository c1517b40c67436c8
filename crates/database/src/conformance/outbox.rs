//! Messages in the outbox.

use std::collections::HashSet;
use std::time::Duration;

use jobs::{FailureCode, JobId};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::case::{Case, accept, video};
use crate::connection::Database;

pub(super) const HOLD: Duration = Duration::from_secs(30);

/// Take messages. Return the ids of their jobs.
pub(super) async fn take(database: &Database, most: u64) -> Vec<JobId> {
    let taken = database.take_outgoing(most, HOLD).await.expect("the database answers");
    taken.iter().map(|outgoing| outgoing.message.job_id).collect()
}

/// Publish all messages that are due.
pub(super) async fn publish_all(case: &Case) {
    let taken = case.database.take_outgoing(1000, HOLD).await.expect("the database answers");
    case.database
        .mark_published(taken.iter().map(|outgoing| outgoing.id))
        .await
        .expect("the database answers");
}

pub(super) async fn holds_taken_messages(case: &Case) {
    assert_eq!(case.database.next_outgoing().await.expect("the database answers"), None);
    let user = case.user().await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(case.queued_for(user).await);
        case.advance(1);
    }
    let created = case.rows().await.job(jobs[0]).created_at;
    assert_eq!(case.database.next_outgoing().await.expect("the database answers"), Some(created));

    assert_eq!(take(&case.database, 2).await, jobs[..2], "the oldest first");
    assert_eq!(take(&case.other, 2).await, jobs[2..]);
    assert_eq!(take(&case.database, 2).await, []);
    let before = case.rows().await;
    case.advance(30);
    assert_eq!(case.rows().await, before, "time alone changes nothing");

    let again = case.other.take_outgoing(10, HOLD).await.expect("the database answers");
    assert_eq!(
        again.iter().map(|outgoing| outgoing.message.job_id).collect::<Vec<_>>(),
        jobs,
        "they were not published"
    );
    case.database.mark_published([again[1].id]).await.expect("the database answers");
    case.database.mark_published([again[1].id]).await.expect("publishing twice is accepted");
    case.advance(30);
    assert_eq!(take(&case.database, 10).await, [jobs[0], jobs[2]]);
    assert_eq!(case.rows().await.outbox.len(), 2);
}

pub(super) async fn respects_the_limit(case: &Case) {
    // With statistics that describe the table as almost empty, PostgreSQL plans the query in a way
    // in which the limit could fail.
    let user = case.user().await;
    let mut jobs = vec![case.queued_for(user).await];
    case.database
        .write
        .execute_unprepared("ANALYZE outbox")
        .await
        .expect("the statistics are updated");
    for _ in 0..8 {
        jobs.push(case.queued_for(user).await);
    }
    for expected in jobs.chunks(4) {
        assert_eq!(take(&case.database, 4).await, expected);
    }
}

pub(super) async fn delivers_each_message_to_one_relay(case: &Case) {
    let user = case.user().await;
    let videos: Vec<_> = std::iter::repeat_with(video).take(200).collect();
    accept(&case.database, user, &videos, None, None).await.expect("the videos are accepted");
    let taken = case.run_concurrently(8, |_, database| async move {
        let mut all: Vec<Uuid> = Vec::new();
        loop {
            let taken = database.take_outgoing(7, HOLD).await.expect("the database answers");
            assert!(taken.len() <= 7, "the limit is respected");
            if taken.is_empty() {
                return all;
            }
            all.extend(taken.iter().map(|outgoing| outgoing.id));
            assert!(all.len() <= 200, "each message is taken once");
            let done = taken.iter().step_by(2).map(|outgoing| outgoing.id);
            database.mark_published(done).await.expect("the database answers");
        }
    });
    let mut taken = taken.await.concat();
    // A relay that skips rows locked by others may find nothing while some messages remain.
    taken.extend(
        case.database
            .take_outgoing(1000, HOLD)
            .await
            .expect("the database answers")
            .iter()
            .map(|outgoing| outgoing.id),
    );
    assert_eq!(taken.len(), 200);
    assert_eq!(taken.into_iter().collect::<HashSet<_>>().len(), 200);
}

pub(super) async fn reports_the_oldest_unpublished_message(case: &Case) {
    let since = async || case.database.unpublished_since().await.expect("the database answers");
    assert_eq!(since().await, None);
    case.queued().await;
    let created = case.rows().await.outbox[0].run_after;
    case.advance(5);
    let retried = case.queued().await;
    assert_eq!(since().await, Some(created));
    // While the broker rejects messages, the relay takes and postpones them repeatedly.
    for _ in 0..3 {
        let taken = case.database.take_outgoing(10, HOLD).await.expect("the database answers");
        assert_eq!(since().await, Some(created), "a taken message is not published");
        case.database
            .postpone(taken.iter().map(|row| row.id), Duration::from_secs(2))
            .await
            .expect("the database answers");
        case.advance(2);
    }
    assert_eq!(since().await, Some(created), "a postponed message is not published");
    publish_all(case).await;
    assert_eq!(since().await, None);

    case.database
        .fail(&case.claim(retried).await, FailureCode::StorageError, "no answer")
        .await
        .expect("the database answers");
    assert_eq!(since().await, None, "a message is not due during the pause");
    let due = case.rows().await.job(retried).next_attempt_at;
    case.advance(31);
    assert_eq!(since().await, due, "the message is due since the end of the pause");
}

pub(super) async fn postpones_messages(case: &Case) {
    let id = case.queued().await;
    let [outgoing] =
        &case.database.take_outgoing(10, HOLD).await.expect("the database answers")[..]
    else {
        panic!("there is one message")
    };
    case.database
        .postpone([outgoing.id], Duration::from_mins(2))
        .await
        .expect("the database answers");
    case.advance(60);
    assert_eq!(take(&case.database, 10).await, []);
    case.advance(60);
    assert_eq!(take(&case.database, 10).await, [id]);
    case.database.mark_published([outgoing.id]).await.expect("the database answers");
    case.database.postpone([outgoing.id], Duration::ZERO).await.expect("the database answers");
    assert_eq!(
        case.database.next_outgoing().await.expect("the database answers"),
        None,
        "a published message is not postponed"
    );
}
