//! Swagger UI, without anything from another host.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poem::http::header;
use poem::{Endpoint, IntoResponse, Response, endpoint::make_sync};
use sha2::{Digest, Sha256};

/// Page with a content security policy that allows only its own scripts, named by their hashes
/// (CSP level 3, 8.4).
pub fn page(html: String) -> impl Endpoint {
    let hashes: Vec<String> = inline_scripts(&html)
        .map(|script| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(script))))
        .collect();
    let policy = format!(
        "default-src 'none'; script-src {}; style-src 'unsafe-inline'; img-src data:; \
         connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
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

/// Inline scripts of the page. A script ends at the first closing tag, for browsers as well.
fn inline_scripts(html: &str) -> impl Iterator<Item = &str> {
    let mut rest = html;
    std::iter::from_fn(move || {
        let (_, tag) = rest.split_once("<script")?;
        let (_, text) = tag.split_once('>')?;
        let (text, after) = text.split_once("</script>")?;
        rest = after;
        Some(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_inline_scripts() {
        let html =
            "<script charset=\"UTF-8\">a < '<script>'</script><p></p><script>\n c\n</script>";
        assert_eq!(inline_scripts(html).collect::<Vec<_>>(), ["a < '<script>'", "\n c\n"]);
    }
}
