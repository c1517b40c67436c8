//! The protocol of resumable uploads: tus 1.0.0 (tus.io, "Resumable Upload Protocol"), with the
//! extensions creation, creation-with-upload, termination, expiration and checksum.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jobs::Time;
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use poem::{Body, Request, RequestBody};
use poem_openapi::error::ContentTypeError;
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions, impl_apirequest_for_payload,
};
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// Version of the protocol.
pub const VERSION: &str = "1.0.0";

/// Extensions of the protocol, as the value of `Tus-Extension`.
pub const EXTENSIONS: &str = "creation,creation-with-upload,termination,expiration,checksum";

/// Name of the only checksum algorithm.
pub const CHECKSUM_ALGORITHM: &str = "sha256";

/// Path of all uploads.
pub const PATH: &str = "/uploads";

/// Headers of requests, for CORS.
pub const REQUEST_HEADERS: [HeaderName; 6] = [
    HeaderName::from_static("tus-resumable"),
    HeaderName::from_static("upload-checksum"),
    HeaderName::from_static("upload-length"),
    HeaderName::from_static("upload-metadata"),
    HeaderName::from_static("upload-offset"),
    METHOD_OVERRIDE,
];

/// Headers of responses, for CORS.
pub const RESPONSE_HEADERS: [&str; 10] = [
    "Tus-Checksum-Algorithm",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Resumable",
    "Tus-Version",
    "Upload-Expires",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
    "X-Job-Id",
];

const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// Content type of the bytes of an upload.
const CONTENT_TYPE: &str = "application/offset+octet-stream";

/// Status of a wrong checksum, which only the protocol defines.
const CHECKSUM_MISMATCH: u16 = 460;

/// Whether a path is one of the protocol.
fn is_of_protocol(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Replace the method of a request by that which a client states in a header, because it cannot
/// send it. The protocol demands that for its requests.
pub fn override_method(request: &mut Request) {
    if request.method() == Method::POST
        && is_of_protocol(request.uri().path())
        && let Some(method) = request.headers().get(METHOD_OVERRIDE)
        && let Ok(method) = Method::from_bytes(method.as_bytes())
    {
        request.set_method(method);
    }
}

/// Add the headers that the protocol demands of all responses.
pub fn complete_response(path: &str, status: StatusCode, headers: &mut HeaderMap) {
    if is_of_protocol(path) {
        headers.insert("tus-resumable", HeaderValue::from_static(VERSION));
        if status == StatusCode::PRECONDITION_FAILED {
            headers.insert("tus-version", HeaderValue::from_static(VERSION));
        }
    }
}

/// Check the version of the protocol that a client states.
pub fn check_version(stated: Option<&str>) -> Result<(), Problem> {
    if stated == Some(VERSION) {
        return Ok(());
    }
    let detail = format!("Uploads use tus {VERSION}. Send it in the header `Tus-Resumable`.");
    Err(Problem::new(StatusCode::PRECONDITION_FAILED, "TUS_VERSION_UNSUPPORTED", detail))
}

/// The time as an HTTP date (RFC 9110, 5.6.7).
pub fn http_date(time: Time) -> String {
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Metadata of an upload.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// File name, as the client sends it.
    pub filename: Option<String>,
    /// Recipe as JSON.
    pub recipe: Option<Vec<u8>>,
}

impl Metadata {
    /// Read the header `Upload-Metadata`: pairs of a key and a value in Base64, separated by
    /// commas. Others than `filename` and `recipe`, which clients add, are ignored.
    pub fn parse(header: &str) -> Result<Self, Problem> {
        let mut metadata = Self::default();
        for pair in header.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            if !matches!(key, "filename" | "recipe") {
                continue;
            }
            let value = STANDARD.decode(value.trim()).map_err(|error| {
                let message = format!("The value of `{key}` is not Base64: {error}.");
                Problem::field("Upload-Metadata", "METADATA_INVALID", &message)
            })?;
            match key {
                "filename" => metadata.filename = Some(String::from_utf8_lossy(&value).into()),
                _ => metadata.recipe = Some(value),
            }
        }
        Ok(metadata)
    }
}

/// Expected checksum of a request's bytes, and that of those received so far.
pub struct Checksum {
    expected: Vec<u8>,
    received: Sha256,
}

impl Checksum {
    /// Read the header `Upload-Checksum`.
    pub fn parse(header: &str) -> Result<Self, Problem> {
        let sum = header.split_once(' ').filter(|(name, _)| *name == CHECKSUM_ALGORITHM);
        let sum = sum.and_then(|(_, sum)| STANDARD.decode(sum.trim()).ok());
        let sum = sum.filter(|sum| sum.len() == Sha256::output_size());
        let expected = sum.ok_or_else(|| {
            let detail = "The checksum is invalid. Send `Upload-Checksum: sha256` and the SHA-256 \
                          of the body in Base64.";
            Problem::new(StatusCode::BAD_REQUEST, "CHECKSUM_UNSUPPORTED", detail)
        })?;
        Ok(Self { expected, received: Sha256::new() })
    }

