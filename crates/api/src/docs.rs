//! Swagger UI, from this service alone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poem::http::header;
use poem::{Endpoint, IntoResponse, Response, endpoint::make_sync};
use sha2::{Digest, Sha256};

/// The page, with a content security policy that allows exactly its own scripts, named by their
/// hashes (CSP level 3, 8.4).
pub fn page(html: String) -> impl Endpoint {
    let hashes: Vec<String> = scripts(&html)
        .map(|script| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(script))))
        .collect();
    let policy = format!(
        "default-src 'none'; script-src {}; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; frame-ancestors 'none'; \
         base-uri 'none'; form-action 'none'",
        hashes.join(" ")
    );
    make_sync(move |_| -> Response {
        Response::builder()
            .content_type("text/html; charset=utf-8")
            .header(header::CONTENT_SECURITY_POLICY, &policy)
            .body(html.clone())
            .into_response()
    })
}

/// The texts of the page's inline scripts. The bundle's own text holds no closing tag, or no
/// browser would read it.
fn scripts(html: &str) -> impl Iterator<Item = &str> {
    let mut left = html;
    std::iter::from_fn(move || {
        let (_, tag) = left.split_once("<script")?;
        let (_, text) = tag.split_once('>')?;
        let (text, rest) = text.split_once("</script>")?;
        left = rest;
        Some(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_found() {
        let html =
            "<script charset=\"UTF-8\">a < '<script>'</script><p></p><script>\n c\n</script>";
        assert_eq!(scripts(html).collect::<Vec<_>>(), ["a < '<script>'", "\n c\n"]);
    }
}
