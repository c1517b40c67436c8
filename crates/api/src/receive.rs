//! An upload on its way from the connection to the store: streamed, never held whole, never spooled to a file of its own.

use bytes::BytesMut;
use database::accept::Video;
use jobs::video::safe_filename;
use jobs::{JobId, UserId, VideoFormat};
use multer::{Field, Multipart};
use poem::http::StatusCode;
use poem::{Body, Request, RequestBody};
use poem_openapi::error::ContentTypeError;
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use storage::{Key, Upload};

use crate::Service;
use crate::problem::Problem;

/// Videos in one request.
pub const MOST_FILES: usize = 50;
/// Bytes from the start of a file that tell its container.
const HEAD: usize = 256;

/// A `multipart/form-data` body (RFC 7578), not read yet.
pub struct Form {
    boundary: String,
    body: Body,
}

/// A video that is written and waits for all others of its request to be so, too.
struct Written {
    video: Video,
    upload: Box<dyn Upload>,
}

/// Who receives, and from whom.
#[derive(Clone, Copy)]
struct Receiver<'a> {
    service: &'a Service,
    user: UserId,
}

impl Form {
    /// Receive all videos of the form into the store.
    ///
    /// Either all of them are complete afterwards, or none is there.
    pub async fn receive(self, service: &Service, user: UserId) -> Result<Vec<Video>, Problem> {
        let mut form = Multipart::new(self.body.into_bytes_stream(), self.boundary);
        let receiver = Receiver { service, user };
        let written = receiver.receive(&mut form).await?;
        receiver.complete(written).await
    }
}

impl Receiver<'_> {
    /// Write all files of a form. When this fails, or is given up, what was written is dropped, which leaves nothing.
    async fn receive(self, form: &mut Multipart<'_>) -> Result<Vec<Written>, Problem> {
        let mut written = Vec::new();
        while let Some(field) = self.patiently(form.next_field()).await? {
            match field.name() {
                Some("file") if written.len() == MOST_FILES => {
                    let detail = format!("One request takes {MOST_FILES} videos at most. Send the rest in another.");
                    return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_MANY_FILES", detail));
                }
                Some("file") => written.push(self.file(field).await?),
                _ => {
                    let name = field.name().unwrap_or_default().chars().take(50).collect::<String>();
                    let message = format!("The form has a part `{name}`; videos are sent as parts named `file`.");
                    return Err(Problem::field("file", "UNKNOWN_FIELD", &message));
                }
            }
        }
        if written.is_empty() {
            return Err(Problem::field("file", "FILE_MISSING", "The form holds no video. Send each as a part named `file`."));
        }
        Ok(written)
    }

    async fn file(self, mut field: Field<'_>) -> Result<Written, Problem> {
        let filename = safe_filename(field.file_name().unwrap_or_default());
        if filename.is_empty() {
            return Err(Problem::field("file", "FILENAME_MISSING", "The video has no file name."));
        }
        let unsupported = |code, detail| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code, detail);
        let Some(format) = VideoFormat::of_filename(&filename) else {
            let accepted = VideoFormat::ALL.map(|format| format!(".{}", format.suffix())).join(" ");
            return Err(unsupported("UNSUPPORTED_FORMAT", format!("`{filename}` is not accepted. Accepted are {accepted}.")));
        };
        let mut head = BytesMut::new();
        while head.len() < HEAD {
            match self.patiently(field.chunk()).await? {
                Some(chunk) => head.extend_from_slice(&chunk),
                None => break,
            }
        }
        if head.is_empty() {
            return Err(Problem::field("file", "EMPTY_FILE", &format!("`{filename}` is empty.")));
        }
        if (self.service.parts.recognise)(&head) != Some(format.container()) {
            let detail =
                format!("The content of `{filename}` is not that of a .{} file. Check the file, or its name.", format.suffix());
            return Err(unsupported("CONTENT_MISMATCH", detail));
        }

        let id = JobId::generate();
        let key = Key::input(self.user, id, format);
        let mut upload = self.service.parts.storage.create(&key).await?;
        let (mut size_bytes, mut chunk) = (0, head.freeze());
        loop {
            size_bytes += chunk.len() as u64;
            let most = self.service.settings.max_video_bytes;
            if size_bytes > most {
                let detail = format!("`{filename}` is larger than {} MB.", most >> 20);
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "VIDEO_TOO_LARGE", detail));
            }
            upload.write(chunk).await?;
            chunk = match self.patiently(field.chunk()).await? {
                Some(chunk) => chunk,
                None => break,
            };
        }
        let path = key.to_string();
        Ok(Written { video: Video { id, filename, format, path, size_bytes }, upload })
    }

    async fn complete(self, written: Vec<Written>) -> Result<Vec<Video>, Problem> {
        let mut videos: Vec<Video> = Vec::with_capacity(written.len());
        for Written { video, upload } in written {
            let completed = upload.complete().await.map_err(Problem::from).and_then(|size| {
                let expected = video.size_bytes;
                let short = || Problem::internal(&format!("the store kept {size} of {expected} bytes"));
                if size == expected { Ok(()) } else { Err(short()) }
            });
            videos.push(video);
            if let Err(problem) = completed {
                discard(self.service, &videos).await;
                return Err(problem);
            }
        }
        Ok(videos)
    }

    /// The next piece of the body, if it comes in time.
    async fn patiently<T>(self, piece: impl Future<Output = multer::Result<T>>) -> Result<T, Problem> {
        let patience = self.service.settings.upload_patience;
        let Ok(piece) = tokio::time::timeout(patience, piece).await else {
            let detail = format!("Nothing came for {} seconds. Upload again.", patience.as_secs());
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "UPLOAD_STALLED", detail));
        };
        piece.map_err(|error| {
            let detail = format!("The upload is broken off or not a form: {error}. Upload again.");
            Problem::new(StatusCode::BAD_REQUEST, "UPLOAD_BROKEN", detail)
        })
    }
}

/// Remove videos that became no jobs.
pub async fn discard(service: &Service, videos: &[Video]) {
    for video in videos {
        let Ok(key) = video.path.parse::<Key>() else { continue };
        if let Err(error) = service.parts.storage.delete(&key).await {
            tracing::warn!(%error, "a video that became no job could not be removed; the sweep will");
        }
    }
}

impl Payload for Form {
    const CONTENT_TYPE: &'static str = "multipart/form-data";

    fn schema_ref() -> MetaSchemaRef {
        let file = MetaSchema {
            description: Some("A video. The part may be repeated."),
            ..MetaSchema::new_with_format("string", "binary")
        };
        let files = MetaSchema {
            items: Some(Box::new(MetaSchemaRef::Inline(Box::new(file)))),
            min_items: Some(1),
            max_items: Some(MOST_FILES),
            ..MetaSchema::new("array")
        };
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            required: vec!["file"],
            properties: vec![("file", MetaSchemaRef::Inline(Box::new(files)))],
            ..MetaSchema::new("object")
        }))
    }
}

impl ParsePayload for Form {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        let content_type = request.content_type().unwrap_or_default();
        let boundary = multer::parse_boundary(content_type)
            .map_err(|_| ContentTypeError::NotSupported { content_type: content_type.to_owned() })?;
        Ok(Self { boundary, body: body.take()? })
    }
}

impl<'a> ApiExtractor<'a> for Form {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(_registry: &mut Registry) {}

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: Self::CONTENT_TYPE, schema: Self::schema_ref() }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(request: &'a Request, body: &mut RequestBody, _: ExtractParamOptions<()>) -> poem::Result<Self> {
        <Self as ParsePayload>::from_request(request, body).await
    }
}
