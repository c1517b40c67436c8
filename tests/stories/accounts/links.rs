//! Links in mails about accounts.

use app::settings::{Confirm, Settings};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::post;
use crate::harness::client::{Client, fetch_json};
use crate::harness::mails::Mail;
use crate::harness::parts::Parts;
use crate::harness::service::Service;

/// URL of the page in mails.
pub const PAGE: &str = "https://videos.example.com";

/// Set a service up so that users have to confirm their address.
pub fn confirming(settings: &mut Settings) {
    settings.accounts.confirm = Confirm::Always;
    settings.server.public_url = Some(PAGE.to_owned());
    // The stories log in many times.
    settings.limits.logins_per_minute = 1000;
    settings.limits.attempts_per_address = 100_000;
}

/// Start a service whose users have to confirm their address.
pub async fn start(parts: Parts) -> Service {
    parts.with(confirming).await
}

/// Token of the link in a mail to this path of the page.
pub fn token(mail: &Mail, path: &str) -> String {
    let start = format!("{PAGE}/#/{path}/");
    let links: Vec<_> =
        mail.text.lines().filter_map(|line| line.strip_prefix(start.as_str())).collect();
    let [token] = links[..] else { panic!("no link to {path} in {mail:?}") };
    assert!(mail.html.contains(&format!("href=\"{start}{token}\"")), "{mail:?}");
    token.to_owned()
}

/// Use the token of a link.
pub async fn open(client: &Client, path: &str, token: &str) -> (StatusCode, Value) {
    post(client, path, &json!({ "token": token })).await
}

/// Log in, and return the status and the access token.
pub async fn log_in(client: &Client, email: &str, password: &str) -> (StatusCode, String) {
    let credentials = json!({ "email": email, "password": password });
    let (status, session) = post(client, "/auth/login", &credentials).await;
    (status, session["access_token"].as_str().unwrap_or_default().to_owned())
}

/// The account of an access token.
pub async fn account(client: &Client, access: &str) -> Value {
    let me = client.request(reqwest::Method::GET, "/auth/me").bearer_auth(access);
    let (status, account) = fetch_json(me).await;
    assert_eq!(status, StatusCode::OK, "{account}");
    account
}
