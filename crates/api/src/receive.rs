//! Receiving uploads: each video is streamed to the store, never held in memory as a whole and
//! never written to a temporary file.

use bytes::BytesMut;
use database::accept::Video;
use jobs::recipe::{self, InvalidRecipe, Reason};
use jobs::video::Container;
use jobs::{JobId, MEGABYTE, Recipe, UserId};
use multer::{Field, Multipart};
use parking_lot::Mutex;
use poem::http::StatusCode;
use poem::{Body, Request, RequestBody};
use poem_openapi::error::ContentTypeError;
use poem_openapi::impl_apirequest_for_payload;
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::Type;
use storage::Key;
use tracing::{Instrument, Span, field, info_span};

use crate::forecasts::check_recipe;
use crate::form_body::{FormBody, Unrecognized};
use crate::form_file_name::file_name;
use crate::problem::{Problem, RECIPE_FIELD};
use crate::recipe_view::RecipeView;
use crate::service::Service;
use crate::upload_checks::{VideoName, check_content, check_size, empty_file};
use crate::upload_rate::{UploadRate, before_stall, too_slow};
use crate::upload_records::{MAX_DURATION, ReceivedVideos, UploadRecords, took_too_long};
use crate::video_reservation::VideoReservation;

/// Maximum number of videos in one upload.
pub const MAX_FILES: usize = 50;
/// Maximum number of parts in one upload that are not files. All but recipes are ignored.
const MAX_FIELDS: usize = 100;
/// Maximum total size of parts without a file name in one upload, in bytes.
const MAX_FIELD_BYTES: usize = MEGABYTE as usize;

/// Body of type `multipart/form-data` (RFC 7578) that has not been read yet.
pub struct Form {
    boundary: String,
    body: Body,
}

impl Form {
    /// Receive all videos of the form into the store, with the recipes for their jobs. On an error
    /// all of them are discarded.
    /// `stated` is the size of the request in bytes, if the client states it.
    pub async fn receive(
        self,
        service: &Service,
        user: UserId,
        stated: Option<u64>,
    ) -> Result<ReceivedVideos, Problem> {
        let mut received = ReceivedVideos::new(UploadRecords::of(service));
        match self.read(service, user, Purpose::Store { stated }, &mut received.videos).await {
            Ok(()) => Ok(received),
            Err(problem) => {
                received.discard().await;
                Err(problem)
            }
        }
    }

    /// Read the form without storing its videos. Their keys have no meaning.
    pub async fn compare(self, service: &Service, user: UserId) -> Result<Vec<Video>, Problem> {
        let mut videos = Vec::new();
        self.read(service, user, Purpose::Compare, &mut videos).await?;
        Ok(videos)
    }

    async fn read(
        self,
        service: &Service,
        user: UserId,
        purpose: Purpose,
        videos: &mut Vec<Video>,
    ) -> Result<(), Problem> {
        let unrecognized = Unrecognized::default();
        let body = FormBody::new(self.body.into_bytes_stream(), unrecognized.clone());
        let mut form = Multipart::new(body, self.boundary);
        let settings = &service.settings;
        let rate = UploadRate::new(settings.min_upload_rate, settings.stall_timeout);
        let rate = Mutex::new(rate);
        let receiver =
            Receiver { service, user, purpose, unrecognized: &unrecognized, rate: &rate };
        let receiving = receiver.receive(&mut form, videos);
        let received_in_time = tokio::time::timeout(MAX_DURATION, receiving).await;
        received_in_time.unwrap_or_else(|_| Err(took_too_long()))
    }
}

/// Parts of a form that are not files.
#[derive(Debug, Default)]
struct OtherParts {
    count: usize,
    bytes: usize,
}

impl OtherParts {
    /// Reject a form with too many of them.
    fn check(&self) -> Result<(), Problem> {
        if self.count <= MAX_FIELDS && self.bytes <= MAX_FIELD_BYTES {
            return Ok(());
        }
        let detail = format!(
            "At most {MAX_FIELDS} parts with {} MB in total may have no file name. Send each video \
             with its file name.",
            MAX_FIELD_BYTES as u64 / MEGABYTE
        );
        Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "FIELDS_TOO_LARGE", detail))
    }
}

/// Purpose for which a form is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Its videos are stored, to become jobs.
    Store {
        /// Size of the request in bytes, if the client states it.
        stated: Option<u64>,
    },
    /// It is compared with an earlier request that it seems to repeat.
    Compare,
}

/// Receiver of one upload.
#[derive(Clone, Copy)]
struct Receiver<'a> {
    service: &'a Service,
    user: UserId,
    purpose: Purpose,
    unrecognized: &'a Unrecognized,
    rate: &'a Mutex<UploadRate>,
}

