//! An upload on its way from the connection to the store: streamed, never held whole, never spooled
//! to a file of its own.

use std::sync::Arc;

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
use storage::{Key, Storage};
use tokio::runtime::Handle;
use tracing::{Instrument, Span, field, info_span, warn};

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

/// Videos that are in the store, complete, and no jobs yet. Dropping it removes them in the
/// background.
pub struct Received {
    storage: Arc<dyn Storage>,
    videos: Vec<Video>,
}

impl Received {
    /// The videos are somebody's from now on, or may be.
    pub fn keep(mut self) -> Vec<Video> {
        std::mem::take(&mut self.videos)
    }

    /// Remove the videos.
    pub async fn discard(mut self) {
        remove(Arc::clone(&self.storage), std::mem::take(&mut self.videos)).await;
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        // There is no runtime any more when the process ends.
        if !self.videos.is_empty()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(remove(Arc::clone(&self.storage), std::mem::take(&mut self.videos)));
        }
    }
}

/// Remove videos that became no jobs.
pub async fn remove(storage: Arc<dyn Storage>, videos: Vec<Video>) {
    for video in videos {
        let Ok(key) = video.path.parse::<Key>() else { continue };
        if let Err(error) = storage.delete(&key).await {
            warn!(%error, "a video that became no job could not be removed; the sweep will");
        }
    }
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
    /// Either all of them are there afterwards, or none.
    pub async fn receive(self, service: &Service, user: UserId) -> Result<Received, Problem> {
        let mut form = Multipart::new(self.body.into_bytes_stream(), self.boundary);
        let mut received =
            Received { storage: Arc::clone(&service.parts.storage), videos: Vec::new() };
        match (Receiver { service, user }).receive(&mut form, &mut received.videos).await {
            Ok(()) => Ok(received),
            Err(problem) => {
                received.discard().await;
                Err(problem)
            }
        }
    }
}

impl Receiver<'_> {
    /// Write all files of a form, one after another: uploads that are open share memory.
    async fn receive(
        self,
        form: &mut Multipart<'_>,
        videos: &mut Vec<Video>,
    ) -> Result<(), Problem> {
        while let Some(field) = self.patiently(form.next_field()).await? {
            match field.name() {
                Some("file") if videos.len() == MOST_FILES => {
                    let detail = format!(
                        "One request takes {MOST_FILES} videos at most. Send the rest in another."
                    );
                    return Err(Problem::new(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        "TOO_MANY_FILES",
                        detail,
                    ));
                }
                Some("file") => {
                    let span =
                        info_span!("receive", job_id = field::Empty, size_bytes = field::Empty);
                    videos.push(self.file(field).instrument(span).await?);
                }
                _ => {
                    let name =
                        field.name().unwrap_or_default().chars().take(50).collect::<String>();
                    let message = format!(
                        "The form has a part `{name}`; videos are sent as parts named `file`."
                    );
                    return Err(Problem::field("file", "UNKNOWN_FIELD", &message));
                }
            }
        }
        if videos.is_empty() {
            return Err(Problem::field(
                "file",
                "FILE_MISSING",
                "The form holds no video. Send each as a part named `file`.",
            ));
        }
        Ok(())
    }

    async fn file(self, mut field: Field<'_>) -> Result<Video, Problem> {
        let filename = safe_filename(field.file_name().unwrap_or_default());
        if filename.is_empty() {
            return Err(Problem::field("file", "FILENAME_MISSING", "The video has no file name."));
        }
        let unsupported =
            |code, detail| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code, detail);
        let Some(format) = VideoFormat::from_filename(&filename) else {
            let accepted = VideoFormat::ALL.map(|format| format!(".{}", format.suffix())).join(" ");
            return Err(unsupported(
                "UNSUPPORTED_FORMAT",
                format!("`{filename}` is not accepted. Accepted are {accepted}."),
            ));
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
            let detail = format!(
                "The content of `{filename}` is not that of a .{} file. Check the file, or its name.",
                format.suffix()
            );
            return Err(unsupported("CONTENT_MISMATCH", detail));
        }

        let id = JobId::generate();
        Span::current().record("job_id", field::display(id));
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
        Span::current().record("size_bytes", size_bytes);
        let stored = upload.complete().await?;
        if stored != size_bytes {
            return Err(Problem::internal(&format!(
                "the store kept {stored} of {size_bytes} bytes of {key}"
            )));
        }
        Ok(Video {
            id,
            filename,
            format,
            path: key.to_string(),
            size_bytes,
            recipe: jobs::Recipe::default(),
        })
    }

    /// The next piece of the body, if it comes in time.
    async fn patiently<T>(
        self,
        piece: impl Future<Output = multer::Result<T>>,
    ) -> Result<T, Problem> {
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
        let boundary = multer::parse_boundary(content_type).map_err(|_| {
            ContentTypeError::NotSupported { content_type: content_type.to_owned() }
        })?;
        Ok(Self { boundary, body: body.take()? })
    }
}

impl<'a> ApiExtractor<'a> for Form {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(_registry: &mut Registry) {}

    fn request_meta() -> Option<MetaRequest> {
        let content =
            vec![MetaMediaType { content_type: Self::CONTENT_TYPE, schema: Self::schema_ref() }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        <Self as ParsePayload>::from_request(request, body).await
    }
}
