//! The pictures of an archive, without fetching the archive.

use std::io::{BufReader, Seek, SeekFrom};
use std::sync::Arc;

use poem::Body;
use poem::http::{HeaderMap, StatusCode};
use poem::web::Data;
use poem::web::headers::{ETag, HeaderMapExt, IfNoneMatch};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::{Binary, Json};
use poem_openapi::{ApiResponse, Object, OpenApi, ResponseContent};
use storage::content_disposition;
use uuid::Uuid;

use crate::accounts::{Group, LoggedIn};
use crate::archives::{self, Contents, Missing, Picture};
use crate::problem::{Problem, Refusal, refusals};
use crate::videos::own_job;
use crate::{Service, files, thumbnails};

/// Bytes that are read at once: all of most frames.
const PIECE: u64 = 4 << 20;

/// What the video is, by its container and its pictures.
#[derive(Object)]
struct VideoView {
    /// libav's name of the container.
    container: String,
    /// libav's name of the codec.
    codec: String,
    /// The duration that the container states, in seconds.
    #[oai(nullable)]
    duration_s: Option<f64>,
    /// Stored width in pixels, before any turn.
    width: u32,
    /// Stored height in pixels, before any turn.
    height: u32,
    /// Average pictures a second.
    #[oai(nullable)]
    frame_rate: Option<f64>,
    /// libav's name of the pixel format.
    pixel_format: String,
}

/// Instants in a row that have no frame.
#[derive(Object)]
struct MissingView {
    /// Number that the first of the frames would have.
    first_number: u64,
    /// Number that the last would have.
    last_number: u64,
    /// First instant without a frame, in seconds.
    from_s: f64,
    /// Last instant without a frame, in seconds.
    to_s: f64,
}

/// A frame: one picture of the archive.
#[derive(Object)]
struct FrameView {
    /// From 1; a number without a frame is named under `missing`.
    number: u64,
    /// Name of its file in the archive.
    name: String,
    /// The picture's own time, in seconds from the start of the video.
    timestamp_s: f64,
    /// Width in pixels.
    width: u32,
    /// Height in pixels.
    height: u32,
    /// Bytes of the PNG.
    length: u64,
    /// SHA-256 of the PNG, in hexadecimal.
    sha256: String,
    /// Whether the decoder met errors in the picture, or in one that it may refer to.
    decode_errors: bool,
}

/// What an archive holds.
#[derive(Object)]
struct FramesView {
    /// The job's id.
    job_id: Uuid,
    /// What the video is.
    video: VideoView,
    /// Whether every frame that the video promises is here, undamaged.
    complete: bool,
    /// Frames that the video promises.
    expected: u64,
    /// Frames in the archive.
    written: u64,
    /// Instants without a frame.
    missing: Vec<MissingView>,
    /// This page of the frames, in their order.
    frames: Vec<FrameView>,
}

impl From<&Missing> for MissingView {
    fn from(missing: &Missing) -> Self {
        let Missing { first_number, last_number, from_s, to_s } = *missing;
        Self { first_number, last_number, from_s, to_s }
    }
}

impl From<&Picture> for FrameView {
    fn from(picture: &Picture) -> Self {
        let Picture {
            number, name, timestamp_s, width, height, decode_errors, sha256, length, ..
        } = picture.clone();
        Self { number, name, timestamp_s, width, height, length, sha256, decode_errors }
    }
}

impl FramesView {
    fn new(job_id: Uuid, contents: &Contents, page: &[Picture]) -> Self {
        let source = &contents.source;
        let rate = source.frame_rate.as_ref().filter(|rate| rate.den != 0);
        let video = VideoView {
            container: source.container.clone(),
            codec: source.codec.clone(),
            duration_s: source.duration_s,
            width: source.width,
            height: source.height,
            frame_rate: rate.map(|rate| rate.num as f64 / rate.den as f64),
            pixel_format: source.pixel_format.clone(),
        };
        Self {
            job_id,
            video,
            complete: contents.complete,
            expected: contents.expected,
            written: contents.written,
            missing: contents.missing.iter().map(Into::into).collect(),
            frames: page.iter().map(Into::into).collect(),
        }
    }
}

