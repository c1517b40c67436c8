//! Swagger UI: complete, without other hosts, and only its own scripts run.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use reqwest::{Method, StatusCode};
use sha2::{Digest, Sha256};

use crate::harness::service::Service;

/// Markup of a page without its scripts, and the scripts.
fn parts(html: &str) -> (String, Vec<String>) {
    let (mut markup, mut scripts, mut rest) = (String::new(), Vec::new(), html);
    // A script ends at the first closing tag (HTML, 13.2.5.4). The page has no closing tag inside
    // a comment of a script.
    while let Some(start) = rest.find("<script") {
        let text = start + rest[start..].find('>').expect("the tag ends") + 1;
        let end = text + rest[text..].find("</script>").expect("the script ends");
        markup += &rest[..text];
        scripts.push(rest[text..end].to_owned());
        rest = &rest[end..];
    }
    (markup + rest, scripts)
}

#[tokio::test(flavor = "multi_thread")]
async fn swagger_ui_is_complete_and_uses_no_other_host() {
    let service = Service::start().await;
    let response =
        service.request(Method::GET, "/docs").send().await.expect("the service responds");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    let policy = response.headers()[CONTENT_SECURITY_POLICY]
        .to_str()
        .expect("the header is text")
        .to_owned();
    let html = response.text().await.expect("the page is complete");

    // Browsers normalize line ends before they hash a script.
    assert!(!html.contains('\r'));
    let (markup, scripts) = parts(&html);
    assert!(
        scripts.iter().any(|script| script.contains("SwaggerUIBundle({")),
        "no script starts Swagger UI"
    );
    assert!(
        scripts.iter().any(|script| script.contains("/jobs/{id}/download")),
        "the page does not contain the document"
    );
    check_policy(&policy, &scripts);
    check_references(&markup, &scripts);
}

/// The policy allows only the page's own scripts, and connections to this service only.
fn check_policy(policy: &str, scripts: &[String]) {
    let directive = |name: &str| -> BTreeSet<String> {
        let found = policy
            .split(';')
            .map(str::trim)
            .find_map(|directive| directive.strip_prefix(&format!("{name} ")));
        found
            .unwrap_or_else(|| panic!("no {name} in {policy}"))
            .split(' ')
            .map(str::to_owned)
            .collect()
    };
    let hashes = scripts
        .iter()
        .map(|script| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(script))));
    assert_eq!(
        directive("script-src"),
        hashes.collect(),
        "only the page's own scripts are allowed"
    );
    for (name, only) in [
        ("default-src", "'none'"),
        ("connect-src", "'self'"),
        ("img-src", "data:"),
        ("frame-ancestors", "'none'"),
    ] {
        assert_eq!(directive(name), [only.to_owned()].into(), "{name}");
    }
    assert!(!policy.contains("http"), "another host is allowed: {policy}");
}

/// Besides the policy, the page itself refers to no other host.
fn check_references(markup: &str, scripts: &[String]) {
    let lower = markup.to_ascii_lowercase();
    for attribute in [" src=", " href=", " action=", "@import", "url("] {
        for (at, _) in lower.match_indices(attribute) {
            let value: String = lower[at + attribute.len()..]
                .trim_start_matches(['"', '\'', ' ', '='])
                .chars()
                .take(40)
                .collect();
            assert!(
                !value.starts_with("http") && !value.starts_with("//"),
                "the page loads {value}"
            );
        }
    }
    for script in scripts {
        for external in
            ["importScripts(", "import(\"http", "import('http", "src=\"http", "href=\"http"]
        {
            assert!(!script.contains(external), "a script contains {external}");
        }
    }
}
