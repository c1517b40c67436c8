//! Counters of jobs and of the users' usage.

use std::collections::BTreeMap;

use jobs::{State, UserId};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};

use super::case::{Case, archive};
use crate::connection::Database;
use crate::counters::StateCount;
use crate::quotas::Usage;
use crate::rows::{counter_change, upload, user};
use crate::uploads::RECEIVING;

/// Assert that the counters are those of the rows.
pub(super) async fn check(case: &Case, why: &str) {
    let (mut states, mut users) = (BTreeMap::new(), BTreeMap::<UserId, Usage>::new());
    for row in case.rows().await.jobs {
        let state: State = row.status.parse().expect("a state");
        *states.entry(state.name()).or_default() += 1;
        let usage = users.entry(UserId(row.user_id)).or_default();
        usage.unfinished_jobs += u64::from(!state.is_final());
        if !row.files_removed {
            usage.stored_bytes += (row.video_size_bytes + row.zip_size_bytes.unwrap_or(0)) as u64;
        }
    }
    let received = upload::Entity::find().filter(upload::Column::State.eq(RECEIVING));
    let received = received.all(&case.database.read).await.expect("uploads can be read");
    for row in received {
        let usage = users.entry(UserId(row.user_id)).or_default();
        usage.unfinished_jobs += 1;
        usage.stored_bytes += row.reserved_bytes as u64;
    }
    let count = |state: State| states.get(state.name()).copied().unwrap_or_default();
    let expected = State::ALL.map(|state| StateCount { state, count: count(state) });
    assert_eq!(case.database.counts().await.expect("the database answers"), expected, "{why}");
    for (user, expected) in users {
        let usage = case.other.usage(user).await.expect("the database answers");
        assert_eq!(usage, expected, "{why}");
    }
}

async fn add_up(database: &Database) {
    database.add_up_changes().await.expect("the database answers");
}

/// Number of changes that are not added up.
async fn pending(case: &Case) -> u64 {
    let changes = counter_change::Entity::find().count(&case.database.read).await;
    changes.expect("changes can be counted")
}

pub(super) async fn count_jobs_by_state(case: &Case) {
    let none = State::ALL.map(|state| StateCount { state, count: 0 });
    assert_eq!(case.database.counts().await.expect("the database answers"), none);
    // The expired jobs first, because other jobs would expire with them.
    let made = [
        State::Expired,
        State::Cancelled,
        State::Failed,
        State::Done,
        State::Processing,
        State::Queued,
    ];
    for (number, state) in made.iter().enumerate() {
        for _ in 0..=number {
            case.job_in(*state).await;
        }
    }
    let expected = State::ALL.map(|state| {
        let number = made.iter().position(|made| *made == state);
        StateCount { state, count: number.map_or(0, |number| number as u64 + 1) }
    });
    assert_eq!(case.database.counts().await.expect("the database answers"), expected);
    add_up(&case.database).await;
    assert_eq!(case.database.counts().await.expect("the database answers"), expected);
    assert_eq!(pending(case).await, 0);
}

pub(super) async fn follow_every_change(case: &Case) {
    let user = case.user().await;
    let (done, deleted) = (case.queued_for(user).await, case.queued_for(user).await);
    check(case, "accepted").await;
    for id in [done, deleted] {
        let claim = case.claim(id).await;
        check(case, "claimed").await;
        case.database.finish(&claim, &archive(&claim)).await.expect("the database answers");
        check(case, "finished").await;
    }
    add_up(&case.other).await;
    check(case, "added up").await;
    assert!(case.database.delete(deleted).await.expect("the database answers"));
    check(case, "deleted").await;
    for state in [State::Expired, State::Failed, State::Cancelled, State::Processing] {
        case.job_in(state).await;
        check(case, state.name()).await;
    }
    case.database.mark_files_removed(done).await.expect("the database answers");
    check(case, "files removed").await;
    user::Entity::delete_by_id(user.0).exec(&case.database.write).await.expect("it is deleted");
    let usage = case.database.usage(user).await.expect("the database answers");
    assert_eq!(usage, Usage::default());
    check(case, "user deleted with all jobs").await;
    add_up(&case.database).await;
    check(case, "added up again").await;
}

pub(super) async fn are_added_up_once(case: &Case) {
    for _ in 0..5 {
        case.job_in(State::Done).await;
    }
    let tasks = case.run_concurrently(6, |number, database| async move {
        if number % 3 == 0 {
            // A change that is committed meanwhile is not lost.
            let counts = database.counts().await.expect("the database answers");
            assert_eq!(counts.iter().map(|count| count.count).sum::<u64>(), 5);
        }
        add_up(&database).await;
    });
    tasks.await;
    add_up(&case.database).await;
    assert_eq!(pending(case).await, 0);
    check(case, "added up by several processes").await;
}
