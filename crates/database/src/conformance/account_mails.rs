//! Mails about accounts, and the links in them.

use std::collections::BTreeMap;
use std::time::Duration;

use jobs::{Language, UserId};
use sea_orm::{EntityTrait, QueryOrder};
use secrecy::ExposeSecret;

use super::case::Case;
use crate::account_mail_delivery::DueAccountMail;
use crate::account_mails::AccountMailKind;
use crate::account_tokens::NewToken;
use crate::address_changes::{AddressChange, AddressRequest};
use crate::confirmations::{Registered, Resent};
use crate::connection::Database;
use crate::error::Error;
use crate::rows::{account_mail, account_token};
use crate::users::NewUser;

const HOLD: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
const ANA: &str = "ana@example.org";

/// Register a user, with a link whose token has this secret and hash.
async fn register(database: &Database, email: &str, token: &str) -> Result<Registered, Error> {
    let new = NewUser { email, name: "Ana", password_hash: "hash", language: Language::En };
    database.register_unconfirmed(new, NewToken { secret: token, hash: token }).await
}

/// Register a user who is new.
async fn registered(case: &Case, email: &str, token: &str) -> UserId {
    match register(&case.database, email, token).await {
        Ok(Registered::New(user)) => user,
        other => panic!("the user should be new: {other:?}"),
    }
}

/// Send a link with this token again.
async fn resend(database: &Database, user: UserId, token: &str) -> Resent {
    let token = NewToken { secret: token, hash: token };
    database.resend_confirmation(user, token).await.expect("the database answers")
}

async fn forget(database: &Database, user: UserId, token: &str) {
    let token = NewToken { secret: token, hash: token };
    database.request_password_reset(user, token).await.expect("the database answers");
}

async fn change_password(case: &Case, user: UserId, hash: &str) {
    let user = case.database.user(user).await.expect("an answer").expect("the user exists");
    let changed = case.database.change_password(&user, hash.to_owned()).await;
    assert!(changed.expect("the database answers"));
}

/// Take all due mails.
async fn take(case: &Case) -> Vec<DueAccountMail> {
    case.database.take_account_mails(100, HOLD).await.expect("the database answers")
}

/// All mails, oldest first.
async fn mails(case: &Case) -> Vec<account_mail::Model> {
    let all = account_mail::Entity::find().order_by_asc(account_mail::Column::Id);
    all.all(&case.database.read).await.expect("mails can be read")
}

/// Number of tokens.
async fn tokens(case: &Case) -> usize {
    let all = account_token::Entity::find().all(&case.database.read).await;
    all.expect("tokens can be read").len()
}

async fn is_confirmed(case: &Case, user: UserId) -> bool {
    let user = case.database.user(user).await.expect("the database answers");
    user.expect("the user exists").confirmed
}

pub(super) async fn stay_within_the_budget(case: &Case) {
    let results = case.run_concurrently(30, |number, database| async move {
        register(&database, ANA, &format!("concurrent-{number}")).await
    });
    let mut counts = BTreeMap::new();
    for result in results.await {
        let name = match result.expect("the database answers") {
            Registered::New(_) => "new",
            Registered::Known(_) => "known",
        };
        *counts.entry(name).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([("new", 1), ("known", 29)]));
    assert_eq!(mails(case).await.len(), 5, "five an hour");
    let user = case.database.user_by_email(ANA).await.expect("the database answers");
    let user = user.expect("the user exists").id;
    assert_eq!(resend(&case.database, user, "one-more").await, Resent::TooManyMails);
    assert_eq!(tokens(case).await, 1, "there is no link without a mail");

    // Another address of the same mailbox, and another account.
    registered(case, "ana+1@example.org", "subaddress").await;
    assert_eq!(mails(case).await.len(), 5);
    registered(case, "bia@example.org", "bia").await;
    assert_eq!(mails(case).await.len(), 6, "other mailboxes are not affected");

    for hour in 1..10 {
        case.advance(60 * 60);
        for number in 0..6 {
            resend(&case.database, user, &format!("{hour}-{number}")).await;
        }
    }
    let of_ana = mails(case).await.into_iter().filter(|mail| mail.address == ANA).count();
    assert_eq!(of_ana, 20, "twenty a day");
    case.advance(24 * 60 * 60);
    assert_eq!(resend(&case.database, user, "tomorrow").await, Resent::Sent);
}

