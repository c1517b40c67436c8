//! Confirmation of addresses: nothing is uploaded and nothing mailed before it, and nobody learns
//! which addresses are registered.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::links::{PAGE, account, confirming, log_in, open, start, token};
use super::{post, registration};
use crate::harness::client::{PASSWORD, fetch_json, form, job_id};
use crate::harness::clips::{TINY, clip_bytes, scratch};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::process::Process;
use crate::harness::programs::{error_line, fiapx, run};
use crate::harness::service::Service;

const EMAIL: &str = "ana@example.com";

/// Register an address; the response has to be 202.
async fn register(service: &Service, email: &str) -> Value {
    let fields = registration(&json!({ "email": email, "language": "en" }));
    let (status, accepted) = post(service, "/auth/register", &fields).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    accepted
}

/// Register an address, and return an access token.
async fn access(service: &Service, email: &str) -> String {
    register(service, email).await;
    let (status, access) = log_in(service, email, PASSWORD).await;
    assert_eq!(status, StatusCode::OK);
    access
}

/// Upload videos, and return the response.
async fn upload(service: &Service, access: &str, count: usize) -> (StatusCode, Value) {
    let files = vec![(TINY, clip_bytes(TINY)); count];
    let request = service.request(Method::POST, "/videos/upload").bearer_auth(access);
    fetch_json(request.multipart(form(&files))).await
}

async fn resend(service: &Service, access: &str) -> (StatusCode, Value) {
    fetch_json(service.request(Method::POST, "/auth/confirmation").bearer_auth(access)).await
}