    /// Add bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.received.update(bytes);
    }

    /// Compare the checksums.
    pub fn check(self) -> Result<(), Problem> {
        if self.received.finalize()[..] == self.expected {
            return Ok(());
        }
        let status = StatusCode::from_u16(CHECKSUM_MISMATCH).unwrap_or(StatusCode::BAD_REQUEST);
        let detail = "The bytes do not have the stated checksum, so none were stored. Send them \
                      again.";
        Err(Problem::new(status, "CHECKSUM_MISMATCH", detail))
    }
}

/// Bytes of an upload, which have not been read yet.
pub struct Bytes(pub Body);

impl Payload for Bytes {
    const CONTENT_TYPE: &'static str = CONTENT_TYPE;

    fn check_content_type(content_type: &str) -> bool {
        content_type.split(';').next().is_some_and(|kind| kind.trim() == CONTENT_TYPE)
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            description: Some("Bytes of the video from the offset on."),
            ..MetaSchema::new_with_format("string", "binary")
        }))
    }
}

impl ParsePayload for Bytes {
    const IS_REQUIRED: bool = true;

    async fn from_request(_request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self(body.take()?))
    }
}

impl_apirequest_for_payload!(Bytes,);

/// First bytes of an upload, if the request that creates it has a body.
pub struct FirstBytes(pub Option<Body>);

impl<'a> ApiExtractor<'a> for FirstBytes {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Bytes as Payload>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content =
            vec![MetaMediaType { content_type: Bytes::CONTENT_TYPE, schema: Bytes::schema_ref() }];
        Some(MetaRequest { description: None, content, required: false })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        if request.content_type().is_some_and(Bytes::check_content_type) {
            return Ok(Self(Some(body.take()?)));
        }
        let headers = request.headers();
        let has_body = headers.contains_key(header::TRANSFER_ENCODING)
            || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
        match request.content_type() {
            Some(content_type) if has_body => {
                let content_type = content_type.to_owned();
                Err(ContentTypeError::NotSupported { content_type }.into())
            }
            None if has_body => Err(ContentTypeError::ExpectContentType.into()),
            _ => Ok(Self(None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_metadata_of_clients() {
        let parse = |header| Metadata::parse(header).map_err(|problem| problem.code());
        let recipe = STANDARD.encode(r#"{"select": {"every": 2}}"#);
        let header = format!("filetype dmlkZW8=,filename cHJhaWEubXA0 , recipe {recipe},empty");
        let metadata = parse(&header).expect("it is valid");
        assert_eq!(metadata.filename.as_deref(), Some("praia.mp4"));
        assert_eq!(metadata.recipe.as_deref(), Some(&br#"{"select": {"every": 2}}"#[..]));
        assert_eq!(parse(""), Ok(Metadata::default()));
        assert_eq!(parse("filename a.mp4"), Err("INVALID_FIELDS"));
        // Values of keys that are ignored may be anything.
        assert_eq!(parse("other ???"), Ok(Metadata::default()));
    }

    #[test]
    fn compares_checksums() {
        // The SHA-256 of "abc" (FIPS 180-2, B.1).
        let sum = hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let header = format!("sha256 {}", STANDARD.encode(sum));
        for (bytes, code) in [("abc", None), ("abd", Some("CHECKSUM_MISMATCH"))] {
            let mut checksum = Checksum::parse(&header).expect("it is valid");
            checksum.update(&bytes.as_bytes()[..1]);
            checksum.update(&bytes.as_bytes()[1..]);
            assert_eq!(checksum.check().err().map(|problem| problem.code()), code);
        }
        for header in ["", "sha256", "sha256 ", "sha256 YQ==", "sha1 YQ==", "md5"] {
            let code = Checksum::parse(header).err().map(|problem| problem.code());
            assert_eq!(code, Some("CHECKSUM_UNSUPPORTED"), "{header}");
        }
    }

    fn hex(digits: &str) -> Vec<u8> {
        let digit = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
        (0..digits.len()).step_by(2).map(digit).collect()
    }

    #[test]
    fn writes_http_dates() {
        // The example of RFC 9110, 5.6.7.
        let time = Time::from_timestamp(784_111_777, 0).expect("a time");
        assert_eq!(http_date(time), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn knows_its_paths() {
        for (path, expected) in
            [("/uploads", true), ("/uploads/", true), ("/uploads/1", true), ("/uploadsx", false)]
        {
            assert_eq!(is_of_protocol(path), expected, "{path}");
        }
    }
}
