//! Quotas of users, and the reservations that keep them exact.

use std::sync::Arc;
use std::time::Duration;

use jobs::{FailureCode, JobId, State, UserId};

use super::case::{Case, accept_begun, archive, claim_job, reap, video};
use crate::accept::{Accepted, Video};
use crate::connection::{Database, Quotas, Rules};
use crate::quotas::{Refusal, Reservation, Usage};

/// Connection of another process with these quotas.
fn limited(database: &Database, quotas: Quotas) -> Database {
    let mut limited = database.clone();
    limited.rules = Arc::new(Rules { quotas, ..Rules::default() });
    limited
}

fn bytes(stored_bytes: u64) -> Quotas {
    Quotas { stored_bytes, ..Quotas::default() }
}

async fn begin(database: &Database, user: UserId, least: u64, most: u64) -> (Video, Reservation) {
    let video = video();
    let begun = database.begin_upload(user, video.id, &video.path, least..=most).await;
    (video, begun.expect("the database answers"))
}

async fn stored(database: &Database, user: UserId) -> u64 {
    database.usage(user).await.expect("the database answers").stored_bytes
}

pub(super) async fn are_not_exceeded_by_simultaneous_uploads(case: &Case) {
    let user = case.user().await;
    let granted = case.run_concurrently(20, move |_, database| async move {
        let database = limited(&database, bytes(1000));
        let (video, begun) = begin(&database, user, 70, 100).await;
        let Reservation::Granted(first) = begun else { return 0 };
        let more = database.extend_upload(user, video.id, 30..=60).await;
        match more.expect("the database answers") {
            Reservation::Granted(more) => first + more,
            Reservation::Refused(refusal) => {
                assert!(matches!(refusal, Refusal::StoredBytes(..=1000)), "{refusal:?}");
                first
            }
        }
    });
    let granted: u64 = granted.await.iter().sum();
    assert!((931..=1000).contains(&granted), "{granted}");
    assert_eq!(stored(&case.other, user).await, granted);
    let (_, begun) = begin(&limited(&case.database, bytes(1000)), user, 100, 100).await;
    assert_eq!(begun, Reservation::Refused(Refusal::StoredBytes(granted)));
    let neighbor = case.user().await;
    let (_, begun) = begin(&limited(&case.database, bytes(1000)), neighbor, 0, 5000).await;
    assert_eq!(begun, Reservation::Granted(1000), "as much as is left");
}

pub(super) async fn are_settled_exactly(case: &Case) {
    let (user, database) = (case.user().await, limited(&case.database, bytes(10_000)));
    let (video, begun) = begin(&database, user, 1, 5000).await;
    assert_eq!(begun, Reservation::Granted(5000));
    let usage = database.usage(user).await.expect("the database answers");
    assert_eq!(usage, Usage { unfinished_jobs: 1, stored_bytes: 5000 });
    database.settle_upload(video.id, video.size_bytes).await.expect("the database answers");
    assert_eq!(stored(&database, user).await, video.size_bytes);
    let accepted = accept_begun(&database, user, std::slice::from_ref(&video), None, None).await;
    assert!(matches!(accepted, Ok(Accepted::New(_))), "{accepted:?}");
    let usage = database.usage(user).await.expect("the database answers");
    assert_eq!(usage, Usage { unfinished_jobs: 1, stored_bytes: video.size_bytes });

    // The archive of an attempt, which fails, and of another one.
    let extend = async |claim, least, most| {
        let extended = database.extend_archive(claim, least..=most).await;
        extended.expect("the database answers")
    };
    let claim = claim_job(&database, video.id, "w").await.expect("it waits");
    assert_eq!(extend(&claim, 1, 20_000).await, Reservation::Granted(9000));
    assert_eq!(extend(&claim, 1, 1).await, Reservation::Refused(Refusal::StoredBytes(10_000)));
    let failed = database.fail(&claim, FailureCode::StorageError, "no answer").await;
    failed.expect("the database answers");
    assert_eq!(stored(&database, user).await, video.size_bytes, "nothing is reserved anymore");
    assert_eq!(extend(&claim, 1, 1).await, Reservation::Refused(Refusal::Ended));
    case.advance(30);
    let claim = claim_job(&database, video.id, "w").await.expect("it is due");
    assert_eq!(stored(&database, user).await, video.size_bytes);
    assert_eq!(extend(&claim, 500, 4000).await, Reservation::Granted(4000));
    assert_eq!(stored(&database, user).await, video.size_bytes + 4000);
    database.finish(&claim, &archive(&claim)).await.expect("the database answers");
    assert_eq!(stored(&database, user).await, video.size_bytes + archive(&claim).size_bytes);
}