/// Strangers cannot use up the mails that would warn the owner.
pub(super) async fn keep_a_budget_for_notices(case: &Case) {
    let user = case.database.register(ANA, "Ana", "hash".to_owned(), Language::Pt).await;
    let user = user.expect("the address is new").id;
    for number in 0..10 {
        forget(&case.database, user, &format!("token-{number}")).await;
        register(&case.database, ANA, &format!("again-{number}")).await.expect("it is known");
    }
    assert_eq!(mails(case).await.len(), 5);
    for number in 0..7 {
        change_password(case, user, &format!("hash {number}")).await;
    }
    let kinds: Vec<_> = mails(case).await.into_iter().map(|mail| mail.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "PASSWORD_CHANGED").count(), 5, "{kinds:?}");
}

/// Webhooks that are disabled at once do not use up the mails that would warn the owner.
pub(super) async fn keep_a_budget_for_webhooks(case: &Case) {
    let id = case.database.register(ANA, "Ana", "hash".to_owned(), Language::Pt).await;
    let id = id.expect("the address is new").id;
    let user = case.database.user(id).await.expect("an answer").expect("the user exists");
    for _ in 0..10 {
        let transaction = case.database.begin().await.expect("the database answers");
        let kind = AccountMailKind::WebhookDisabled;
        let written = case.database.write_notice(&transaction, &user, kind).await;
        written.expect("the database answers");
        transaction.commit().await.expect("the database answers");
    }
    for number in 0..7 {
        change_password(case, id, &format!("hash {number}")).await;
    }
    let kinds: Vec<_> = mails(case).await.into_iter().map(|mail| mail.kind).collect();
    let count = |name: &str| kinds.iter().filter(|kind| *kind == name).count();
    assert_eq!((count("WEBHOOK_DISABLED"), count("PASSWORD_CHANGED")), (5, 5), "{kinds:?}");
}

/// Mails of an account whose address is not proven are links only.
pub(super) async fn are_no_notices_to_unconfirmed_addresses(case: &Case) {
    let user = registered(case, ANA, "token").await;
    change_password(case, user, "other").await;
    let kinds: Vec<_> = mails(case).await.into_iter().map(|mail| mail.kind).collect();
    assert_eq!(kinds, ["CONFIRM_ADDRESS"]);
}

pub(super) async fn are_held_and_sent(case: &Case) {
    case.clock.pause();
    registered(case, ANA, "secret").await;
    let due = take(case).await;
    let [mail] = &due[..] else { panic!("one mail should be due: {due:?}") };
    let token = mail.token.as_ref().map(ExposeSecret::expose_secret);
    assert_eq!(
        (mail.kind, mail.address.as_str(), token, mail.attempts),
        (AccountMailKind::ConfirmAddress, ANA, Some("secret"), 1)
    );
    assert_eq!(mail.expires_at, case.clock.now() + DAY);
    assert_eq!(take(case).await.len(), 0, "it is held");
    case.advance(60);
    let due = take(case).await;
    assert_eq!(due[0].attempts, 2);
    let failed = case.database.record_account_mail_failure(due[0].id, "busy", Some(HOLD));
    failed.await.expect("the database answers");
    assert_eq!(take(case).await.len(), 0, "it is postponed");
    case.advance(60);
    let due = take(case).await;
    assert!(due[0].token.is_some(), "a retry needs the secret");
    case.database.mark_account_mail_sent(due[0].id).await.expect("the database answers");

    let sent = mails(case).await.remove(0);
    assert_eq!((sent.status.as_str(), sent.token), ("SENT", None), "the secret is forgotten");
    assert!(sent.sent_at.is_some());
    case.advance(60 * 60);
    assert_eq!(take(case).await.len(), 0);
}

