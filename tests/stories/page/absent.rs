//! Addresses at which there is nothing, and paths of the API that are opened in a browser.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use reqwest::{Method, StatusCode};

use super::browser::Browser;
use crate::harness::clips::SHORT;
use crate::harness::service::Service;

/// Value of `Accept` of browsers that open an address.
const NAVIGATION: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

#[tokio::test(flavor = "multi_thread")]
async fn browsers_get_the_page_and_programs_a_problem() {
    let service = Service::start().await;
    for (path, status) in [
        ("/nowhere", StatusCode::NOT_FOUND),
        ("/videos", StatusCode::UNAUTHORIZED),
        ("/auth/login", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        for (accept, content_type) in [
            (NAVIGATION, "text/html; charset=utf-8"),
            ("*/*", "application/problem+json"),
            ("application/json, text/html", "application/problem+json"),
        ] {
            let request = service.request(Method::GET, path).header(ACCEPT, accept);
            let response = request.send().await.expect("the service responds");
            assert_eq!(response.status(), status, "{path} {accept}");
            let header =
                |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
            assert_eq!(header(CONTENT_TYPE.as_str()), Some(content_type), "{path} {accept}");
            let policy = header(CONTENT_SECURITY_POLICY.as_str()).unwrap_or_default();
            assert_eq!(policy.contains("script-src 'self'"), accept == NAVIGATION, "{policy}");
            assert_eq!(header("cache-control"), Some("no-store"), "{path} {accept}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn says_in_words_that_there_is_nothing() {
    let service = Service::start().await;
    let user = service.user().await;
    let browser = Browser::logged_in(&service, &user, "/#/state/FOO").await;
    browser.wait_for_text("Page not found").await;
    browser.assert_accessible("page_not_found").await;
    browser.goto("/#/nowhere").await;
    browser.wait_for_text("This address does not exist.").await;
    browser.goto("/nowhere/at/all").await;
    browser.wait_for_text("Page not found").await;
    browser.click(".languages [lang=pt]").await;
    browser.wait_for_text("Página não encontrada").await;
    browser.click(".account-link").await;
    browser.find("[data-setting=name]").await;
    browser.goto("/nowhere/at/all").await;
    browser.click(".card .primary").await;
    browser.find(".drop-area").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_of_the_api_lead_to_the_view_of_what_they_are_about() {
    let service = Service::start().await;
    let user = service.user().await;
    let job = user.upload_clip(SHORT).await;
    user.wait_until_done(&job).await;
    let browser = Browser::logged_in(&service, &user, &format!("/jobs/{job}")).await;
    for path in [format!("/jobs/{job}"), format!("/videos/{job}"), format!("/jobs/{job}/status")] {
        browser.goto(&path).await;
        browser.find(".frames img[src]").await;
        let address = format!("location.pathname === '/' && location.hash === '#/jobs/{job}'");
        browser.wait_until(&address).await;
    }
    browser.goto(&format!("/jobs/{job}/frames/2")).await;
    browser.wait_for_text("Frame 2 of").await;
    browser.goto("/keys").await;
    browser.find("#create-key").await;

    let (_, link) = user.get(&format!("/jobs/{job}/download")).await;
    service.advance(Duration::from_mins(20));
    let url = link["download_url"].as_str().expect("a link");
    browser.client.goto(url).await.expect("the address can be opened");
    browser.wait_for_text("This download link has expired.").await;
    browser.assert_no_console_errors().await;
}