pub(super) async fn are_freed_after_a_crash(case: &Case) {
    const HOLD: Duration = Duration::from_mins(10);
    let (user, database) = (case.user().await, limited(&case.database, bytes(10_000)));
    let (upload, _) = begin(&database, user, 1, 3000).await;
    let id = case.queued_for(user).await;
    let claim = claim_job(&database, id, "w").await.expect("it waits");
    database.extend_archive(&claim, 1..=2000).await.expect("the database answers");
    assert_eq!(stored(&database, user).await, 3000 + 1000 + 2000);
    case.advance(61);
    reap(&database).await.expect("the database answers");
    assert_eq!(stored(&database, user).await, 3000 + 1000, "the lease has ended");
    database.abandon_uploads().await.expect("the database answers");
    let extended = database.extend_upload(user, upload.id, 1..=1).await;
    let refused = Reservation::Refused(Refusal::Ended);
    assert_eq!(extended.expect("the database answers"), refused);
    assert_eq!(stored(&database, user).await, 3000 + 1000, "the file may be there");
    let taken = database.take_abandoned_uploads(10, HOLD).await.expect("the database answers");
    assert_eq!(taken.len(), 1);
    database.end_upload(upload.id).await.expect("the database answers");
    assert_eq!(stored(&database, user).await, 1000);
}

pub(super) async fn limit_the_numbers_of_jobs(case: &Case) {
    let count = async |quotas: Quotas, user: UserId| {
        let granted = case.run_concurrently(20, move |_, database| async move {
            let database = limited(&database, quotas);
            let (video, begun) = begin(&database, user, 0, 0).await;
            match begun {
                Reservation::Granted(_) => {
                    let accepted = accept_begun(&database, user, &[video], None, None).await;
                    assert!(matches!(accepted, Ok(Accepted::New(_))), "{accepted:?}");
                    true
                }
                Reservation::Refused(_) => false,
            }
        });
        granted.await.into_iter().filter(|granted| *granted).count()
    };
    let user = case.user().await;
    assert_eq!(count(Quotas { unfinished_jobs: 5, ..Quotas::default() }, user).await, 5);
    let user = case.user().await;
    let per_hour = Quotas { jobs_per_hour: 5, ..Quotas::default() };
    assert_eq!(count(per_hour, user).await, 5);
    // Jobs that are deleted still count.
    for row in case.rows().await.jobs {
        let id = JobId(row.id);
        case.database.cancel(id, State::Queued).await.expect("the database answers");
        assert!(case.database.delete(id).await.expect("the database answers"));
    }
    assert_eq!(count(per_hour, user).await, 0);
    let refusal = limited(&case.database, per_hour).check_quotas(user, 0).await;
    let Some(Refusal::JobsPerHour(left)) = refusal.expect("the database answers") else {
        panic!("the user has had five jobs")
    };
    assert!(left <= Duration::from_hours(1) && left > Duration::from_mins(59), "{left:?}");
    case.clock.advance(left);
    case.database.purge_expired().await.expect("the database answers");
    let begun = count(per_hour, user).await;
    assert!((1..=5).contains(&begun), "{begun}");
    case.advance(3600);
    assert_eq!(count(per_hour, user).await, 5);

    let unknown = begin(&case.database, UserId::generate(), 0, 0).await.1;
    assert_eq!(unknown, Reservation::Refused(Refusal::UnknownUser));
}
