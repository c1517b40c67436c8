//! Second factors: secrets, codes and recovery codes.

use std::time::Duration;

use jobs::UserId;
use sea_orm::{EntityTrait, PaginatorTrait};

use super::case::Case;
use crate::rows::{recovery_code, second_factor};
use crate::second_factor::CodeUse;

const MAX_WRONG: u32 = 3;

/// Create a user with a second factor whose step 10 was used, and with two recovery codes.
async fn with_second_factor(case: &Case) -> UserId {
    let user = case.user().await;
    let verified = case.user_with(user).await;
    let begun = case.database.begin_second_factor(&verified, "secret").await;
    assert!(begun.expect("the database answers"));
    let codes = ["a", "b"].map(str::to_owned).to_vec();
    let on = case.database.enable_second_factor(user, "secret", 10, codes).await;
    assert!(on.expect("the database answers"));
    user
}

async fn use_code(case: &Case, user: UserId, step: Option<i64>) -> CodeUse {
    case.other.use_code(user, step, MAX_WRONG).await.expect("the database answers")
}

pub(super) async fn is_enabled_with_a_confirmed_secret(case: &Case) {
    let id = case.user().await;
    let user = case.user_with(id).await;
    let begin = async |secret: &str| {
        case.database.begin_second_factor(&user, secret).await.expect("the database answers")
    };
    let enable = async |secret: &str| {
        let codes = vec![format!("{secret} a"), format!("{secret} b")];
        let enabled = case.database.enable_second_factor(id, secret, 1, codes).await;
        enabled.expect("the database answers")
    };
    assert!(!enable("one").await, "there is no secret");
    assert!(begin("one").await && begin("two").await);
    assert!(!enable("one").await, "the secret was replaced");
    let secret = async || case.other.second_factor_secret(id).await.expect("the database answers");
    assert_eq!(secret().await.as_deref(), Some("two"));
    assert!(!case.user_with(id).await.second_factor, "it is not confirmed");
    assert!(enable("two").await);
    assert!(!enable("two").await, "it is on already");
    assert!(!begin("three").await, "the user has changed");
    assert!(case.user_with(id).await.second_factor);
    assert_eq!(case.user_with(id).await.generation, user.generation, "sessions continue");

    let disable =
        async || case.database.disable_second_factor(id).await.expect("the database answers");
    assert!(disable().await);
    assert!(!disable().await);
    assert!(!case.user_with(id).await.second_factor);
    assert_eq!(secret().await, None);
    let rows = recovery_code::Entity::find().count(&case.database.read).await;
    assert_eq!(rows.expect("they can be counted"), 0);
    assert!(begin("four").await && enable("four").await, "it can be turned on again");
}

pub(super) async fn accepts_each_code_once(case: &Case) {
    let user = with_second_factor(case).await;
    assert_eq!(use_code(case, user, Some(10)).await, CodeUse::Wrong, "it confirmed the secret");
    let used = case
        .run_concurrently(10, move |_, database| async move {
            database.use_code(user, Some(12), 100).await.expect("the database answers")
        })
        .await;
    assert_eq!(used.iter().filter(|used| **used == CodeUse::Accepted).count(), 1, "{used:?}");
    let neighbor = with_second_factor(case).await;
    assert_eq!(use_code(case, neighbor, Some(11)).await, CodeUse::Accepted);
    assert_eq!(use_code(case, neighbor, Some(11)).await, CodeUse::Wrong);
    let stranger = case.user().await;
    assert_eq!(use_code(case, stranger, Some(99)).await, CodeUse::Wrong, "there is no secret");
}

pub(super) async fn limits_wrong_codes(case: &Case) {
    case.clock.pause();
    let user = with_second_factor(case).await;
    let start = case.clock.now();
    for _ in 0..MAX_WRONG {
        case.advance(60);
        assert_eq!(use_code(case, user, None).await, CodeUse::Wrong);
    }
    let day = Duration::from_hours(24);
    for step in [None, Some(20)] {
        assert_eq!(use_code(case, user, step).await, CodeUse::Limited(start + day));
    }
    let from_known = case.database.use_code(user, Some(20), MAX_WRONG + 1).await;
    assert_eq!(from_known.expect("the database answers"), CodeUse::Accepted, "a wider limit");
    case.clock.advance(day);
    assert_eq!(use_code(case, user, Some(21)).await, CodeUse::Accepted);
    let row = second_factor::Entity::find_by_id(user.0).one(&case.database.read).await;
    let row = row.expect("the database answers").expect("it is on");
    assert_eq!((row.wrong_codes, row.last_step), (0, 21));
}

pub(super) async fn accepts_each_recovery_code_once(case: &Case) {
    let (user, neighbor) = (with_second_factor(case).await, with_second_factor(case).await);
    let used = case
        .run_concurrently(10, move |_, database| async move {
            database.use_recovery_code(user, "a").await.expect("the database answers")
        })
        .await;
    assert_eq!(used.iter().filter(|used| **used).count(), 1, "{used:?}");
    let use_code = async |user, code: &str| {
        case.database.use_recovery_code(user, code).await.expect("the database answers")
    };
    assert!(!use_code(user, "unknown").await);
    assert!(use_code(user, "b").await);
    assert!(use_code(neighbor, "a").await, "the codes of another user remain");
}