#[derive(ApiResponse)]
enum Listed {
    /// The frames, from the archive's manifest.
    #[oai(status = 200)]
    Page(
        Json<FramesView>,
        /// Where the next page is, as `<...>; rel="next"` (RFC 8288); absent on the last.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

#[derive(ResponseContent)]
enum Image {
    /// The frame itself, as it is in the archive.
    #[oai(content_type = "image/png")]
    Frame(Binary<Body>),
    /// The frame made small.
    #[oai(content_type = "image/jpeg")]
    Thumbnail(Binary<Body>),
}

#[derive(ApiResponse)]
enum Shown {
    /// The frame.
    #[oai(status = 200)]
    Image(
        Image,
        /// The SHA-256 of the frame, and the width if one was asked for.
        #[oai(header = "ETag")]
        String,
        /// For its owner alone; it never changes.
        #[oai(header = "Cache-Control")]
        String,
        /// The name to save it under (RFC 6266).
        #[oai(header = "Content-Disposition")]
        String,
        /// What else it depends on: whose token it is.
        #[oai(header = "Vary")]
        String,
        /// Bytes that follow.
        #[oai(header = "Content-Length")]
        u64,
    ),
    /// It is the one that the client has.
    #[oai(status = 304)]
    Known(
        /// As with the frame.
        #[oai(header = "ETag")]
        String,
        /// As with the frame.
        #[oai(header = "Cache-Control")]
        String,
        /// As with the frame.
        #[oai(header = "Vary")]
        String,
    ),
}

refusals! {
    FrameRefusals {
        400: "A parameter is wrong, or the job is not done.",
        401: "The access token is missing, wrong or expired.",
        403: "The job is somebody else's.",
        404: "There is no such job, or it has no frame of this number.",
        410: "The archive's time is over.",
        500: "A fault of the service.",
        503: "A part of the service is not available.",
    }
}

/// The operations on frames.
pub struct Frames;

#[OpenApi(tag = "Group::Videos")]
impl Frames {
    /// List frames
    ///
    /// What the video is, what is missing, and the frames of the archive with their true times.
    #[oai(path = "/jobs/:id/frames", method = "get")]
    async fn list(
        &self,
        service: Data<&Arc<Service>>,
        user: LoggedIn,
        /// The job's id.
        id: Path<Uuid>,
        /// Frames on a page.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "1000")))]
        limit: Query<u64>,
        /// Only frames behind this number; the Link header of a page has that of the next.
        #[oai(default, validator(minimum(value = "0"), maximum(value = "4294967295")))]
        after: Query<u64>,
    ) -> Result<Listed, Refusal<FrameRefusals>> {
        let contents = of_job(&service, user, id.0).await?.1;
        let first = contents.images.partition_point(|picture| picture.number <= after.0);
        let behind = &contents.images[first..];
        let page = &behind[..behind.len().min(limit.0 as usize)];
        let last = page.last().filter(|_| page.len() < behind.len());
        let link = last.map(|last| {
            format!("</jobs/{}/frames?limit={}&after={}>; rel=\"next\"", id.0, limit.0, last.number)
        });
        Ok(Listed::Page(Json(FramesView::new(id.0, &contents, page)), link))
    }

    /// Look at a frame
    ///
    /// The bytes are those of the file in the archive; with a width, a JPEG of that width, or of
    /// the frame's own if that is less.
    #[oai(path = "/jobs/:id/frames/:number", method = "get")]
    async fn get(
        &self,
        service: Data<&Arc<Service>>,
        headers: &HeaderMap,
        user: LoggedIn,
        /// The job's id.
        id: Path<Uuid>,
        /// The frame's number.
        #[oai(validator(minimum(value = "1"), maximum(value = "4294967295")))]
        number: Path<u64>,
        /// Width of a smaller one, in pixels.
        #[oai(validator(minimum(value = "16"), maximum(value = "640"), multiple_of = "16"))]
        width: Query<Option<u32>>,
    ) -> Result<Shown, Refusal<FrameRefusals>> {
        /// In the browser of its owner, who may look again for as long as there is something to
        /// look at.
        const CACHE: &str = "private, max-age=604800, immutable";
        let (archive, contents) = of_job(&service, user, id.0).await?;
        let nothing = || {
            Problem::new(
                StatusCode::NOT_FOUND,
                "FRAME_NOT_FOUND",
                "The archive has no frame of this number.",
            )
        };
        let picture = contents.picture(number.0).ok_or_else(nothing)?;
        let etag = match width.0 {
            Some(width) => format!("\"{}-{width}\"", picture.sha256),
            None => format!("\"{}\"", picture.sha256),
        };
        let (cache, vary) = (CACHE.to_owned(), "Authorization".to_owned());
        let known = |known: IfNoneMatch| {
            etag.parse::<ETag>().is_ok_and(|etag| !known.precondition_passes(&etag))
        };
        if headers.typed_get().is_some_and(known) {
            return Ok(Shown::Known(etag, cache, vary));
        }
        let (image, length, name) = if let Some(width) = width.0 {
            let range = picture.range();
            let made = service.archives.read(&service, &archive, move |mut reader, _| {
                reader.seek(SeekFrom::Start(range.start))?;
                thumbnails::thumbnail(BufReader::new(reader), width)
            });
            let jpeg = made.await?;
            let (length, name) = (jpeg.len() as u64, picture.name.replace(".png", ".jpg"));
            (Image::Thumbnail(Binary(jpeg.into())), length, name)
        } else {
            (
                Image::Frame(Binary(files::body(&service, &archive, picture.range(), PIECE))),
                picture.length,
                picture.name.clone(),
            )
        };
        Ok(Shown::Image(image, etag, cache, content_disposition(&name), vary, length))
    }
}

fn default_limit() -> u64 {
    200
}

/// The archive of a user's job, and what is in it.
async fn of_job(
    service: &Service,
    user: LoggedIn,
    id: Uuid,
) -> Result<(storage::Object, Arc<Contents>), Problem> {
    let job = own_job(service, user.0, id).await?;
    let archive = archives::stored(service, &archives::key(service, &job)?).await?;
    let contents = service.archives.contents(service, &archive).await?;
    Ok((archive, contents))
}