/// A stranger who registers the address of a victim can neither upload anything nor flood the
/// victim with mails, nor choose a word of them.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_flood_an_address(#[values(Embedded, Servers)] parts: Parts) {
    let service = start(parts).await;
    let name = "Win at evil.example";
    let fields = registration(&json!({ "email": EMAIL, "name": name }));
    let (status, _) = post(&service, "/auth/register", &fields).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let (status, access) = log_in(&service, EMAIL, PASSWORD).await;
    assert_eq!(status, StatusCode::OK, "log-in works before the confirmation");

    let not_confirmed = (StatusCode::FORBIDDEN, json!("ADDRESS_NOT_CONFIRMED"));
    let (status, problem) = upload(&service, &access, 50).await;
    assert_eq!((status, problem["code"].clone()), not_confirmed);
    let path = format!("/videos/{}/jobs", jobs::JobId::generate());
    let again = service.request(Method::POST, &path).bearer_auth(&access);
    let again = again.json(&json!({ "recipe": { "select": { "every": 2 } } }));
    let (status, problem) = fetch_json(again).await;
    assert_eq!((status, problem["code"].clone()), not_confirmed);
    let webhook = json!({ "url": "https://hooks.example/", "events": ["job.failed"] });
    let webhook = service.request(Method::POST, "/webhooks").bearer_auth(&access).json(&webhook);
    let (status, problem) = fetch_json(webhook).await;
    assert_eq!((status, problem["code"].clone()), not_confirmed);

    for number in 1..10 {
        post(&service, "/auth/register", &fields).await;
        post(&service, "/auth/password/forgot", &json!({ "email": EMAIL })).await;
        resend(&service, &access).await;
        // These usually reach the same mailbox.
        let email = format!("ana+{number}@example.com");
        post(&service, "/auth/register", &registration(&json!({ "email": email }))).await;
        let change =
            json!({ "current_password": PASSWORD, "new_password": format!("Praia#202{number}") });
        let change = service.request(Method::POST, "/auth/password").json(&change);
        fetch_json(change.bearer_auth(&access)).await;
    }
    assert_eq!(service.files().await, [].into());
    for mail in service.expect_mails(5).await {
        assert!(mail.to.starts_with("ana"), "{mail:?}");
        for text in [&mail.subject, &mail.text, &mail.html] {
            assert!(!text.contains("evil"), "{mail:?}");
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_confirmed_once(#[values(Embedded, Servers)] parts: Parts) {
    let service = start(parts).await;
    let accepted = register(&service, "Ana@Example.com").await;
    assert_eq!(accepted, json!({ "email": EMAIL, "expires_in": 86_400 }));
    let (_, access) = log_in(&service, EMAIL, PASSWORD).await;
    assert_eq!(account(&service, &access).await["confirmed"], json!(false));

    let mail = service.mails_to(EMAIL, 1).await.remove(0);
    assert_eq!(mail.subject, "Confirm your e-mail address");
    let link = token(&mail, "confirm");
    let (status, problem) = open(&service, "/auth/confirm", "unknown").await;
    assert_eq!((status, &problem["code"]), (StatusCode::GONE, &json!("ACCOUNT_LINK_INVALID")));
    assert_eq!(open(&service, "/auth/confirm", &link).await.0, StatusCode::NO_CONTENT);
    assert_eq!(open(&service, "/auth/confirm", &link).await.0, StatusCode::GONE);
    assert_eq!(account(&service, &access).await["confirmed"], json!(true));

    let (status, problem) = resend(&service, &access).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("ADDRESS_CONFIRMED")));
    let (status, accepted) = upload(&service, &access, 1).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let mails = service.mails_to(EMAIL, 2).await;
    assert!(mails[1].subject.starts_with("Your video is ready"), "{mails:?}");
    assert!(!job_id(&accepted).is_empty());
    // The link is a secret, which is forgotten when it was sent.
    service.expect_mails(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_link_is_replaced_by_another() {
    let service = start(Embedded).await;
    register(&service, EMAIL).await;
    let first = token(&service.mails_to(EMAIL, 1).await[0], "confirm");
    service.advance(Duration::from_hours(24));
    assert_eq!(open(&service, "/auth/confirm", &first).await.0, StatusCode::GONE);

    let (_, access) = log_in(&service, EMAIL, PASSWORD).await;
    assert_eq!(resend(&service, &access).await.0, StatusCode::ACCEPTED);
    let mails = service.mails_to(EMAIL, 2).await;
    let tokens: BTreeSet<_> = mails.iter().map(|mail| token(mail, "confirm")).collect();
    let second = tokens.iter().find(|token| **token != first).expect("another link");
    assert_eq!(open(&service, "/auth/confirm", second).await.0, StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_limited_and_the_limit_ends() {
    let service = start(Embedded).await;
    let access = access(&service, EMAIL).await;
    for _ in 1..5 {
        assert_eq!(resend(&service, &access).await.0, StatusCode::ACCEPTED);
    }
    let request = service.request(Method::POST, "/auth/confirmation").bearer_auth(&access);
    let response = request.send().await.expect("the service responds");
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.headers().contains_key("retry-after"), "{response:?}");
    service.advance(Duration::from_hours(1));
    let (_, access) = log_in(&service, EMAIL, PASSWORD).await;
    assert_eq!(resend(&service, &access).await.0, StatusCode::ACCEPTED);
}

fn are_similar(known: Duration, new: Duration) -> bool {
    known > new / 2 && new > known / 2
}

/// The response to a registration and its time do not reveal whether the address is known.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn registering_a_known_address_reveals_nothing(#[values(Embedded, Servers)] parts: Parts) {
    let service = start(parts).await;
    let owner = access(&service, EMAIL).await;
    let fields = registration(&json!({ "email": EMAIL, "password": "Outra#2026", "name": "Eva" }));
    let respond = async |fields: &Value| {
        let request = service.request(Method::POST, "/auth/register").json(fields);
        let started = Instant::now();
        let response = request.send().await.expect("the service responds");
        let time = started.elapsed();
        let names: BTreeSet<_> = response.headers().keys().map(ToString::to_string).collect();
        let status = response.status();
        let body: Value = response.json().await.expect("a response is JSON");
        ((status, names, body["expires_in"].clone()), time)
    };
    let (mut known_times, mut new_times) = (Vec::new(), Vec::new());
    // Both take about as long as a password's hash. A busy machine needs more tries to show that.
    let shortest = |times: &[Duration]| *times.iter().min().expect("times");
    for number in 0..25 {
        if number >= 5 && are_similar(shortest(&known_times), shortest(&new_times)) {
            break;
        }
        let (known, time) = respond(&fields).await;
        known_times.push(time);
        let mut other = fields.clone();
        other["email"] = json!(format!("other{number}@example.com"));
        let (new, time) = respond(&other).await;
        new_times.push(time);
        assert_eq!(known, new);
    }
    let (known, new) = (shortest(&known_times), shortest(&new_times));
    assert!(are_similar(known, new), "{known:?} and {new:?}");

    // Nothing has changed, and the owner learns of it.
    assert_eq!(account(&service, &owner).await["name"], json!("Ana"));
    assert_eq!(log_in(&service, EMAIL, "Outra#2026").await.0, StatusCode::UNAUTHORIZED);
    let mails = service.mails_to(EMAIL, 2).await;
    let subjects: BTreeSet<_> = mails.iter().map(|mail| mail.subject.as_str()).collect();
    let expected = ["Confirm your e-mail address", "You already have an account"];
    assert_eq!(subjects, expected.into());
    assert!(mails.iter().all(|mail| !mail.text.contains("Eva")), "{mails:?}");
}

/// The Host header of a request never gets into a mail.
#[tokio::test(flavor = "multi_thread")]
async fn links_lead_to_the_configured_page() {
    let service = start(Embedded).await;
    for header in ["host", "x-forwarded-host", "forwarded"] {
        let fields = registration(&json!({ "email": format!("{header}@example.com") }));
        let value = if header == "forwarded" { "host=evil.example" } else { "evil.example" };
        let request = service.request(Method::POST, "/auth/register").header(header, value);
        assert_eq!(fetch_json(request.json(&fields)).await.0, StatusCode::ACCEPTED);
        let mail = service.mails_to(&format!("{header}@example.com"), 1).await.remove(0);
        assert!(mail.text.contains(PAGE) && !mail.text.contains("evil"), "{mail:?}");
    }
}

/// The service refuses to start where its links would lead nowhere, before it listens.
#[test]
fn links_need_the_url_of_the_page() {
    let directory = scratch();
    let path = directory.path().to_str().expect("a plain path");
    let start = |variables: &[(&str, &str)]| {
        let arguments = ["serve", "--listen", "0.0.0.0:0", "--data-dir", path];
        run(fiapx().args(arguments).env_clear().envs(variables.iter().copied()))
    };
    for variables in [&[][..], &[("ACCOUNTS_CONFIRM", "true")]] {
        let refused = start(variables);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let line = error_line(&refused).expect("one line");
        assert!(line.contains("PUBLIC_URL") && line.contains("ACCOUNTS_CONFIRM=false"), "{line}");
    }
    assert_eq!(directory.path().read_dir().expect("it can be read").count(), 0);
}

/// Without a mail server, `fiapx serve` on loopback needs no confirmation, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_machine_needs_no_confirmation() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    assert_eq!(account(&process, &user.access).await["confirmed"], json!(true));
    let (status, accepted) = user.upload(&[(TINY, clip_bytes(TINY))]).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let log = process.terminate();
    let notice = |line: &Value| {
        line["event"].as_str().is_some_and(|event| event.contains("ACCOUNTS_CONFIRM=true"))
    };
    assert!(log.iter().any(notice), "{log:?}");
}

/// Users who exist when the confirmation is turned on need not confirm their address.
#[tokio::test(flavor = "multi_thread")]
async fn existing_users_stay_confirmed() {
    let service = Service::start().await;
    let email = service.user().await.email;
    let clock = service.clock.clone();
    let directory = service.stop().await;
    let service = Service::at(directory, None, clock, confirming).await;
    let (_, access) = log_in(&service, &email, PASSWORD).await;
    assert_eq!(account(&service, &access).await["confirmed"], json!(true));
    assert_eq!(upload(&service, &access, 1).await.0, StatusCode::ACCEPTED);
}
