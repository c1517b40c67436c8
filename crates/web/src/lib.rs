//! The page, embedded into the program: upload videos, watch them, look at the frames, download the
//! archive.
//!
//! It stands in `page/` as browsers read it: one document, one style sheet, a few ES modules,
//! nothing to build. It knows the service by the public HTTP interface alone.

use std::io::Write;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::web::Path;
use poem::web::headers::{ETag, HeaderMapExt, IfNoneMatch};
use poem::{Response, Route, get, handler};
use sha2::{Digest, Sha256};

/// What the page may do: nothing but run its own modules, show its own pictures and talk to its own
/// service (CSP level 3). It is nobody's frame, and text never becomes script or markup in it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
    frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Where the document has the version of its assets.
const PLACE: &str = "{version}";

macro_rules! assets {
    ($($name:literal)*) => { &[$(($name, include_bytes!(concat!("../page/", $name)))),*] };
}

/// Everything that the document needs.
const FILES: &[(&str, &[u8])] = assets! {
    "style.css" "icon.svg"
    "main.js" "dom.js" "words.js" "format.js" "session.js" "jobs.js" "watch.js"
    "entry.js" "uploads.js" "tray.js" "list.js" "state.js" "job.js" "gallery.js" "viewer.js"
};

/// The document, and the assets that it names by their version.
struct Page {
    version: String,
    document: Asset,
    assets: Vec<Asset>,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let html = include_str!("../page/index.html");
    let mut digest = Sha256::new();
    for (_, bytes) in FILES {
        digest.update(bytes);
    }
    let version = short(&digest.finalize());
    let document = Asset::new("index.html", html.replace(PLACE, &version).into_bytes());
    Page {
        version,
        document,
        assets: FILES.iter().map(|(name, bytes)| Asset::new(name, bytes.to_vec())).collect(),
    }
});

/// A file as it is sent.
struct Asset {
    name: &'static str,
    kind: &'static str,
    etag: String,
    plain: Vec<u8>,
    gzip: Vec<u8>,
}

impl Asset {
    fn new(name: &'static str, plain: Vec<u8>) -> Self {
        let kind = match name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/javascript; charset=utf-8",
        };
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Memory takes everything; if it did not, nothing would be called compressed.
        let gzip = encoder.write_all(&plain).and_then(|()| encoder.finish()).unwrap_or_default();
        let etag = short(&Sha256::digest(&plain));
        Self { name, kind, etag, plain, gzip }
    }

    /// The file, as small as the client understands it (RFC 9110, 12.5.3), or that it has it
    /// already.
    fn response(&'static self, asked: &HeaderMap, cache: &str) -> Response {
        let accepted = asked
            .get(header::ACCEPT_ENCODING)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let gzip = !self.gzip.is_empty()
            && accepted.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("gzip"));
        let etag = format!("\"{}{}\"", self.etag, if gzip { "-gzip" } else { "" });
        let response = Response::builder()
            .header(header::ETAG, &etag)
            .header(header::CACHE_CONTROL, cache)
            .header(header::VARY, "Accept-Encoding");
        let known = |known: IfNoneMatch| {
            etag.parse::<ETag>().is_ok_and(|etag| !known.precondition_passes(&etag))
        };
        if asked.typed_get().is_some_and(known) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        let response = response.content_type(self.kind);
        if gzip {
            return response.header(header::CONTENT_ENCODING, "gzip").body(&*self.gzip);
        }
        response.body(&*self.plain)
    }
}

/// The beginning of a hash, in hexadecimal: enough to tell versions apart.
fn short(hash: &[u8]) -> String {
    format!(
        "{:016x}",
        hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    )
}

/// The page at `/` and its assets below `/assets`, to be served beside the interface.
#[must_use]
pub fn routes() -> Route {
    Route::new().at("/", get(serve_document)).at("/assets/:version/:name", get(serve_asset))
}

#[handler]
fn serve_document(headers: &HeaderMap) -> Response {
    // Always asked for, so that a new version is seen at once.
    let mut response = PAGE.document.response(headers, "no-cache");
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

#[handler]
fn serve_asset(
    headers: &HeaderMap,
    Path((version, name)): Path<(String, String)>,
) -> poem::Result<Response> {
    let asset = PAGE.assets.iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| poem::Error::from_status(StatusCode::NOT_FOUND))?;
    // While processes are replaced, the document may come from one and be asked for by its version
    // at another. The file of the other works in all likelihood, but is not to be kept under that
    // name.
    let cache =
        if version == PAGE.version { "public, max-age=31536000, immutable" } else { "no-cache" };
    Ok(asset.response(headers, cache))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_files_of_the_page_are_in_the_program() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/page");
        let entries = std::fs::read_dir(directory).expect("the page is there");
        let found: BTreeSet<String> = entries
            .map(|entry| {
                entry.expect("it can be listed").file_name().to_string_lossy().into_owned()
            })
            .collect();
        let known = FILES
            .iter()
            .map(|(name, _)| *name)
            .chain([PAGE.document.name])
            .map(str::to_owned)
            .collect();
        assert_eq!(found, known);
    }

    /// What a browser fetches before the page can be used.
    #[test]
    fn the_first_view_is_small() {
        let bytes: usize =
            PAGE.assets.iter().chain([&PAGE.document]).map(|asset| asset.gzip.len()).sum();
        assert!(bytes < 100_000, "{bytes} bytes");
        for asset in &PAGE.assets {
            assert!(
                !asset.gzip.is_empty() && asset.gzip.len() < asset.plain.len(),
                "{}",
                asset.name
            );
        }
    }

    #[test]
    fn the_document_names_its_modules_by_their_version() {
        let html = String::from_utf8_lossy(&PAGE.document.plain);
        assert!(!html.contains(PLACE));
        for (name, _) in FILES {
            assert!(
                html.contains(&format!("/assets/{}/{name}", PAGE.version)),
                "{name} would be found late"
            );
        }
    }
}
