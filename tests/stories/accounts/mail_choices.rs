//! Choice of the mails about jobs: each, a digest, failures only, or none; and the link in mails
//! that ends them.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::{field_errors, post};
use crate::harness::checks::eventually;
use crate::harness::client::{User, fetch_json};
use crate::harness::clips::{SHORT, WRONG};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

/// Change the account of a user, and return it.
async fn choose(user: &User<'_>, change: Value) -> Value {
    let request = user.request(Method::PATCH, "/auth/me").json(&change);
    let (status, account) = fetch_json(request).await;
    assert_eq!(status, StatusCode::OK, "{account}");
    account
}

/// Process a video that is done and one that fails. Returns the ids of the jobs.
async fn process_two(user: &User<'_>) -> [String; 2] {
    let (done, failed) = (user.upload_clip(SHORT).await, user.upload_clip(WRONG).await);
    user.wait_until_done(&done).await;
    user.wait_for(&failed, &["FAILED"]).await;
    [done, failed]
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_and_time_zone_can_be_chosen() {
    let service = Service::start().await;
    let user = service.user().await;
    let account = user.get("/auth/me").await.1;
    assert_eq!((&account["mails"], &account["time_zone"]), (&json!("each"), &Value::Null));
    for mails in ["digest", "failures", "none", "each"] {
        let account = choose(&user, json!({ "mails": mails })).await;
        assert_eq!(account["mails"], mails);
    }
    let zone = "America/Sao_Paulo";
    let account = choose(&user, json!({ "time_zone": zone, "mails": "digest" })).await;
    assert_eq!((&account["mails"], &account["time_zone"]), (&json!("digest"), &json!(zone)));
    assert_eq!(user.get("/auth/me").await.1, account);

    let wrong = user.request(Method::PATCH, "/auth/me");
    let (status, problem) = fetch_json(wrong.json(&json!({ "time_zone": "Brasilia" }))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(field_errors(&problem), ["time_zone: TIME_ZONE_UNKNOWN".to_owned()].into());
    let wrong = user.request(Method::PATCH, "/auth/me").json(&json!({ "mails": "sometimes" }));
    assert_eq!(fetch_json(wrong).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(user.get("/auth/me").await.1, account);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn videos_that_finish_together_are_one_mail(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    choose(&user, json!({ "mails": "digest" })).await;
    let jobs = process_two(&user).await;
    service.wait_until_idle().await;
    assert_eq!(service.mails(), [""; 0], "two minutes have not passed");
    service.advance(Duration::from_mins(2));
    let mails = service.expect_mails(1).await;
    assert_eq!(mails[0].subject, "Your videos: 1 ready, 1 failed");
    for body in [&mails[0].text, &mails[0].html] {
        for job in &jobs {
            assert!(body.contains(&format!("/#/jobs/{job}")), "{body}");
        }
        assert!(body.contains("h264_aac.mp4") && body.contains("audio_only.mp4"), "{body}");
        assert!(body.contains("ready, with 6 frames"), "{body}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn only_the_chosen_mails_are_sent(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let [failures, none] = [service.user().await, service.user().await];
    choose(&failures, json!({ "mails": "failures" })).await;
    choose(&none, json!({ "mails": "none" })).await;
    process_two(&none).await;
    process_two(&failures).await;
    let to = failures.email.clone();
    let mails = service.expect_mails(1).await;
    assert_eq!(mails[0].to, to);
    assert_eq!(mails[0].subject, "Your video could not be processed: audio_only.mp4");
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_those_of_the_users_time_zone() {
    let service = Service::start().await;
    let user = service.user().await;
    choose(&user, json!({ "time_zone": "America/Sao_Paulo" })).await;
    user.upload_clip(SHORT).await;
    let mails = service.expect_mails(1).await;
    for body in [&mails[0].text, &mails[0].html] {
        assert!(body.contains(" (UTC-3)") && body.contains("/#/account"), "{body}");
    }
}

/// Path and query of the link that ends the mails of which this is one.
fn unsubscribe_path(mail: &str) -> String {
    // Long headers are folded (RFC 5322, 2.2.3), before a word and behind its space.
    let unfolded = mail.replace("\r\n", "\n").replace("\n ", "");
    let header = |name: &str| {
        let found = unfolded.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name} in {unfolded}")).to_owned()
    };
    assert_eq!(header("List-Unsubscribe-Post: "), "List-Unsubscribe=One-Click");
    let url = header("List-Unsubscribe: ");
    let path =
        url.strip_prefix("<https://videos.example.com").and_then(|url| url.strip_suffix('>'));
    path.unwrap_or_else(|| panic!("{url}")).to_owned()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn one_click_ends_mails_and_does_nothing_else(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts
        .with(|settings| {
            settings.server.public_url = Some("https://videos.example.com/".to_owned());
        })
        .await;
    let user = service.user().await;
    let neighbor = service.user().await;
    user.upload_clip(SHORT).await;
    eventually("the mail", || async { (service.mails().len() == 1).then_some(()) }).await;
    let path = unsubscribe_path(&service.mails()[0]);
    let choice = async |user: &User<'_>| user.get("/auth/me").await.1["mails"].clone();

    // Filters of mails open links.
    let opened = service.request(Method::GET, &path).send().await.expect("the service responds");
    assert_eq!((opened.status(), opened.url().path()), (StatusCode::OK, "/"));
    assert_eq!(choice(&user).await, "each");

    let one_click = |path: &str| {
        let request = service.request(Method::POST, path).body("List-Unsubscribe=One-Click");
        request.header(CONTENT_TYPE, "application/x-www-form-urlencoded")
    };
    for _ in 0..2 {
        let (status, body) = fetch_json(one_click(&path)).await;
        assert_eq!((status, body), (StatusCode::OK, json!({ "mails": "none" })));
    }
    assert_eq!((choice(&user).await, choice(&neighbor).await), (json!("none"), json!("each")));

    // The secret permits nothing else, and others permit nothing.
    let (_, secret) = path.split_once("secret=").expect("a secret");
    let stranger = service.request(Method::GET, "/auth/me").bearer_auth(secret);
    assert_eq!(fetch_json(stranger).await.0, StatusCode::UNAUTHORIZED);
    for path in ["/auth/confirm", "/auth/address/confirm"] {
        let (status, problem) = post(&service, path, &json!({ "token": secret })).await;
        assert_eq!(status, StatusCode::GONE, "{path}: {problem}");
    }
    let refresh = json!({ "refresh_token": secret });
    assert_eq!(post(&service, "/auth/refresh", &refresh).await.0, StatusCode::UNAUTHORIZED);
    choose(&user, json!({ "mails": "each" })).await;
    let wrong = format!("/mails/unsubscribe?secret={}", "0".repeat(32));
    let (status, problem) = fetch_json(one_click(&wrong)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(problem["code"], "UNSUBSCRIBE_LINK_INVALID");
    assert_eq!(fetch_json(one_click("/mails/unsubscribe")).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(choice(&user).await, "each");
    service.expect_mails(1).await;
}
