//! Messages on their way to the broker.

use std::collections::HashSet;
use std::time::Duration;

use jobs::message::Event;
use jobs::{FailureCode, JobId, State};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::case::{Case, archive, video};
use crate::Database;

const HOLD: Duration = Duration::from_secs(30);

/// Take messages: the jobs that they are about.
async fn take(database: &Database, most: u64) -> Vec<JobId> {
    let taken = database.take_outgoing(most, HOLD).await.expect("the database answers");
    taken.iter().map(|outgoing| outgoing.message.event.job_id()).collect()
}

/// Take everything that is due and say that the broker has it.
async fn publish_all(case: &Case) {
    let taken = case.database.take_outgoing(1000, HOLD).await.expect("the database answers");
    case.database
        .mark_published(taken.iter().map(|outgoing| outgoing.id))
        .await
        .expect("the database answers");
}

pub(super) async fn holds_what_is_taken(case: &Case) {
    assert_eq!(case.database.next_outgoing().await.expect("the database answers"), None);
    let user = case.user().await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(case.queued_for(user).await);
        case.pass(1);
    }
    let created = case.rows().await.job(jobs[0]).created_at;
    assert_eq!(case.database.next_outgoing().await.expect("the database answers"), Some(created));

    assert_eq!(take(&case.database, 2).await, jobs[..2], "the oldest first");
    assert_eq!(take(&case.other, 2).await, jobs[2..]);
    assert_eq!(take(&case.database, 2).await, []);
    let before = case.rows().await;
    case.pass(30);
    assert_eq!(case.rows().await, before, "time alone changes nothing");

    let again = case.other.take_outgoing(10, HOLD).await.expect("the database answers");
    assert_eq!(
        again.iter().map(|outgoing| outgoing.message.event.job_id()).collect::<Vec<_>>(),
        jobs,
        "nobody said more of them"
    );
    case.database.mark_published([again[1].id]).await.expect("the database answers");
    case.database.mark_published([again[1].id]).await.expect("what is gone can be gone again");
    case.pass(30);
    assert_eq!(take(&case.database, 10).await, [jobs[0], jobs[2]]);
    assert_eq!(case.rows().await.outbox.len(), 2);
}

pub(super) async fn gives_as_many_as_asked(case: &Case) {
    // A database that knows the table as almost empty plans otherwise than one that knows nothing
    // of it.
    let user = case.user().await;
    let mut jobs = vec![case.queued_for(user).await];
    case.database
        .write
        .execute_unprepared("ANALYZE outbox")
        .await
        .expect("the database can look at the table");
    for _ in 0..8 {
        jobs.push(case.queued_for(user).await);
    }
    for expected in jobs.chunks(4) {
        assert_eq!(take(&case.database, 4).await, expected);
    }
}

