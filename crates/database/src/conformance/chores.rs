//! Turns at the chores of the whole system.

use std::time::Duration;

use uuid::Uuid;

use super::case::Case;
use crate::chores::TURN;
use crate::connection::Database;

const INTERVAL: Duration = Duration::from_secs(5);

async fn take(database: &Database, holder: Uuid) -> bool {
    database.take_turn("cleaning", holder, INTERVAL).await.expect("the database answers")
}

async fn end(database: &Database, holder: Uuid) {
    database.end_turn("cleaning", holder).await.expect("the database answers");
}

pub(super) async fn are_done_once_per_interval(case: &Case) {
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    assert!(take(&case.database, one).await);
    assert!(!take(&case.other, two).await, "another process has the turn");
    let other = case.other.take_turn("cooking", two, INTERVAL).await;
    assert!(other.expect("the database answers"), "another chore");
    end(&case.database, one).await;
    for holder in [one, two] {
        assert!(!take(&case.other, holder).await, "the next turn is not due");
    }
    case.advance(4);
    assert!(take(&case.other, two).await);
    end(&case.database, one).await;
    case.advance(5);
    assert!(!take(&case.database, one).await, "only the holder ends its turn");
    end(&case.other, two).await;
    assert!(take(&case.database, one).await);
}

pub(super) async fn are_begun_by_one_process(case: &Case) {
    for round in 0..3 {
        let taken = case.run_concurrently(10, |_, database| async move {
            take(&database, Uuid::now_v7()).await
        });
        let winners = taken.await.into_iter().filter(|taken| *taken).count();
        assert_eq!(winners, 1, "round {round}");
        case.advance(TURN.as_secs());
    }
}

pub(super) async fn pass_from_a_frozen_process(case: &Case) {
    let (frozen, alive) = (Uuid::now_v7(), Uuid::now_v7());
    assert!(take(&case.database, frozen).await);
    case.advance(TURN.as_secs() - 1);
    assert!(!take(&case.other, alive).await);
    case.database.extend_turn("cleaning", frozen).await.expect("the database answers");
    case.advance(TURN.as_secs() - 1);
    assert!(!take(&case.other, alive).await, "the turn was extended");
    case.advance(1);
    assert!(take(&case.other, alive).await);
    case.database.extend_turn("cleaning", frozen).await.expect("the database answers");
    end(&case.database, frozen).await;
    case.advance(5);
    assert!(!take(&case.database, frozen).await, "the turn is that of another process");
}

pub(super) async fn are_not_stopped_by_a_wrong_clock(case: &Case) {
    let (wrong, right) = (Uuid::now_v7(), Uuid::now_v7());
    let hour = case.database.take_turn("cleaning", wrong, Duration::from_hours(1)).await;
    assert!(hour.expect("the database answers"));
    end(&case.database, wrong).await;
    assert!(take(&case.other, right).await, "with a shorter interval, it is due earlier");
}

pub(super) async fn are_free_after_a_restart(case: &Case) {
    assert!(take(&case.database, Uuid::now_v7()).await);
    case.other.recover_after_restart().await.expect("the database answers");
    assert!(take(&case.other, Uuid::now_v7()).await);
}
