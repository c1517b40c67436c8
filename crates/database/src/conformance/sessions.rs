//! Sessions: who may open them, when they end, and what ends with them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use jobs::UserId;
use uuid::Uuid;

use super::case::{Case, LIFETIMES};
use crate::sessions::{Origin, Rotation, Session, Successor};
use crate::users::User;

const ORIGIN: Origin<'static> = Origin {
    address: Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7))),
    browser: Some("Firefox, Linux"),
};

/// Replace a token by another.
async fn rotate(case: &Case, old: &str, new: &str) -> Rotation {
    let successor = Successor { id: Uuid::now_v7(), token_hash: new };
    let rotated = case.other.rotate_session(old, successor, ORIGIN, LIFETIMES).await;
    rotated.expect("the database answers")
}

/// Whether access tokens of a session are valid.
async fn has_access(case: &Case, user: UserId, session: &Session) -> bool {
    let found = case.other.user_of_session(user, Some(session.id)).await;
    found.expect("the database answers").is_some()
}

async fn listed(case: &Case, user: UserId) -> Vec<Session> {
    case.other.sessions(user, 100).await.expect("the database answers")
}

pub(super) async fn are_opened_for_verified_users_only(case: &Case) {
    let id = case.user().await;
    let open = async |verified: &User, token: &str| {
        let opened = case.database.open_session(verified, token, ORIGIN, LIFETIMES).await;
        opened.expect("the database answers").is_some()
    };
    let verified = case.user_with(id).await;
    assert!(open(&verified, "first").await);

    case.change_password(id, "changed").await;
    assert!(!open(&verified, "late").await, "the password was changed meanwhile");
    let change = case.database.change_password(&verified, "late".to_owned()).await;
    assert!(!change.expect("the database answers"), "another change came first");
    assert_eq!(case.user_with(id).await.password_hash, "changed");

    let verified = case.user_with(id).await;
    case.database.disable_user(&verified.email).await.expect("the database answers");
    assert!(!open(&verified, "late").await, "the user was disabled meanwhile");
    case.database.enable_user(&verified.email).await.expect("the database answers");
    assert!(!open(&verified, "late").await, "the user had to log in again");

    let verified = case.user_with(id).await;
    let begun = case.database.begin_second_factor(&verified, "secret").await;
    assert!(begun.expect("the database answers"));
    let on = case.database.enable_second_factor(id, "secret", 1, vec!["a".to_owned()]).await;
    assert!(on.expect("the database answers"));
    assert!(!open(&verified, "late").await, "the second factor was turned on meanwhile");
    assert_eq!(listed(case, id).await, []);
    assert!(open(&case.user_with(id).await, "again").await);
}

pub(super) async fn are_not_opened_while_the_password_changes(case: &Case) {
    for round in 0..10 {
        let id = case.user().await;
        let verified = case.user_with(id).await;
        let done = case.run_concurrently(2, move |task, database| {
            let verified = verified.clone();
            async move {
                if task == 0 {
                    let token = format!("{round}");
                    let opened = database.open_session(&verified, &token, ORIGIN, LIFETIMES);
                    opened.await.expect("the database answers").is_some()
                } else {
                    let changed = database.change_password(&verified, "changed".to_owned());
                    changed.await.expect("the database answers")
                }
            }
        });
        assert!(done.await[1], "the password is changed");
        assert_eq!(listed(case, id).await, [], "no session has the old password");
    }
}

pub(super) async fn end_at_their_total_lifetime(case: &Case) {
    case.clock.pause();
    let user = case.user().await;
    let opened = case.open_session(user, "0").await;
    let step = Duration::from_hours(20);
    let rotations = LIFETIMES.total.as_secs() / step.as_secs() - 1;
    for number in 0..rotations {
        case.clock.advance(step);
        let (old, new) = (number.to_string(), (number + 1).to_string());
        assert_eq!(rotate(case, &old, &new).await, Rotation::Renewed(user), "{number}");
    }
    let [session] = &listed(case, user).await[..] else { panic!("one session") };
    assert_eq!(session.started_at, opened.started_at);
    assert_eq!(session.expires_at, opened.started_at + LIFETIMES.total);
    case.clock.advance(LIFETIMES.total);
    assert!(!has_access(case, user, &opened).await);
    assert_eq!(rotate(case, &rotations.to_string(), "x").await, Rotation::Rejected);
}

