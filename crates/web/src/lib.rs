//! Web page of the service, embedded into the program: upload videos, watch their jobs, view the
//! frames and download the archives.
//!
//! The files in `page/` are served as they are, without a build step: a document, a style sheet
//! and ES modules. The page uses nothing but the public HTTP API.

use std::io::Write;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::web::Path;
use poem::web::headers::{ETag, HeaderMapExt, IfNoneMatch};
use poem::{Response, Route, get, handler};
use sha2::{Digest, Sha256};

/// Content security policy of the page (CSP level 3): run its own modules, show its own images
/// and send requests to its own service. No other site can embed it, and text never becomes script
/// or markup (Trusted Types).
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
    form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Media type of the document.
const HTML: &str = "text/html; charset=utf-8";
/// Placeholder in the document for the version of its assets.
const VERSION_PLACEHOLDER: &str = "{version}";
/// Placeholder in the document for the code of the problem that it states.
const PROBLEM_PLACEHOLDER: &str = "{problem}";

macro_rules! assets {
    ($($name:literal)*) => { &[$(($name, include_bytes!(concat!("../page/", $name)))),*] };
}

/// Names and contents of all files that the document links to, or that its modules load later.
const ASSETS: &[(&str, &[u8])] = assets! {
    "style.css" "list.css" "gallery.css" "options.css" "account.css" "icon.svg" "dom.js" "store.js"
    "account-texts.js" "webhook-texts.js" "texts.js" "format.js" "webhook-problems.js"
    "problems.js" "errors.js" "session.js" "recipe.js" "recipe-text.js" "jobs.js" "frames.js"
    "live-times.js" "estimates.js" "status.js" "watch.js" "upload-records.js" "tus.js" "uploads.js"
    "upload-panel.js" "options-form.js" "options.js" "by-url.js" "drop-area.js" "drops.js" "form.js"
    "new-password.js" "login.js" "confirmation.js" "absent.js" "mail-links.js" "step-dialog.js"
    "account-sessions.js" "copy-button.js" "account-keys.js" "second-factor.js" "account.js"
    "webhook-form.js" "webhooks.js" "webhook-deliveries.js" "webhook.js" "list-place.js"
    "downloads.js" "job-row.js" "sample.js" "list-tools.js" "storage-usage.js" "thumbnails.js"
    "list.js" "viewer.js" "scrubber.js" "frame-blocks.js" "frame-selection.js" "gallery.js"
    "contact-sheets.js" "previews.js" "process-again.js" "share-texts.js" "share-dialog.js" "job.js"
    "shared.js" "mail-settings.js" "main.js"
};

/// Clip to try the service with, which the page loads on request.
const SAMPLE: (&str, &[u8]) = ("sample.mp4", include_bytes!("../../../fixtures/sample.mp4"));

/// The document, and the assets that it links to by their version.
struct Page {
    /// Hash of all assets.
    version: String,
    /// The document with a placeholder for a problem.
    template: String,
    /// The document without a problem.
    document: Asset,
    assets: Vec<Asset>,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let html = include_str!("../page/index.html");
    let mut digest = Sha256::new();
    let files = || ASSETS.iter().chain([&SAMPLE]);
    for (_, bytes) in files() {
        digest.update(bytes);
    }
    let version = short_hash(&digest.finalize());
    let template = html.replace(VERSION_PLACEHOLDER, &version);
    let document = Asset::new("index.html", template.replace(PROBLEM_PLACEHOLDER, "").into_bytes());
    let assets = files().map(|(name, bytes)| Asset::new(name, bytes.to_vec())).collect();
    Page { version, template, document, assets }
});

/// File of the page with its response headers.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    etag: String,
    bytes: Vec<u8>,
    /// The bytes compressed with gzip. Empty if that does not make them smaller.
    gzip: Vec<u8>,
}

impl Asset {
    fn new(name: &'static str, bytes: Vec<u8>) -> Self {
        let content_type = match name.rsplit('.').next() {
            Some("html") => HTML,
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml; charset=utf-8",
            Some("mp4") => "video/mp4",
            _ => "text/javascript; charset=utf-8",
        };
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory does not fail. If it did, the file would be sent uncompressed.
        let gzip = encoder.write_all(&bytes).and_then(|()| encoder.finish()).unwrap_or_default();
        let gzip = if gzip.len() < bytes.len() { gzip } else { Vec::new() };
        let etag = short_hash(&Sha256::digest(&bytes));
        Self { name, content_type, etag, bytes, gzip }
    }

    /// Return the file, compressed if the client accepts gzip (RFC 9110, 12.5.3), or 304 if the
    /// client has it (RFC 9110, 13.1.2).
    fn response(&'static self, request_headers: &HeaderMap, cache_control: &str) -> Response {
        let accepted = request_headers
            .get(header::ACCEPT_ENCODING)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let gzip = !self.gzip.is_empty()
            && accepted.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("gzip"));
        let etag = format!("\"{}{}\"", self.etag, if gzip { "-gzip" } else { "" });
        let response = Response::builder()
            .header(header::ETAG, &etag)
            .header(header::CACHE_CONTROL, cache_control)
            .header(header::VARY, "Accept-Encoding");
        let matches = |condition: IfNoneMatch| {
            etag.parse::<ETag>().is_ok_and(|etag| !condition.precondition_passes(&etag))
        };
        if request_headers.typed_get().is_some_and(matches) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        let response = response.content_type(self.content_type);
        if gzip {
            return response.header(header::CONTENT_ENCODING, "gzip").body(&*self.gzip);
        }
        response.body(&*self.bytes)
    }
}

