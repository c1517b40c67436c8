//! Disabled accounts: logins are rejected, and open sessions end.

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::json;
use tokio::task::block_in_place;

use super::post;
use crate::harness::client::{PASSWORD, fetch_json};
use crate::harness::clips::scratch;
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::process::Process;
use crate::harness::programs::{error_line, fiapx, run};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_user_cannot_log_in_and_open_sessions_end(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let (user, other) = (service.user().await, service.user().await);
    let me = |token: &str| fetch_json(service.request(Method::GET, "/auth/me").bearer_auth(token));
    assert_eq!(me(&user.access).await.0, StatusCode::OK);

    let disabled = service.database().disable_user(&user.email).await;
    assert!(disabled.expect("the database is writable").is_some());

    let (status, problem) = me(&user.access).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!("TOKEN_INVALID")));
    let refresh = json!({ "refresh_token": user.refresh });
    let (status, problem) = post(&service, "/auth/refresh", &refresh).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!("TOKEN_INVALID")));

    let login = |password: &str| json!({ "email": user.email, "password": password });
    let (status, problem) = post(&service, "/auth/login", &login(PASSWORD)).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("ACCOUNT_DISABLED")));
    let (status, problem) = post(&service, "/auth/login", &login("wrong")).await;
    let wrong = (StatusCode::UNAUTHORIZED, &json!("WRONG_CREDENTIALS"));
    assert_eq!((status, &problem["code"]), wrong, "only the password reveals the state");
    assert_eq!(me(&other.access).await.0, StatusCode::OK, "other users are not affected");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_disables_and_enables_a_user_while_the_service_runs() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    let users = |command: &str, email: &str| {
        let arguments = ["users", command, email, "--data-dir"];
        block_in_place(|| run(fiapx().args(arguments).arg(directory.path())))
    };
    let change = |command: &str, printed: &str| {
        // Addresses are registered in lower case.
        for email in [user.email.clone(), user.email.to_uppercase()] {
            let output = users(command, &email);
            assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{email}");
            assert_eq!(output.lines(), [format!("{}: {printed}", user.id)], "{email}");
        }
    };
    let refresh = json!({ "refresh_token": user.refresh });
    let credentials = json!({ "email": user.email, "password": PASSWORD });

    change("disable", "disabled");
    assert_eq!(user.get("/auth/me").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(post(&process, "/auth/refresh", &refresh).await.0, StatusCode::UNAUTHORIZED);
    let (status, problem) = post(&process, "/auth/login", &credentials).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("ACCOUNT_DISABLED")));

    change("enable", "enabled");
    let (status, problem) = post(&process, "/auth/refresh", &refresh).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "the session stays closed: {problem}");
    let (status, session) = post(&process, "/auth/login", &credentials).await;
    assert_eq!(status, StatusCode::OK, "{session}");
    let access = session["access_token"].as_str().expect("a token");
    let me = process.request(Method::GET, "/auth/me").bearer_auth(access);
    assert_eq!(fetch_json(me).await.0, StatusCode::OK);

    let unknown = users("disable", "nobody@example.com");
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    let line = error_line(&unknown).expect("one line");
    assert!(line.contains("nobody@example.com"), "{line}");
}
