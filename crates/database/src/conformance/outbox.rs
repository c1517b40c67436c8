//! Messages on their way to the broker.

use std::collections::HashSet;
use std::time::Duration;

use jobs::message::Event;
use jobs::{FailureCode, JobId, State};
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
    case.database.published(taken.iter().map(|outgoing| outgoing.id)).await.expect("the database answers");
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
    assert_eq!(again.iter().map(|outgoing| outgoing.message.event.job_id()).collect::<Vec<_>>(), jobs, "nobody said more of them");
    case.database.published([again[1].id]).await.expect("the database answers");
    case.database.published([again[1].id]).await.expect("what is gone can be gone again");
    case.pass(30);
    assert_eq!(take(&case.database, 10).await, [jobs[0], jobs[2]]);
    assert_eq!(case.rows().await.outbox.len(), 2);
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
            let done = taken.iter().step_by(2).map(|outgoing| outgoing.id);
            database.published(done).await.expect("the database answers");
        }
    });
    let mut taken = taken.await.concat();
    // Who passes over what others are taking can leave the last ones behind for a moment.
    taken.extend(case.database.take_outgoing(1000, HOLD).await.expect("the database answers").iter().map(|outgoing| outgoing.id));
    assert_eq!(taken.len(), 200);
    assert_eq!(taken.into_iter().collect::<HashSet<_>>().len(), 200);
}

pub(super) async fn waits_as_it_is_told(case: &Case) {
    let id = case.queued().await;
    let [outgoing] = &case.database.take_outgoing(10, HOLD).await.expect("the database answers")[..] else {
        panic!("there is one message")
    };
    case.database.publish_later([outgoing.id], Duration::from_mins(2)).await.expect("the database answers");
    case.pass(60);
    assert_eq!(take(&case.database, 10).await, []);
    case.pass(60);
    assert_eq!(take(&case.database, 10).await, [id]);
    case.database.published([outgoing.id]).await.expect("the database answers");
    case.database.publish_later([outgoing.id], Duration::ZERO).await.expect("the database answers");
    assert_eq!(case.database.next_outgoing().await.expect("the database answers"), None, "what is published stays published");
}

pub(super) async fn invites_again(case: &Case) {
    let waited = Duration::from_mins(1);
    let invite = async || case.database.invite_again(waited).await.expect("the database answers");
    let retried = case.queued().await;
    let claim = case.claim(retried).await;
    case.database.fail(&claim, FailureCode::StorageError, "no answer").await.expect("the database answers");
    let released = case.queued().await;
    case.database.release(&case.claim(released).await).await.expect("the database answers");
    case.job_in(State::Processing).await;
    for state in [State::Done, State::Failed, State::Cancelled] {
        case.job_in(state).await;
    }
    let queued = case.queued().await;
    case.pass(60);
    assert_eq!(invite().await, 0, "every message is in the outbox");

    // A minute has passed for those that could have been claimed all the time, half of one for the job whose next attempt was due.
    publish_all(case).await;
    assert_eq!(case.rows().await.outbox, []);
    assert_eq!(invite().await, 2);
    assert_eq!(invite().await, 0, "they are invited now");
    assert_eq!(sorted(take(&case.database, 10).await), sorted(vec![released, queued]));
    case.pass(30);
    assert_eq!(invite().await, 1);
    let due = case.rows().await.outbox;
    assert!(due.iter().all(|row| row.run_after <= case.clock.now()), "what is invited again is invited at once");
    publish_all(case).await;
    assert!(case.database.claim(retried, "w").await.expect("the database answers").is_some(), "the job could have been claimed");

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

fn sorted(mut jobs: Vec<JobId>) -> Vec<JobId> {
    jobs.sort_unstable();
    jobs
}