pub(super) async fn gives_no_message_to_two(case: &Case) {
    let user = case.user().await;
    let videos: Vec<_> = std::iter::repeat_with(video).take(200).collect();
    case.database.accept(user, &videos, None, None).await.expect("the videos are accepted");
    let taken = case.at_once(8, |_, database| async move {
        let mut all: Vec<Uuid> = Vec::new();
        loop {
            let taken = database.take_outgoing(7, HOLD).await.expect("the database answers");
            assert!(taken.len() <= 7, "as many as were asked for");
            if taken.is_empty() {
                return all;
            }
            all.extend(taken.iter().map(|outgoing| outgoing.id));
            assert!(all.len() <= 200, "there are no more");
            let done = taken.iter().step_by(2).map(|outgoing| outgoing.id);
            database.mark_published(done).await.expect("the database answers");
        }
    });
    let mut taken = taken.await.concat();
    // Who passes over what others are taking can leave the last ones behind for a moment.
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

pub(super) async fn tells_since_when_it_waits(case: &Case) {
    let since = async || case.database.unpublished_since().await.expect("the database answers");
    assert_eq!(since().await, None);
    case.queued().await;
    let created = case.rows().await.outbox[0].created_at;
    case.pass(5);
    let retried = case.queued().await;
    assert_eq!(since().await, Some(created));
    // A broker that refuses makes relays take the same messages again and again.
    for _ in 0..3 {
        let taken = case.database.take_outgoing(10, HOLD).await.expect("the database answers");
        assert_eq!(since().await, Some(created), "what is taken is not published");
        case.database
            .postpone(taken.iter().map(|row| row.id), Duration::from_secs(2))
            .await
            .expect("the database answers");
        case.pass(2);
    }
    assert_eq!(since().await, Some(created), "what was put off waits all the same");
    publish_all(case).await;
    assert_eq!(since().await, None);

    case.database
        .fail(&case.claim(retried).await, FailureCode::StorageError, "no answer")
        .await
        .expect("the database answers");
    assert_eq!(since().await, None, "a pause is no delay");
    let due = case.rows().await.job(retried).next_attempt_at;
    case.pass(31);
    assert_eq!(since().await, due, "it counts from the end of the pause on");
}

pub(super) async fn waits_as_it_is_told(case: &Case) {
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
    case.pass(60);
    assert_eq!(take(&case.database, 10).await, []);
    case.pass(60);
    assert_eq!(take(&case.database, 10).await, [id]);
    case.database.mark_published([outgoing.id]).await.expect("the database answers");
    case.database.postpone([outgoing.id], Duration::ZERO).await.expect("the database answers");
    assert_eq!(
        case.database.next_outgoing().await.expect("the database answers"),
        None,
        "what is published stays published"
    );
}

pub(super) async fn invites_again(case: &Case) {
    let waited = Duration::from_mins(1);
    let invite =
        async || case.database.republish_invitations(waited).await.expect("the database answers");
    let retried = case.queued().await;
    let claim = case.claim(retried).await;
    case.database
        .fail(&claim, FailureCode::StorageError, "no answer")
        .await
        .expect("the database answers");
    let released = case.queued().await;
    case.database.release(&case.claim(released).await).await.expect("the database answers");
    case.job_in(State::Processing).await;
    for state in [State::Done, State::Failed, State::Cancelled] {
        case.job_in(state).await;
    }
    let queued = case.queued().await;
    case.pass(60);
    assert_eq!(invite().await, 0, "every message is in the outbox");

    // A minute has passed for those that could have been claimed all the time, half of one for the
    // job whose next attempt was due.
    publish_all(case).await;
    assert_eq!(case.rows().await.outbox, []);
    assert_eq!(invite().await, 2);
    assert_eq!(invite().await, 0, "they are invited now");
    assert_eq!(sorted(take(&case.database, 10).await), sorted(vec![released, queued]));
    case.pass(30);
    assert_eq!(invite().await, 1);
    let due = case.rows().await.outbox;
    assert!(
        due.iter().all(|row| row.run_after <= case.clock.now()),
        "what is invited again is invited at once"
    );
    publish_all(case).await;
    assert!(
        case.database.claim(retried, "w").await.expect("the database answers").is_some(),
        "the job could have been claimed"
    );

    let young = case.queued().await;
    publish_all(case).await;
    case.pass(59);
    assert_eq!(invite().await, 2, "the young job has not waited long enough");
    assert!(case.rows().await.outbox.iter().all(|row| row.job_id != young.0));
    case.pass(1);
    assert_eq!(invite().await, 1);

    let claim = case.claim(queued).await;
    case.database.finish(&claim, &archive(&claim)).await.expect("the database answers");
    let last = case.database.take_outgoing(1000, HOLD).await.expect("the database answers");
    assert!(last.iter().any(|out| matches!(&out.message.event, Event::Completed(completed) if completed.job_id == queued)));
}

pub(super) async fn tells_again(case: &Case) {
    let waited = Duration::from_mins(1);
    let tell =
        async || case.database.republish_outcomes(waited).await.expect("the database answers");
    let (done, failed, noted) = (
        case.job_in(State::Done).await,
        case.job_in(State::Failed).await,
        case.job_in(State::Done).await,
    );
    for state in [State::Queued, State::Processing, State::Cancelled] {
        case.job_in(state).await;
    }
    case.database.create_notification(noted, "job.completed").await.expect("the database answers");
    case.pass(60);
    assert_eq!(tell().await, 0, "every message is in the outbox");
    let first = case.database.take_outgoing(1000, HOLD).await.expect("the database answers");
    publish_all(case).await;
    case.database
        .mark_published(first.iter().map(|outgoing| outgoing.id))
        .await
        .expect("the database answers");
    assert_eq!(tell().await, 2, "one of three is noted");
    assert_eq!(tell().await, 0, "they are told now");

    let again = case.database.take_outgoing(1000, HOLD).await.expect("the database answers");
    assert_eq!(
        sorted(again.iter().map(|outgoing| outgoing.message.event.job_id()).collect()),
        sorted(vec![done, failed])
    );
    for outgoing in &again {
        assert!(
            first.iter().any(|first| first.message.event == outgoing.message.event),
            "{outgoing:?} was said otherwise"
        );
    }
    case.database
        .mark_published(again.iter().map(|outgoing| outgoing.id))
        .await
        .expect("the database answers");
    case.database.create_notification(done, "job.completed").await.expect("the database answers");
    case.database.create_notification(failed, "job.failed").await.expect("the database answers");
    assert_eq!(tell().await, 0);

    let young = case.job_in(State::Done).await;
    publish_all(case).await;
    case.pass(59);
    assert_eq!(tell().await, 0, "its message may be on its way");
    case.pass(1);
    assert_eq!(tell().await, 1);
    publish_all(case).await;
    case.database.mark_files_removed(young).await.expect("the database answers");
    assert_eq!(tell().await, 0, "there is nothing to tell any more");
}

pub(super) async fn lets_go_of_what_was_taken(case: &Case) {
    let (waiting, retried) = (case.queued().await, case.queued().await);
    publish_all(case).await;
    let (taken, done) = (case.queued().await, case.job_in(State::Done).await);
    case.database
        .fail(&case.claim(retried).await, FailureCode::StorageError, "no answer")
        .await
        .expect("the database answers");
    case.database.create_notification(done, "job.completed").await.expect("the database answers");
    assert_eq!(take(&case.database, 10).await.len(), 3, "the message about the retry is not due");
    assert_eq!(
        case.database.take_notifications(10, HOLD).await.expect("the database answers").len(),
        1
    );

    case.database.release_holds().await.expect("the database answers");
    let mails = case.other.take_notifications(10, HOLD).await.expect("the database answers");
    assert_eq!(mails.iter().map(|due| due.job.id).collect::<Vec<_>>(), [done]);
    let again = take(&case.other, 10).await;
    assert_eq!(sorted(again), sorted(vec![taken, done, done]));
    assert!(
        case.rows().await.outbox.iter().all(|row| row.job_id != waiting.0),
        "what was published stays published"
    );
    case.pass(30);
    assert!(take(&case.other, 10).await.contains(&retried), "its pause is over");
}

fn sorted(mut jobs: Vec<JobId>) -> Vec<JobId> {
    jobs.sort_unstable();
    jobs
}
