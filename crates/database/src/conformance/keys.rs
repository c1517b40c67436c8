//! API keys: who may create them, when they end, and the record of their use.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use jobs::{Time, UserId};
use sea_orm::sea_query::Expr;
use sea_orm::{EntityTrait, PaginatorTrait};

use super::case::Case;
use crate::account_tokens::NewToken;
use crate::keys::{Key, KeyCreation, KeyUse, NewKey, Scope};
use crate::rows::{account_mail, api_key, user};
use crate::users::User;
use crate::webhooks::{Destination, WebhookEvent};

const MAX: u64 = 3;
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

/// Data of a key for reading and writing videos.
fn new(hash: &str, expires_at: Option<Time>) -> NewKey<'_> {
    let scopes = &[Scope::VideosRead, Scope::VideosWrite];
    NewKey { name: "Backup", start: "fx_3kT9a", hash, scopes, expires_at }
}

async fn create(case: &Case, verified: &User, hash: &str) -> KeyCreation {
    case.database.create_key(verified, new(hash, None), MAX).await.expect("the database answers")
}

/// Create a key of an active user.
pub(super) async fn key_of(case: &Case, user: UserId, hash: &str) -> Key {
    let verified = case.user_with(user).await;
    match create(case, &verified, hash).await {
        KeyCreation::Created(key) => key,
        other => panic!("{other:?}"),
    }
}

async fn find(case: &Case, hash: &str) -> Option<(Key, User)> {
    case.other.find_key(hash).await.expect("the database answers")
}

async fn listed(case: &Case, user: UserId) -> Vec<Key> {
    case.other.keys(user).await.expect("the database answers")
}

pub(super) async fn are_created_listed_and_deleted(case: &Case) {
    case.clock.pause();
    let (user, neighbor) = (case.user().await, case.user().await);
    let first = key_of(case, user, "first").await;
    case.advance(1);
    let verified = case.user_with(user).await;
    let expires_at = case.clock.now() + Duration::from_hours(24);
    let second = case.database.create_key(&verified, new("second", Some(expires_at)), MAX).await;
    let KeyCreation::Created(second) = second.expect("the database answers") else {
        panic!("it is the second of three");
    };
    assert_eq!(second.expires_at, Some(expires_at));
    assert_eq!(second.scopes, [Scope::VideosRead, Scope::VideosWrite]);
    assert_eq!((first.expires_at, first.last_use.clone()), (None, None));
    assert_eq!((first.name.as_str(), first.start.as_str()), ("Backup", "fx_3kT9a"));
    assert_eq!(listed(case, user).await, [second.clone(), first.clone()]);
    let mails = account_mail::Entity::find().all(&case.database.read).await;
    let mails = mails.expect("the database answers");
    let notices = mails.iter().map(|mail| (mail.user_id, mail.kind.as_str()));
    assert_eq!(notices.collect::<Vec<_>>(), [(user.0, "KEY_CREATED"); 2]);
    assert_eq!(listed(case, neighbor).await, []);
    let found = find(case, "first").await.expect("the key exists");
    assert_eq!((found.0, found.1.id), (first.clone(), user));
    assert_eq!(find(case, "third").await, None);

    let delete = async |user, key: &Key| {
        case.database.delete_key(user, key.id).await.expect("the database answers")
    };
    assert!(!delete(neighbor, &first).await, "it is a key of another user");
    assert!(delete(user, &first).await);
    assert!(!delete(user, &first).await);
    assert_eq!(find(case, "first").await, None);
    assert_eq!(listed(case, user).await, [second]);
}

pub(super) async fn are_created_for_verified_users_only(case: &Case) {
    let id = case.user().await;
    let verified = case.user_with(id).await;
    case.change_password(id, "changed").await;
    assert_eq!(create(case, &verified, "a").await, KeyCreation::Rejected);
    let verified = case.user_with(id).await;
    case.database.disable_user(&verified.email).await.expect("the database answers");
    assert_eq!(create(case, &verified, "a").await, KeyCreation::Rejected);
    assert_eq!(listed(case, id).await, []);
}

pub(super) async fn are_limited_in_number(case: &Case) {
    let id = case.user().await;
    let verified = case.user_with(id).await;
    let created = case.run_concurrently(10, move |task, database| {
        let verified = verified.clone();
        async move {
            let hash = format!("key {task}");
            let created = database.create_key(&verified, new(&hash, None), MAX).await;
            matches!(created.expect("the database answers"), KeyCreation::Created(_))
        }
    });
    let created = created.await;
    assert_eq!(created.iter().filter(|created| **created).count() as u64, MAX, "{created:?}");
    let verified = case.user_with(id).await;
    assert_eq!(create(case, &verified, "another").await, KeyCreation::TooMany);
    let oldest = listed(case, id).await.pop().expect("there are three");
    assert!(case.database.delete_key(id, oldest.id).await.expect("the database answers"));
    assert!(matches!(create(case, &verified, "another").await, KeyCreation::Created(_)));
    key_of(case, case.user().await, "of another user").await;
}