/// First eight bytes of a hash in hexadecimal, which is enough to distinguish versions.
fn short_hash(hash: &[u8]) -> String {
    let head = hash.iter().take(8).fold(0_u64, |head, byte| head << 8 | u64::from(*byte));
    format!("{head:016x}")
}

/// Routes of the page: the document at `/` and its assets below `/assets`.
#[must_use]
pub fn routes() -> Route {
    Route::new().at("/", get(serve_document)).at("/assets/:version/:name", get(serve_asset))
}

/// The document, which states the problem with this code in words. Its modules know from the
/// address of the browser what was requested.
#[must_use]
pub fn problem_page(code: &str) -> Response {
    Response::builder()
        .content_type(HTML)
        .header(header::VARY, "Accept")
        .header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY)
        .body(PAGE.template.replace(PROBLEM_PLACEHOLDER, code))
}

#[handler]
fn serve_document(headers: &HeaderMap) -> Response {
    // Browsers revalidate the document each time, so that they load a new version at once.
    let mut response = PAGE.document.response(headers, "no-cache");
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    response
}

#[handler]
fn serve_asset(
    headers: &HeaderMap,
    Path((version, name)): Path<(String, String)>,
) -> poem::Result<Response> {
    let asset = PAGE
        .assets
        .iter()
        .find(|asset| asset.name == name)
        .ok_or_else(|| poem::Error::from_status(StatusCode::NOT_FOUND))?;
    // During a rolling update, a document of one version may request assets from a process of
    // another. Its file most likely works, but must not be cached under the other version.
    let cache_control =
        if version == PAGE.version { "public, max-age=31536000, immutable" } else { "no-cache" };
    Ok(asset.response(headers, cache_control))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn embeds_all_files_of_the_page() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/page");
        let files: BTreeSet<String> = std::fs::read_dir(directory)
            .expect("the directory can be read")
            .map(|entry| entry.expect("the directory can be read").file_name())
            .map(|name| name.into_string().expect("the name is UTF-8"))
            .collect();
        let embedded = ASSETS
            .iter()
            .map(|(name, _)| *name)
            .chain([PAGE.document.name])
            .map(str::to_owned)
            .collect();
        assert_eq!(files, embedded);
    }

    /// Files that are loaded when a view needs them.
    const LATER: &[&str] = &[
        "viewer.js",
        "frame-blocks.js",
        "frame-selection.js",
        "contact-sheets.js",
        "scrubber.js",
        "gallery.js",
        "previews.js",
        "process-again.js",
        "share-texts.js",
        "share-dialog.js",
        "job.js",
        "shared.js",
        "mail-links.js",
        "step-dialog.js",
        "copy-button.js",
        "account-sessions.js",
        "account-keys.js",
        "second-factor.js",
        "account.js",
        "webhook-form.js",
        "webhooks.js",
        "webhook-deliveries.js",
        "webhook.js",
        "by-url.js",
        "tus.js",
        "mail-settings.js",
        "sample.mp4",
    ];

    #[test]
    fn files_of_the_first_view_are_smaller_than_100_kb_compressed() {
        /// Bytes that browsers count for the head of a response (Resource Timing, 4.5).
        const HEAD: usize = 300;
        let files = PAGE.assets.iter().chain([&PAGE.document]);
        let first = files.filter(|asset| !LATER.contains(&asset.name));
        let bytes: usize = first.map(|asset| HEAD + asset.gzip.len()).sum();
        assert!(bytes < 100_000, "{bytes} bytes");
        for Asset { name, gzip, .. } in &PAGE.assets {
            assert!(!gzip.is_empty() || *name == SAMPLE.0, "{name} is not compressed");
        }
    }

    #[test]
    fn document_links_to_all_assets_of_the_first_view_by_version() {
        let html = String::from_utf8_lossy(&PAGE.document.bytes);
        assert!(!html.contains(VERSION_PLACEHOLDER) && !html.contains(PROBLEM_PLACEHOLDER));
        for (name, _) in ASSETS {
            let path = format!("/assets/{}/{name}", PAGE.version);
            let is_linked = html.contains(&path);
            assert_eq!(is_linked, !LATER.contains(name), "{name}: a missing link delays it");
        }
    }

    #[test]
    fn texts_use_one_word_for_one_thing() {
        /// Words, and those that the page uses instead.
        const WORDS: [(&str, &str); 6] = [
            ("picture", "frame"),
            ("image", "frame"),
            ("imagem", "quadro"),
            ("receita", "opções"),
            ("troc", "alterar"),
            ("novamente", "de novo"),
        ];
        for texts in [
            include_str!("../page/texts.js"),
            include_str!("../page/account-texts.js"),
            include_str!("../page/webhook-texts.js"),
            include_str!("../page/webhook-problems.js"),
            include_str!("../page/problems.js"),
            include_str!("../page/share-texts.js"),
        ] {
            let texts = texts.to_lowercase();
            for (word, better) in WORDS {
                assert!(!texts.contains(word), "{word} instead of {better}");
            }
        }
    }
}