pub(super) async fn are_listed(case: &Case) {
    case.clock.pause();
    let (user, neighbor) = (case.user().await, case.user().await);
    case.open_session(neighbor, "neighbor").await;
    let first = case.open_session(user, "first").await;
    case.advance(60);
    let second = case.open_session(user, "second").await;
    assert_eq!(listed(case, user).await, [second.clone(), first.clone()]);

    case.advance(60);
    assert_eq!(rotate(case, "first", "newer").await, Rotation::Renewed(user));
    let refreshed = Session {
        refreshed_at: case.clock.now(),
        expires_at: case.clock.now() + LIFETIMES.unused,
        address: Some("203.0.113.7".to_owned()),
        browser: Some("Firefox, Linux".to_owned()),
        ..first.clone()
    };
    assert_eq!(listed(case, user).await, [refreshed, second.clone()]);
    let limited = case.database.sessions(user, 1).await.expect("the database answers");
    assert_eq!(limited.iter().map(|session| session.id).collect::<Vec<_>>(), [first.id]);
    let addresses = case.database.addresses(user).await.expect("the database answers");
    assert_eq!(addresses, ORIGIN.address.into_iter().collect::<Vec<_>>());
    let addresses = case.database.addresses(neighbor).await.expect("the database answers");
    assert!(addresses.is_empty(), "{addresses:?}");

    let almost = LIFETIMES.unused.saturating_sub(Duration::from_mins(1));
    case.clock.advance(almost);
    assert_eq!(listed(case, user).await.len(), 1, "the second has expired");
    let found = case.database.session_of_token("newer").await.expect("the database answers");
    assert_eq!(found.map(|(user, session)| (user.id, session.id)), Some((user, first.id)));
}

pub(super) async fn end_with_their_access(case: &Case) {
    let (user, neighbor) = (case.user().await, case.user().await);
    let kept = case.open_session(user, "kept").await;

    let closed = case.open_session(user, "closed").await;
    assert!(has_access(case, user, &closed).await);
    assert!(!has_access(case, neighbor, &closed).await, "it belongs to another user");
    let owner = case.database.close_session("closed").await.expect("the database answers");
    assert_eq!(owner, Some(user));
    assert!(!has_access(case, user, &closed).await);

    let reused = case.open_session(user, "reused").await;
    assert_eq!(rotate(case, "reused", "newer").await, Rotation::Renewed(user));
    assert!(has_access(case, user, &reused).await);
    case.advance(10);
    assert_eq!(rotate(case, "reused", "stolen").await, Rotation::Reused(user));
    assert!(!has_access(case, user, &reused).await);

    let ended = case.open_session(user, "ended").await;
    let end =
        async |user| case.database.end_session(user, ended.id).await.expect("the database answers");
    assert!(!end(neighbor).await, "only the owner ends a session");
    assert!(has_access(case, user, &ended).await);
    assert!(end(user).await);
    assert!(!end(user).await);
    assert!(!has_access(case, user, &ended).await);
    assert_eq!(rotate(case, "ended", "x").await, Rotation::Rejected);

    assert!(has_access(case, user, &kept).await);
    let without = case.database.user_of_session(user, None).await.expect("the database answers");
    assert_eq!(without.map(|user| user.id), Some(user));
    case.database
        .sign_out_user(&case.user_with(user).await.email)
        .await
        .expect("the database answers")
        .expect("the address is registered");
    assert!(!has_access(case, user, &kept).await);
    assert_eq!(case.user_with(user).await.generation, 1, "tokens without a session end, too");
}

pub(super) async fn end_except_one(case: &Case) {
    let (user, neighbor) = (case.user().await, case.user().await);
    let foreign = case.open_session(neighbor, "neighbor").await;
    let kept = case.open_session(user, "kept").await;
    for token in ["a", "b"] {
        case.open_session(user, token).await;
    }
    let end = async |kept| {
        case.database.end_other_sessions(user, kept).await.expect("the database answers")
    };
    assert!(end(Some(kept.id)).await);
    assert_eq!(listed(case, user).await, std::slice::from_ref(&kept));
    assert!(!end(Some(kept.id)).await, "there is no other one");
    assert!(end(None).await);
    assert_eq!(listed(case, user).await, []);
    assert_eq!(listed(case, neighbor).await, [foreign]);
}

/// Guesses do not wait for the only writer of SQLite.
pub(super) async fn ignore_unknown_tokens(case: &Case) {
    let transaction = case.database.begin().await.expect("the database answers");
    let rotated = rotate(case, "unknown", "x").await;
    assert_eq!(rotated, Rotation::Rejected);
    let closed = case.database.close_session("unknown").await;
    assert_eq!(closed.expect("the database answers"), None);
    transaction.rollback().await.expect("the database answers");
}