pub(super) async fn fail_permanently(case: &Case) {
    registered(case, ANA, "secret").await;
    let due = take(case).await;
    let failed = case.database.record_account_mail_failure(due[0].id, "no such user", None);
    failed.await.expect("the database answers");
    case.advance(60 * 60);
    assert_eq!(take(case).await.len(), 0);
    let failed = mails(case).await.remove(0);
    assert_eq!((failed.status.as_str(), failed.token), ("FAILED", None));
    assert_eq!(failed.last_error.as_deref(), Some("no such user"));
}

pub(super) async fn are_taken_once(case: &Case) {
    for number in 0..20 {
        registered(case, &format!("user{number}@example.org"), &format!("{number}")).await;
    }
    let taken = case.run_concurrently(10, |_, database| async move {
        database.take_account_mails(3, HOLD).await.expect("the database answers")
    });
    let mut ids: Vec<_> = taken.await.into_iter().flatten().map(|mail| mail.id).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "a mail was taken twice");
    ids.extend(take(case).await.into_iter().map(|mail| mail.id));
    assert_eq!(ids.len(), 20);
}

pub(super) async fn confirm_an_address_once(case: &Case) {
    let user = registered(case, ANA, "first").await;
    assert!(!is_confirmed(case, user).await);
    case.advance(60);
    assert_eq!(resend(&case.database, user, "second").await, Resent::Sent);
    assert_eq!(case.database.confirm_address("unknown").await.expect("an answer"), None);
    // The purpose of a token counts.
    let reset = case.database.reset_password("first", "other".to_owned()).await;
    assert_eq!(reset.expect("the database answers"), None);

    // The earlier link is still valid.
    let confirmed = case.run_concurrently(10, |_, database| async move {
        database.confirm_address("first").await.expect("the database answers")
    });
    let confirmed: Vec<_> = confirmed.await.into_iter().flatten().collect();
    assert_eq!(confirmed, [user]);
    assert!(is_confirmed(case, user).await);
    assert_eq!(case.database.confirm_address("second").await.expect("an answer"), None);
    assert_eq!(resend(&case.database, user, "third").await, Resent::AlreadyConfirmed);
    assert_eq!(tokens(case).await, 0);
}

pub(super) async fn expire(case: &Case) {
    case.clock.pause();
    let user = registered(case, ANA, "confirm").await;
    forget(&case.database, user, "reset").await;
    let may_reset = async || {
        let user = case.database.user_of_password_reset("reset").await;
        user.expect("the database answers").is_some()
    };
    case.clock.advance(Duration::from_mins(30) - Duration::from_secs(1));
    assert!(may_reset().await);
    case.advance(1);
    assert!(!may_reset().await);
    let reset = case.database.reset_password("reset", "other".to_owned()).await;
    assert_eq!(reset.expect("the database answers"), None);

    case.database.purge_expired().await.expect("the database answers");
    assert_eq!((tokens(case).await, mails(case).await.len()), (1, 2));
    case.clock.advance(DAY);
    assert_eq!(case.database.confirm_address("confirm").await.expect("an answer"), None);
    case.clock.advance(DAY);
    case.database.purge_expired().await.expect("the database answers");
    assert_eq!((tokens(case).await, mails(case).await.len()), (0, 0));
}

pub(super) async fn replace_a_forgotten_password(case: &Case) {
    let user = registered(case, ANA, "confirm").await;
    case.open_session(user, "session").await;
    for token in ["first", "second"] {
        forget(&case.database, user, token).await;
    }
    let before = case.database.user(user).await.expect("an answer").expect("the user exists");
    let reset = case.run_concurrently(10, |number, database| async move {
        let hash = format!("new {number}");
        database.reset_password("first", hash).await.expect("the database answers")
    });
    let reset: Vec<_> = reset.await.into_iter().flatten().collect();
    let [after] = &reset[..] else { panic!("one request should succeed: {reset:?}") };
    assert!(after.password_hash.starts_with("new ") && after.confirmed);
    assert_eq!(after.generation, before.generation + 1, "access tokens are invalid");
    let rotated = super::accounts::rotate(&case.database, "session", "next").await;
    assert_eq!(rotated, crate::sessions::Rotation::Rejected, "the session is closed");
    assert_eq!(tokens(case).await, 0, "all other links are invalid");
    let kinds: Vec<_> = mails(case).await.into_iter().map(|mail| mail.kind).collect();
    assert_eq!(kinds, ["CONFIRM_ADDRESS", "RESET_PASSWORD", "RESET_PASSWORD", "PASSWORD_CHANGED"]);
}

