//! Services that refuse, cannot be reached, or are none.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::command::Terminal;
use crate::harness::client::{PASSWORD, fetch_json};
use crate::harness::clips::scratch;
use crate::harness::process::free_address;
use crate::harness::programs::{error_line, run};
use crate::harness::receiver::{Receiver, Reply};
use crate::harness::service::Service;
use crate::harness::tls::TlsProxy;

/// Run a command that fails with this status, and return its only line.
#[track_caller]
fn failure(terminal: &Terminal, arguments: &[&str], status: i32) -> String {
    let run = terminal.run(arguments);
    assert_eq!((run.code, run.stdout.len()), (Some(status), 0), "{run:?}");
    error_line(&run).expect("one line").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_refused_is_explained() {
    let service = Service::start().await;
    let user = service.user().await;
    let lifetime = Duration::from_mins(10);
    let fields = json!({
        "name": "Short",
        "scopes": ["videos:read"],
        "password": PASSWORD,
        "expires_at": service.clock.now() + lifetime,
    });
    let (status, short) = fetch_json(user.request(Method::POST, "/keys").json(&fields)).await;
    assert_eq!(status, StatusCode::CREATED, "{short}");
    let short = Terminal::at(service.base()).with_key(short["key"].as_str().expect("a key"));
    assert_eq!(short.run(&["list"]).code, Some(0));
    let clip = super::clip(crate::harness::clips::TINY);
    let line = failure(&short, &["upload", &clip], 4);
    let expected = "needs the scope `videos:write`. (KEY_SCOPE_MISSING)";
    assert!(line.ends_with(expected), "{line}");

    service.advance(lifetime);
    let line = failure(&short, &["list"], 4);
    assert!(line.contains("expired") && line.ends_with("(KEY_EXPIRED)"), "{line}");
    assert!(line.contains("`fiapx remote login`"), "{line}");
    let wrong = Terminal::at(service.base()).with_key("fx_wrong");
    let line = failure(&wrong, &["list"], 4);
    assert!(line.ends_with("(KEY_INVALID)"), "{line}");
    let line = failure(&wrong, &["watch", "0190a000-0000-7000-8000-0000000000aa"], 4);
    assert!(line.ends_with("(KEY_INVALID)"), "{line}");
    let broken = Terminal::at(service.base()).with_key("two\nlines");
    let line = failure(&broken, &["list"], 1);
    assert!(line.contains("characters that no key has"), "{line}");
    let foreign = Terminal::of(&user).await;
    let line = failure(&foreign, &["download", "0190a000-0000-7000-8000-0000000000aa"], 1);
    assert!(line.ends_with("The job does not exist. (JOB_NOT_FOUND)"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_cannot_be_reached_is_named() {
    let address = free_address();
    let terminal = Terminal::at(&format!("http://{address}")).with_key("fx_any");
    let clip = super::clip(crate::harness::clips::TINY);
    let commands: [&[&str]; 4] = [
        &["list"],
        &["watch"],
        &["download", "0190a000-0000-7000-8000-0000000000aa"],
        &["upload", &clip],
    ];
    for arguments in commands {
        let line = failure(&terminal, arguments, 3);
        assert!(line.contains(&format!("cannot connect to http://{address}: ")), "{line}");
        assert!(line.contains("Check the URL"), "{line}");
    }
    for url in ["localhost:8000", "ftp://example.com", "https://a:b@example.com"] {
        let terminal = Terminal::at(url).with_key("fx_any");
        let line = failure(&terminal, &["list"], 2);
        assert!(line.starts_with("fiapx: FIAPX_URL: `") && line.contains("such as"), "{line}");
        let run = terminal.run(&["list", "--server", url]);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains("is not the URL of a service"), "{run:?}");
    }
}

/// Error pages of proxies, and other kinds of servers.
#[tokio::test(flavor = "multi_thread")]
async fn other_servers_are_recognized() {
    let html = |status, headers| Reply::Respond(status, headers, "<h1>Hello</h1>".to_owned());
    for (reply, status, expected) in [
        (html(200, "Content-Type: text/html\r\n"), 1, "check the URL of the server"),
        (html(404, "Content-Type: text/html\r\n"), 1, "(text/html)"),
        (html(413, "Content-Type: text/html\r\n"), 1, "413"),
        (
            html(301, "Location: https://example.com/\r\n"),
            1,
            "it redirects to https://example.com/; use that URL",
        ),
        (Reply::Respond(200, "Content-Type: application/json\r\n", "{".to_owned()), 1, "invalid"),
        (Reply::Close, 3, "cannot connect|was lost"),
    ] {
        let server = Receiver::start([reply.clone()]).await;
        let url = server.url().replace("/hooks", "");
        let terminal = Terminal::at(&url).with_key("fx_any");
        let line = failure(&terminal, &["list"], status);
        assert!(line.contains(&url), "{reply:?}: {line}");
        let is_expected = expected.split('|').any(|expected| line.contains(expected));
        assert!(is_expected, "{reply:?}: {line}");
    }
}

/// A proxy reports that the service is restarted, and then lets the request pass.
#[tokio::test(flavor = "multi_thread")]
async fn passing_errors_of_proxies_are_waited_for() {
    let page = Reply::Respond(502, "Content-Type: text/html\r\n", "<h1>Bad".to_owned());
    let empty = Reply::Respond(200, "Content-Type: application/json\r\n", "[]".to_owned());
    let server = Receiver::start([page.clone(), page, empty]).await;
    let terminal = Terminal::at(&server.url().replace("/hooks", "")).with_key("fx_any");
    assert_eq!(terminal.json(&["list"]).len(), 0);
    let requests = server.received();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.headers["authorization"] == "Bearer fx_any"));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_verified() {
    let (service, directory) = (Service::start().await, scratch());
    let user = service.user().await;
    let proxy = TlsProxy::of(service.base(), directory.path()).await;
    let terminal = Terminal::of(&user).await.via(proxy.url());
    let line = failure(&terminal, &["list"], 1);
    assert!(line.contains(&format!("the certificate of {} is not trusted", proxy.url())), "{line}");
    assert!(line.contains("SSL_CERT_FILE"), "{line}");
    let mut trusting = terminal.command(&["list", "--json"]);
    let trusted = run(trusting.env("SSL_CERT_FILE", proxy.certificate()));
    assert_eq!((trusted.code, trusted.stderr.as_str()), (Some(0), ""));
    // A service without TLS at a URL with it, and the reverse.
    let encrypted = service.base().replace("http:", "https:");
    let line = failure(&Terminal::of(&user).await.via(&encrypted), &["list"], 3);
    assert!(line.contains("cannot connect"), "{line}");
    let plain = proxy.url().replace("https:", "http:");
    let run = Terminal::of(&user).await.via(&plain).run(&["list"]);
    assert!([Some(1), Some(3)].contains(&run.code), "{run:?}");
}