impl Receiver<'_> {
    /// Read all files of a form, one after another: open uploads share memory. Each part with a
    /// file name is a file, whatever its name is, and a recipe is for the files that follow it. The
    /// others, which clients such as Uppy add, are ignored.
    async fn receive(
        self,
        form: &mut Multipart<'_>,
        videos: &mut Vec<Video>,
    ) -> Result<(), Problem> {
        let mut others = OtherParts::default();
        let mut recipe = Recipe::default();
        let mut is_recipe_last = false;
        while let Some(field) = self.next_field(form).await? {
            match file_name(field.headers()) {
                _ if is_recipe(&field) => {
                    others.count += 1;
                    others.check()?;
                    recipe = self.receive_recipe(field).await?;
                    is_recipe_last = true;
                }
                Some(_) if videos.len() == MAX_FILES => {
                    let detail = format!(
                        "A request may contain at most {MAX_FILES} videos. Send the rest \
                         separately."
                    );
                    let status = StatusCode::PAYLOAD_TOO_LARGE;
                    return Err(Problem::new(status, "TOO_MANY_FILES", detail));
                }
                Some(name) => {
                    let span =
                        info_span!("receive", job_id = field::Empty, size_bytes = field::Empty);
                    let before = videos.iter().map(|video| video.size_bytes).sum();
                    let video = self.receive_file(field, &name, &recipe, before).instrument(span);
                    videos.push(video.await?);
                    is_recipe_last = false;
                }
                None => self.skip(field, &mut others).await?,
            }
        }
        if videos.is_empty() {
            let message = "The form contains no video. Send each as a part with a file name.";
            return Err(Problem::field("file", "FILE_MISSING", message));
        }
        if is_recipe_last {
            let message = "it has to precede the videos that it is for";
            return Err(Problem::recipe(&InvalidRecipe::new(Reason::Misplaced, message)));
        }
        Ok(())
    }

    /// Next part of the form.
    async fn next_field<'f>(self, form: &mut Multipart<'f>) -> Result<Option<Field<'f>>, Problem> {
        self.unrecognized.expect_header();
        let field = self.before_stall(form.next_field()).await;
        self.unrecognized.expect_content();
        field
    }

    /// Read a part with a recipe.
    async fn receive_recipe(self, mut field: Field<'_>) -> Result<Recipe, Problem> {
        let mut json = BytesMut::new();
        // One byte too many is an error of the recipe.
        while json.len() <= recipe::MAX_BYTES
            && let Some(chunk) = self.before_stall(field.chunk()).await?
        {
            json.extend_from_slice(&chunk);
        }
        let recipe = Recipe::from_json(&json).map_err(|mistake| Problem::recipe(&mistake))?;
        check_recipe(self.service, &recipe)?;
        Ok(recipe)
    }

    /// Read a part without a file name to its end.
    async fn skip(self, mut field: Field<'_>, others: &mut OtherParts) -> Result<(), Problem> {
        others.count += 1;
        others.check()?;
        while let Some(chunk) = self.before_stall(field.chunk()).await? {
            others.bytes += chunk.len();
            others.check()?;
        }
        Ok(())
    }

    /// Check the name and the first bytes of a file, and store it if that is the purpose. `before`
    /// is the size of the files before it, in bytes.
    async fn receive_file(
        self,
        mut field: Field<'_>,
        name: &str,
        recipe: &Recipe,
        before: u64,
    ) -> Result<Video, Problem> {
        let VideoName { filename, format } = VideoName::parse("file", name)?;
        let mut head = BytesMut::new();
        while head.len() < Container::HEAD_BYTES {
            match self.before_stall(field.chunk()).await? {
                Some(chunk) => head.extend_from_slice(&chunk),
                None => break,
            }
        }
        if head.is_empty() {
            return Err(empty_file("file", &filename));
        }
        check_content(self.service, &filename, format, &head)?;
        let id = JobId::generate();
        Span::current().record("job_id", field::display(id));
        let key = Key::input(self.user, id, format);
        let size_bytes = match self.purpose {
            Purpose::Store { stated } => {
                let stated = stated.map(|stated| stated.saturating_sub(before));
                self.store(&key, &filename, stated, head, field).await?
            }
            Purpose::Compare => self.measure(&filename, head, field).await?,
        };
        Span::current().record("size_bytes", size_bytes);
        let (path, recipe) = (key.to_string(), recipe.clone());
        Ok(Video { id, filename, format, path, size_bytes, source: None, recipe })
    }

    /// Store a file that starts with `head` and has at most `stated` bytes, if that is known. It is
    /// recorded as an upload. Returns its size in bytes.
    async fn store(
        self,
        key: &Key,
        filename: &str,
        stated: Option<u64>,
        head: BytesMut,
        field: Field<'_>,
    ) -> Result<u64, Problem> {
        let (service, first) = (self.service, head.len() as u64);
        let reservation = VideoReservation::begin(service, self.user, key, first, stated).await?;
        let stored = self.write(key, filename, reservation, head, field).await;
        if stored.is_err() {
            // The file may exist even if its completion reported an error.
            UploadRecords::of(self.service).delete_file(key).await;
        }
        stored
    }

    /// Size in bytes of a file that starts with `head`.
    async fn measure(
        self,
        filename: &str,
        head: BytesMut,
        mut field: Field<'_>,
    ) -> Result<u64, Problem> {
        let mut size_bytes = head.len() as u64;
        self.check_size(filename, size_bytes)?;
        while let Some(chunk) = self.before_stall(field.chunk()).await? {
            size_bytes += chunk.len() as u64;
            self.check_size(filename, size_bytes)?;
        }
        Ok(size_bytes)
    }

    /// Reject a file that has more bytes than allowed.
    fn check_size(self, filename: &str, size_bytes: u64) -> Result<(), Problem> {
        check_size(self.service, filename, size_bytes)
    }

    /// Write a file that starts with `head` to the store. Returns its size in bytes.
    async fn write(
        self,
        key: &Key,
        filename: &str,
        mut reservation: VideoReservation<'_>,
        head: BytesMut,
        mut field: Field<'_>,
    ) -> Result<u64, Problem> {
        let mut upload = self.service.parts.storage.create(key).await?;
        let (mut size_bytes, mut chunk) = (0, head.freeze());
        loop {
            size_bytes += chunk.len() as u64;
            self.check_size(filename, size_bytes)?;
            reservation.ensure(size_bytes).await?;
            upload.write(chunk).await?;
            chunk = match self.before_stall(field.chunk()).await? {
                Some(chunk) => chunk,
                None => break,
            };
        }
        let stored = upload.complete().await?;
        if stored != size_bytes {
            let reason = format!("the store kept {stored} of {size_bytes} bytes of {key}");
            return Err(Problem::internal(&reason));
        }
        reservation.settle(size_bytes).await?;
        Ok(size_bytes)
    }

    /// Next piece of the body, if it arrives before the stall timeout, and fast enough.
    async fn before_stall<T>(
        self,
        piece: impl Future<Output = multer::Result<T>>,
    ) -> Result<T, Problem> {
        let settings = &self.service.settings;
        let (piece, waited) = before_stall(settings, piece).await?;
        let bytes = self.unrecognized.reset();
        let piece = piece.map_err(|error| {
            let detail =
                format!("The upload is incomplete or not a valid form: {error}. Upload again.");
            Problem::new(StatusCode::BAD_REQUEST, "UPLOAD_BROKEN", detail)
        })?;
        if !self.rate.lock().record(bytes, waited) {
            return Err(too_slow(settings));
        }
        Ok(piece)
    }
}

