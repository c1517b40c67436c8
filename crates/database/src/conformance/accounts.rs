//! Users, their sessions and their access.

use std::time::Duration;

use jobs::{Language, State, UserId};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::case::{Case, LIFETIMES, archive};
use crate::connection::Database;
use crate::error::Error;
use crate::rows::refresh_token;
use crate::sessions::{Origin, Rotation, Successor};
use crate::users::User;

/// Replace a token by another.
pub(super) async fn rotate(database: &Database, old: &str, new: &str) -> Rotation {
    let successor = Successor { id: Uuid::now_v7(), token_hash: new };
    let rotated = database.rotate_session(old, successor, Origin::default(), LIFETIMES).await;
    rotated.expect("the database answers")
}

/// Create a user with a session whose first token is `first`.
async fn session(case: &Case) -> UserId {
    let user = case.user().await;
    case.open_session(user, "first").await;
    user
}

/// Number of a user's tokens that are neither spent nor revoked.
async fn valid_tokens(case: &Case, user: UserId) -> usize {
    let tokens = refresh_token::Entity::find()
        .filter(refresh_token::Column::UserId.eq(user.0))
        .all(&case.database.read)
        .await;
    let tokens = tokens.expect("tokens can be read");
    tokens.iter().filter(|token| token.spent_at.is_none() && token.revoked_at.is_none()).count()
}