pub(super) async fn give_a_disabled_user_no_access(case: &Case) {
    let user = registered(case, ANA, "confirm").await;
    forget(&case.database, user, "early").await;
    case.database.disable_user(ANA).await.expect("the database answers");
    forget(&case.database, user, "late").await;
    let reset = case.database.reset_password("early", "other".to_owned()).await;
    assert_eq!(reset.expect("the database answers"), None);
    assert_eq!(mails(case).await.len(), 2, "no link is sent");
}

/// Request another address of a user.
async fn request(case: &Case, user: UserId, address: &str, token: &str) -> AddressRequest {
    let user = case.database.user(user).await.expect("an answer").expect("the user exists");
    let token = NewToken { secret: token, hash: token };
    let requested = case.database.request_address_change(&user, address, token).await;
    requested.expect("the database answers")
}

pub(super) async fn change_an_address(case: &Case) {
    let user = registered(case, ANA, "confirm").await;
    case.database.confirm_address("confirm").await.expect("an answer").expect("a user");
    for (address, token) in [("first@example.org", "first"), ("Second@example.org", "second")] {
        assert_eq!(request(case, user, address, token).await, AddressRequest::Accepted);
    }
    let first = case.database.change_address("first").await.expect("the database answers");
    assert_eq!(first, AddressChange::InvalidLink, "the later request replaces the earlier one");
    let changed = case.database.change_address("second").await.expect("the database answers");
    let AddressChange::Changed(changed) = changed else { panic!("{changed:?}") };
    assert_eq!((changed.id, changed.email.as_str()), (user, "second@example.org"));
    let again = case.database.change_address("second").await.expect("the database answers");
    assert_eq!(again, AddressChange::InvalidLink);
    let sent: Vec<_> =
        mails(case).await.into_iter().map(|mail| (mail.kind, mail.address)).collect();
    let expected = [
        ("CONFIRM_ADDRESS", ANA),
        ("CONFIRM_NEW_ADDRESS", "first@example.org"),
        ("ADDRESS_CHANGE_REQUESTED", ANA),
        ("CONFIRM_NEW_ADDRESS", "second@example.org"),
        ("ADDRESS_CHANGE_REQUESTED", ANA),
        ("ADDRESS_CHANGED", ANA),
    ];
    assert_eq!(sent, expected.map(|(kind, address)| (kind.to_owned(), address.to_owned())));

    // A new password ends a request, and the request needs the user who was verified.
    assert_eq!(request(case, user, "third@example.org", "third").await, AddressRequest::Accepted);
    change_password(case, user, "other").await;
    let third = case.database.change_address("third").await.expect("the database answers");
    assert_eq!(third, AddressChange::InvalidLink);
    let token = NewToken { secret: "late", hash: "late" };
    let late = case.database.request_address_change(&changed, "late@example.org", token).await;
    assert_eq!(late.expect("the database answers"), AddressRequest::Rejected);
}

pub(super) async fn change_no_address_to_a_taken_one(case: &Case) {
    let user = registered(case, ANA, "ana").await;
    registered(case, "bia@example.org", "bia").await;
    assert_eq!(request(case, user, "bia@example.org", "taken").await, AddressRequest::Accepted);
    let taken = case.database.change_address("taken").await.expect("the database answers");
    assert_eq!(taken, AddressChange::InvalidLink, "the owner has got a notice instead of a link");

    assert_eq!(request(case, user, "eva@example.org", "free").await, AddressRequest::Accepted);
    registered(case, "eva@example.org", "eva").await;
    let taken = case.database.change_address("free").await.expect("the database answers");
    assert_eq!(taken, AddressChange::Taken);
    let unchanged = case.database.user(user).await.expect("an answer").expect("the user exists");
    assert_eq!((unchanged.email.as_str(), unchanged.confirmed), (ANA, false));
}