/// Whether a part is a recipe. Browsers add a file name to parts that state their type.
fn is_recipe(field: &Field<'_>) -> bool {
    let is_json =
        || field.content_type().is_some_and(|kind| kind.essence_str() == "application/json");
    field.name() == Some(RECIPE_FIELD) && (file_name(field.headers()).is_none() || is_json())
}

impl Payload for Form {
    const CONTENT_TYPE: &'static str = "multipart/form-data";

    fn check_content_type(content_type: &str) -> bool {
        multer::parse_boundary(content_type).is_ok()
    }

    fn schema_ref() -> MetaSchemaRef {
        let file = MetaSchema {
            description: Some("Video, with its file name. The part may be repeated."),
            ..MetaSchema::new_with_format("string", "binary")
        };
        let recipe = MetaSchema {
            description: Some("Frames of the videos that follow, and their form. JSON."),
            ..MetaSchema::ANY
        };
        let files = MetaSchema {
            items: Some(Box::new(MetaSchemaRef::Inline(Box::new(file)))),
            min_items: Some(1),
            max_items: Some(MAX_FILES),
            ..MetaSchema::new("array")
        };
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            required: vec!["file"],
            properties: vec![
                (RECIPE_FIELD, RecipeView::schema_ref().merge(recipe)),
                ("file", MetaSchemaRef::Inline(Box::new(files))),
            ],
            example: Some(serde_json::json!({ "file": ["<contents of beach.mp4>"] })),
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

impl_apirequest_for_payload!(Form,);