pub(super) async fn have_unique_addresses(case: &Case) {
    let register = async |database: &Database, email: &str| {
        database.register(email, "Ana", "hash".to_owned(), Language::En).await
    };
    let user = register(&case.database, "Ana@Example.org").await.expect("the address is new");
    assert_eq!((user.email.as_str(), user.language), ("ana@example.org", Language::En));
    for email in ["ana@example.org", "ANA@example.ORG"] {
        assert!(matches!(register(&case.database, email).await, Err(Error::AlreadyExists)));
        assert_eq!(
            case.database.user_by_email(email).await.expect("the database answers"),
            Some(user.clone())
        );
    }
    assert_eq!(case.database.user(user.id).await.expect("the database answers"), Some(user));
    assert_eq!(case.database.user(UserId::generate()).await.expect("the database answers"), None);
    assert_eq!(
        case.database.user_by_email("bea@example.org").await.expect("the database answers"),
        None
    );

    let registered = case.run_concurrently(10, |_, database| async move {
        database.register("bea@example.org", "Bea", String::new(), Language::Pt).await
    });
    let registered = registered.await;
    assert_eq!(registered.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(
        registered.iter().filter(|result| matches!(result, Err(Error::AlreadyExists))).count(),
        9,
        "{registered:?}"
    );
}

pub(super) async fn rotate_refresh_tokens(case: &Case) {
    let user = session(case).await;
    assert_eq!(rotate(&case.database, "unknown", "x").await, Rotation::Rejected);
    assert_eq!(rotate(&case.database, "first", "second").await, Rotation::Renewed(user));
    case.advance(24 * 60 * 60 - 60);
    assert_eq!(
        rotate(&case.other, "second", "third").await,
        Rotation::Renewed(user),
        "each token is valid for a day"
    );
    case.advance(24 * 60 * 60 - 60);
    assert_eq!(rotate(&case.database, "third", "fourth").await, Rotation::Renewed(user));
    case.advance(24 * 60 * 60);
    assert_eq!(
        rotate(&case.database, "fourth", "fifth").await,
        Rotation::Rejected,
        "the token is expired"
    );
    assert_eq!(
        rotate(&case.database, "fifth", "sixth").await,
        Rotation::Rejected,
        "the rejected rotation created no token"
    );
}

pub(super) async fn lose_a_session_on_reuse(case: &Case) {
    let user = session(case).await;
    case.open_session(user, "elsewhere").await;
    let neighbor = case.user().await;
    case.open_session(neighbor, "neighbor").await;

    assert_eq!(rotate(&case.database, "first", "second").await, Rotation::Renewed(user));
    assert_eq!(rotate(&case.database, "second", "third").await, Rotation::Renewed(user));
    assert_eq!(rotate(&case.database, "first", "stolen").await, Rotation::Reused(user));
    assert_eq!(valid_tokens(case, user).await, 1, "the other session remains");
    assert_eq!(
        rotate(&case.database, "third", "fourth").await,
        Rotation::Rejected,
        "the newest token is revoked"
    );
    assert_eq!(rotate(&case.database, "stolen", "fourth").await, Rotation::Rejected);
    assert_eq!(rotate(&case.database, "elsewhere", "there").await, Rotation::Renewed(user));
    assert_eq!(rotate(&case.database, "neighbor", "next").await, Rotation::Renewed(neighbor));
}

pub(super) async fn lose_a_session_on_concurrent_use(case: &Case) {
    case.clock.pause();
    let user = session(case).await;
    let tried = case
        .run_concurrently(20, |number, database| async move {
            rotate(&database, "first", &format!("new-{number}")).await
        })
        .await;
    assert_eq!(
        tried.iter().filter(|rotation| **rotation == Rotation::Renewed(user)).count(),
        1,
        "{tried:?}"
    );
    let repeated = |rotation: &&Rotation| matches!(rotation, Rotation::Repeated(..));
    assert_eq!(tried.iter().filter(repeated).count(), 1, "{tried:?}");
    assert_eq!(
        tried.iter().filter(|rotation| **rotation == Rotation::Reused(user)).count(),
        18,
        "{tried:?}"
    );
    assert_eq!(valid_tokens(case, user).await, 0);
    for number in 0..20 {
        assert_eq!(
            rotate(&case.database, &format!("new-{number}"), "next").await,
            Rotation::Rejected
        );
    }
}

pub(super) async fn repeat_a_rotation_once(case: &Case) {
    case.clock.pause();
    let user = session(case).await;
    let successor = Uuid::now_v7();
    let rotate_to = async |old: &str, id: Uuid, new: &str| {
        let successor = Successor { id, token_hash: new };
        let rotated =
            case.database.rotate_session(old, successor, Origin::default(), LIFETIMES).await;
        rotated.expect("the database answers")
    };
    assert_eq!(rotate_to("first", successor, "second").await, Rotation::Renewed(user));
    case.advance(9);
    let repeated = rotate_to("first", Uuid::now_v7(), "other").await;
    assert_eq!(repeated, Rotation::Repeated(user, successor));
    assert_eq!(rotate(&case.database, "other", "x").await, Rotation::Rejected);
    assert_eq!(rotate(&case.database, "second", "third").await, Rotation::Renewed(user));
    assert_eq!(valid_tokens(case, user).await, 1, "there is one chain");

    // A third use ends the session.
    case.open_session(user, "a").await;
    assert_eq!(rotate(&case.database, "a", "b").await, Rotation::Renewed(user));
    assert!(matches!(rotate(&case.database, "a", "x").await, Rotation::Repeated(..)));
    assert_eq!(rotate(&case.database, "a", "x").await, Rotation::Reused(user));
    assert_eq!(rotate(&case.database, "b", "c").await, Rotation::Rejected);

    // So does a use after ten seconds,
    case.open_session(user, "d").await;
    assert_eq!(rotate(&case.database, "d", "e").await, Rotation::Renewed(user));
    case.advance(10);
    assert_eq!(rotate(&case.database, "d", "x").await, Rotation::Reused(user));
    assert_eq!(rotate(&case.database, "e", "f").await, Rotation::Rejected);

    // and one after the use of the successor.
    case.open_session(user, "g").await;
    assert_eq!(rotate(&case.database, "g", "h").await, Rotation::Renewed(user));
    assert_eq!(rotate(&case.database, "h", "i").await, Rotation::Renewed(user));
    assert_eq!(rotate(&case.database, "g", "x").await, Rotation::Reused(user));
    assert_eq!(rotate(&case.database, "i", "j").await, Rotation::Rejected);

    // A session that was closed stays closed.
    case.open_session(user, "k").await;
    assert_eq!(rotate(&case.database, "k", "l").await, Rotation::Renewed(user));
    case.database.close_session("l").await.expect("the database answers");
    assert_eq!(rotate(&case.database, "k", "x").await, Rotation::Reused(user));
    assert_eq!(valid_tokens(case, user).await, 1, "only the first session is open");
}

pub(super) async fn lose_a_session_during_rotation(case: &Case) {
    // One task rotates the newest token again and again while two others use a spent one.
    for round in 0..10 {
        let user = case.user().await;
        let token = move |number: usize| format!("{round}-{number}");
        case.open_session(user, &token(0)).await;
        assert_eq!(rotate(&case.database, &token(0), &token(1)).await, Rotation::Renewed(user));
        case.advance(10);
        let last = case.run_concurrently(3, |task, database| async move {
            if task > 0 {
                return rotate(&database, &token(0), "stolen").await;
            }
            let mut number = 1;
            while rotate(&database, &token(number), &token(number + 1)).await
                == Rotation::Renewed(user)
            {
                number += 1;
                assert!(number < 10_000, "the reuse does not revoke the newest token");
            }
            Rotation::Rejected
        });
        assert_eq!(
            last.await,
            [Rotation::Rejected, Rotation::Reused(user), Rotation::Reused(user)]
        );
        assert_eq!(valid_tokens(case, user).await, 0, "in round {round}");
    }
}

pub(super) async fn close_their_sessions(case: &Case) {
    let user = session(case).await;
    case.open_session(user, "elsewhere").await;
    assert_eq!(rotate(&case.database, "first", "second").await, Rotation::Renewed(user));
    for token in ["unknown", "first", "first"] {
        case.database.close_session(token).await.expect("the database answers");
    }
    assert_eq!(
        rotate(&case.database, "second", "third").await,
        Rotation::Rejected,
        "any token closes its whole session"
    );
    assert_eq!(rotate(&case.database, "elsewhere", "there").await, Rotation::Renewed(user));
}

pub(super) async fn lose_all_sessions_on_password_change(case: &Case) {
    let user = session(case).await;
    case.open_session(user, "elsewhere").await;
    let neighbor = case.user().await;
    case.open_session(neighbor, "neighbor").await;
    for generation in 1..3 {
        case.change_password(user, &format!("hash {generation}")).await;
        let changed =
            case.other.user(user).await.expect("the database answers").expect("the user exists");
        assert_eq!(
            (changed.password_hash, changed.generation),
            (format!("hash {generation}"), generation)
        );
        assert_eq!(valid_tokens(case, user).await, 0);
        case.open_session(user, &format!("after {generation}")).await;
    }
    assert_eq!(rotate(&case.database, "elsewhere", "there").await, Rotation::Rejected);
    assert_eq!(rotate(&case.database, "after 2", "next").await, Rotation::Renewed(user));
    assert_eq!(
        rotate(&case.database, "neighbor", "next neighbor").await,
        Rotation::Renewed(neighbor)
    );
    let neighbor =
        case.database.user(neighbor).await.expect("the database answers").expect("the user exists");
    assert_eq!(neighbor.generation, 0);
}

pub(super) async fn report_their_usage(case: &Case) {
    let (user, neighbor) = (case.user().await, case.user().await);
    let usage = async |user| {
        let usage = case.database.usage(user).await.expect("the database answers");
        (usage.unfinished_jobs, usage.stored_bytes)
    };
    assert_eq!(usage(user).await, (0, 0));
    let (first, second) = (case.queued_for(user).await, case.queued_for(user).await);
    case.queued_for(neighbor).await;
    let size = case
        .database
        .job(first)
        .await
        .expect("the database answers")
        .expect("the job exists")
        .video_size_bytes;
    assert_eq!(usage(user).await, (2, 2 * size));
    let claim = case.claim(first).await;
    assert_eq!(usage(user).await, (2, 2 * size), "a running job is unfinished");
    let archive = archive(&claim);
    case.database.finish(&claim, &archive).await.expect("the database answers");
    assert_eq!(usage(user).await, (1, 2 * size + archive.size_bytes));
    case.database
        .cancel(second, State::Queued)
        .await
        .expect("the database answers")
        .expect("the job is cancelled");
    case.database.mark_files_removed(second).await.expect("the database answers");
    assert_eq!(usage(user).await, (0, size + archive.size_bytes), "removed files are not counted");
}

/// The user with this id, who exists.
async fn user(database: &Database, id: UserId) -> User {
    database.user(id).await.expect("the database answers").expect("the user exists")
}

pub(super) async fn are_disabled_and_enabled(case: &Case) {
    let id = session(case).await;
    let neighbor = case.user().await;
    case.open_session(neighbor, "neighbor").await;
    let before = user(&case.database, id).await;
    assert!(before.is_active);
    assert_eq!(before.updated_at, before.created_at);

    case.advance(60);
    let email = before.email.to_uppercase();
    let disabled = case.database.disable_user(&email).await.expect("the database answers");
    let disabled = disabled.expect("the address is registered");
    assert!(!disabled.is_active && disabled.generation > before.generation);
    assert!(disabled.updated_at >= before.updated_at + Duration::from_mins(1));
    assert_eq!(user(&case.other, id).await, disabled);
    assert_eq!(valid_tokens(case, id).await, 0);
    assert_eq!(rotate(&case.database, "first", "second").await, Rotation::Rejected);

    let enabled = case.database.enable_user(&email).await.expect("the database answers");
    let enabled = enabled.expect("the address is registered");
    assert!(enabled.is_active && enabled.generation > disabled.generation);
    assert_eq!(rotate(&case.database, "first", "second").await, Rotation::Rejected);
    case.open_session(id, "again").await;
    assert_eq!(rotate(&case.database, "again", "next").await, Rotation::Renewed(id));

    assert_eq!(
        rotate(&case.database, "neighbor", "next neighbor").await,
        Rotation::Renewed(neighbor)
    );
    let unknown = case.database.disable_user("nobody@example.org").await;
    assert_eq!(unknown.expect("the database answers"), None);
}

pub(super) async fn keep_their_sessions_when_a_hash_is_replaced(case: &Case) {
    let id = session(case).await;
    let before = user(&case.database, id).await;
    let replaced = case.database.replace_password_hash(&before, "normal".to_owned()).await;
    replaced.expect("the database answers");
    let after = user(&case.other, id).await;
    assert_eq!((after.password_hash.as_str(), after.generation), ("normal", before.generation));
    assert_eq!(rotate(&case.database, "first", "second").await, Rotation::Renewed(id));

    case.change_password(id, "changed").await;
    let late = case.database.replace_password_hash(&after, "late".to_owned()).await;
    late.expect("the database answers");
    assert_eq!(user(&case.database, id).await.password_hash, "changed");
}

pub(super) async fn have_the_time_of_their_last_update(case: &Case) {
    let id = case.user().await;
    let before = user(&case.database, id).await;
    case.advance(60);
    case.change_password(id, "other hash").await;
    let after = user(&case.database, id).await;
    assert_eq!(after.created_at, before.created_at);
    assert!(after.updated_at >= before.updated_at + Duration::from_mins(1));
}