pub(super) async fn record_one_use_a_minute(case: &Case) {
    case.clock.pause();
    let user = case.user().await;
    key_of(case, user, "a").await;
    let start = case.clock.now();
    let used = async |address: Option<IpAddr>| {
        let (key, _) = find(case, "a").await.expect("the key exists");
        let recorded = case.database.record_key_use(&key, case.clock.now(), address).await;
        recorded.expect("the database answers");
        find(case, "a").await.expect("the key exists").0.last_use
    };
    let at = |seconds: u64, address: Option<&str>| {
        let address = address.map(str::to_owned);
        Some(KeyUse { at: start + Duration::from_secs(seconds), address })
    };
    let first = at(0, Some("203.0.113.7"));
    assert_eq!(used(Some(ADDRESS)).await, first);
    case.advance(59);
    assert_eq!(used(None).await, first, "the use before is recent");
    case.advance(1);
    assert_eq!(used(None).await, at(60, None));
    // A process that read the row earlier.
    let (mut earlier, _) = find(case, "a").await.expect("the key exists");
    earlier.last_use = None;
    let recorded = case.other.record_key_use(&earlier, case.clock.now(), Some(ADDRESS)).await;
    recorded.expect("the database answers");
    assert_eq!(listed(case, user).await[0].last_use, at(60, None));
}

pub(super) async fn survive_a_password_and_the_end_of_sessions(case: &Case) {
    let user = case.user().await;
    key_of(case, user, "a").await;
    case.change_password(user, "changed").await;
    let email = case.user_with(user).await.email;
    case.database.sign_out_user(&email).await.expect("the database answers");
    assert!(find(case, "a").await.expect("the key exists").1.is_active);
    case.database.disable_user(&email).await.expect("the database answers");
    assert!(!find(case, "a").await.expect("the key exists").1.is_active);

    key_of(case, case.user().await, "of another user").await;
    let deleted = case.database.delete_keys(&email.to_uppercase()).await;
    assert_eq!(deleted.expect("the database answers").map(|user| user.id), Some(user));
    assert_eq!(find(case, "a").await, None);
    assert!(find(case, "of another user").await.is_some());
    let unknown = case.database.delete_keys("nobody@example.org").await;
    assert_eq!(unknown.expect("the database answers"), None);
}

/// Somebody who registered the address of another person keeps no key and no webhook when that
/// person resets the password.
pub(super) async fn end_when_an_unconfirmed_address_is_recovered(case: &Case) {
    for (confirmed, kept) in [(false, 0), (true, 1)] {
        let id = case.user().await;
        key_of(case, id, &format!("confirmed: {confirmed}")).await;
        let destination = Destination { url: "https://hooks.example/", host: "hooks.example" };
        let (events, secret) = ([WebhookEvent::Completed], "whsec_c2VjcmV0".to_owned().into());
        let webhook = case.database.create_webhook(id, destination, &events, &secret, 1).await;
        let webhook = webhook.expect("the database answers").expect("the user exists");
        case.database.test_webhook(&webhook, destination.host).await.expect("a test");
        user::Entity::update_many()
            .col_expr(user::Column::Confirmed, Expr::value(confirmed))
            .exec(&case.database.write)
            .await
            .expect("the database answers");
        let hash = format!("token {confirmed}");
        let token = NewToken { secret: "secret", hash: &hash };
        let requested = case.database.request_password_reset(id, token).await;
        requested.expect("the database answers");
        let reset = case.database.reset_password(&hash, "changed".to_owned()).await;
        assert!(reset.expect("the database answers").is_some());
        assert_eq!(listed(case, id).await.len(), kept, "confirmed: {confirmed}");
        let webhooks = case.other.webhooks(id).await.expect("the database answers");
        let deliveries = case.other.webhook_deliveries(id, webhook.id, None, 10).await;
        let deliveries = deliveries.expect("the database answers");
        let left = (webhooks.len(), deliveries.len());
        assert_eq!(left, (kept, kept), "confirmed: {confirmed}");
    }
}

/// A key of a later version may have scopes that this one does not know.
pub(super) async fn ignore_unknown_scopes(case: &Case) {
    let user = case.user().await;
    key_of(case, user, "a").await;
    api_key::Entity::update_many()
        .col_expr(api_key::Column::Scopes, Expr::value("uploads videos:write videos:all"))
        .exec(&case.database.write)
        .await
        .expect("the database answers");
    assert_eq!(listed(case, user).await[0].scopes, [Scope::VideosWrite]);
    let rows = api_key::Entity::find().count(&case.database.read).await;
    assert_eq!(rows.expect("they can be counted"), 1);
}
