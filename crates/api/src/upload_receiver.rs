//! Receiving bytes of resumable uploads.
//!
//! A request that writes holds its upload. About every [`RECORD_INTERVAL`] it records what is
//! stored durably, so that little is sent again after a crash, and keeps its hold by that. One
//! whose client sends nothing loses the hold, so the client can continue over another connection
//! long before the service notices that the first one is broken.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use database::resumable_uploads::{Progress, ResumableUpload, Stored};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use jobs::VideoFormat;
use jobs::video::Container;
use poem::Body;
use poem::http::StatusCode;
use storage::{Checkpoint, DirectUploads, Key, ResumedUpload, WrongParts};

use crate::problem::Problem;
use crate::service::Service;
use crate::tus::Checksum;
use crate::upload_checks::check_content;
use crate::upload_rate::{UploadRate, before_stall, too_slow};

/// Time between two records of a request that receives bytes: a third of that for which each
/// holds the upload.
const RECORD_INTERVAL: Duration = Duration::from_secs(2);

/// Upload that a request holds.
pub struct HeldUpload<'a> {
    pub service: &'a Service,
    pub upload: &'a ResumableUpload,
    pub key: Key,
    pub fence: i64,
    /// What is stored durably and recorded.
    pub checkpoint: Checkpoint,
    /// Time of the last record.
    recorded: Instant,
}

/// Result of receiving the body of a request.
pub enum Receipt {
    /// All of its bytes are stored and recorded. If the upload is complete, it is still held.
    Recorded,
    /// The client is the cause of a problem. What was received is recorded, unless it has a
    /// checksum, and the upload is not held anymore.
    Cut(Problem),
    /// What was recorded before counts, and the upload may still be held.
    Failed(Problem),
}

/// Way in which writing a body fails.
enum Failure {
    /// The client is the cause. What was received is kept, unless it has a checksum.
    Client(Problem),
    /// The store or the database is, or the upload is not held anymore. What is recorded is kept.
    Service(Problem),
}

impl<E: Into<Problem>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Service(error.into())
    }
}

impl<'a> HeldUpload<'a> {
    /// Upload of which a request holds this progress.
    ///
    /// # Errors
    /// The progress cannot be read.
    pub fn new(
        service: &'a Service,
        upload: &'a ResumableUpload,
        held: &Progress,
    ) -> Result<Self, Problem> {
        let (key, checkpoint) = read_progress(upload, held)?;
        // The upload is held since a moment ago.
        let recorded = Instant::now();
        Ok(Self { service, upload, key, fence: held.fence, checkpoint, recorded })
    }

    /// Whether a record is due, without which the request may not write anymore: another one may
    /// hold the upload after a pause.
    fn is_due(&self) -> bool {
        self.recorded.elapsed() >= RECORD_INTERVAL
    }

    /// Record a checkpoint, and whether the request goes on holding the upload.
    async fn record(
        &mut self,
        checkpoint: Option<Checkpoint>,
        goes_on: bool,
    ) -> Result<(), Problem> {
        let checkpoint = checkpoint.filter(|checkpoint| *checkpoint != self.checkpoint);
        let parts = checkpoint.as_ref().map(Checkpoint::to_json);
        let stored = checkpoint.as_ref().zip(parts.as_deref());
        let stored =
            stored.map(|(stored, parts)| Stored { received_bytes: stored.offset(), parts });
        let _turn = self.service.upload_transactions.turn(self.upload.user, 0).await;
        let database = self.service.database();
        let recorded = Instant::now();
        if !database.record_progress(self.upload.id, self.fence, stored, goes_on).await? {
            return Err(not_held_anymore());
        }
        self.recorded = recorded;
        if let Some(checkpoint) = checkpoint {
            self.checkpoint = checkpoint;
        }
        Ok(())
    }

    /// Stop holding the upload. If that fails, the hold ends by itself.
    pub async fn release(mut self) {
        let _ = self.record(None, false).await;
    }

    /// Keep holding the upload while `work` runs.
    pub async fn hold_during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Problem> {
        tokio::pin!(work);
        loop {
            match tokio::time::timeout(RECORD_INTERVAL, &mut work).await {
                Ok(result) => return Ok(result),
                Err(_) => self.record(None, true).await?,
            }
        }
    }

    /// Record the parts that the client has sent to the store itself, if these are their tags.
    pub async fn record_parts(
        &mut self,
        direct: &dyn DirectUploads,
        tags: &[String],
    ) -> Result<(), Problem> {
        let (key, checkpoint) = (self.key.clone(), self.checkpoint.clone());
        let stored = match self.hold_during(direct.stored_parts(&key, &checkpoint)).await? {
            Err(storage::Error::Interrupted { .. }) => return Err(upload_ended()),
            stored => stored?,
        };
        let all = checkpoint.with_parts(&stored, tags).map_err(|wrong| wrong_parts(&wrong))?;
        self.record(Some(all), true).await
    }

    /// Receive the bytes of a body, at most those that the upload lacks, and record them.
    pub async fn receive(&mut self, body: Body, checksum: Option<Checksum>) -> Receipt {
        match self.receive_body(body, checksum).await {
            Ok(()) => Receipt::Recorded,
            Err(Failure::Client(problem)) => Receipt::Cut(problem),
            Err(Failure::Service(problem)) => Receipt::Failed(problem),
        }
    }

    async fn receive_body(
        &mut self,
        body: Body,
        mut checksum: Option<Checksum>,
    ) -> Result<(), Failure> {
        let storage = &self.service.parts.storage;
        let mut writer = match storage.resume(&self.key, &self.checkpoint, self.fence).await {
            Err(storage::Error::Interrupted { .. }) => return Err(upload_ended().into()),
            writer => writer?,
        };
        let settings = &self.service.settings;
        let mut body = BodyReader {
            service: self.service,
            stream: body.into_bytes_stream().boxed(),
            rate: UploadRate::new(settings.min_upload_rate, settings.stall_timeout),
            missing: self.upload.size_bytes - self.checkpoint.offset(),
        };
        let mut received = self.write(&mut body, &mut *writer, checksum.as_mut()).await;
        if let Err(Failure::Service(_)) = received {
            return received;
        }
        if let Some(checksum) = checksum {
            received = received.and_then(|()| checksum.check().map_err(Failure::Client));
            // Nothing counts without its checksum.
            if received.is_err() {
                self.record(None, false).await?;
                return received;
            }
        }
        if self.is_due() {
            self.record(None, true).await?;
        }
        let checkpoint = self.hold_during(writer.suspend()).await??;
        let goes_on = checkpoint.is_complete() && received.is_ok();
        self.record(Some(checkpoint), goes_on).await?;
        received
    }

    /// Write a body.
    async fn write(
        &mut self,
        body: &mut BodyReader<'_>,
        writer: &mut dyn ResumedUpload,
        mut checksum: Option<&mut Checksum>,
    ) -> Result<(), Failure> {
        let mut first = self.first_bytes(body, checksum.is_none()).await?;
        loop {
            let bytes = match first.take() {
                Some(bytes) => bytes,
                None => match body.next().await.map_err(Failure::Client)? {
                    Some(bytes) => bytes,
                    None => return Ok(()),
                },
            };
            if self.is_due() {
                // First without a checkpoint, because that of a disk writes what is buffered.
                self.record(None, true).await?;
                if checksum.is_none() {
                    let checkpoint = writer.checkpoint().await?;
                    self.record(Some(checkpoint), true).await?;
                }
            }
            if let Some(checksum) = &mut checksum {
                checksum.update(&bytes);
            }
            writer.write(bytes).await?;
        }
    }

    /// First bytes of the video, if the body begins with them. With `checked`, they have to be
    /// those of its format, so that a wrong file is not received as a whole.
    async fn first_bytes(
        &self,
        body: &mut BodyReader<'_>,
        checked: bool,
    ) -> Result<Option<Bytes>, Failure> {
        if self.checkpoint.offset() > 0 || !checked {
            return Ok(None);
        }
        let mut head = BytesMut::new();
        while head.len() < Container::HEAD_BYTES {
            match body.next().await {
                Ok(Some(bytes)) => head.extend_from_slice(&bytes),
                // The rest may follow with another request.
                Ok(None) => return Ok(Some(head.freeze())),
                Err(problem) => return Err(Failure::Client(problem)),
            }
        }
        let filename = &self.upload.filename;
        if let Some(format) = VideoFormat::from_filename(filename) {
            check_content(self.service, filename, format, &head)?;
        }
        Ok(Some(head.freeze()))
    }
}

/// Key of an upload, and what the store has of it.
///
/// # Errors
/// The progress cannot be read.
pub fn read_progress(
    upload: &ResumableUpload,
    progress: &Progress,
) -> Result<(Key, Checkpoint), Problem> {
    let unreadable = || Problem::internal(&format_args!("the progress of upload {}", upload.id));
    let key: Key = progress.key.parse().map_err(|_| unreadable())?;
    let checkpoint = Checkpoint::from_json(&key, &progress.parts).map_err(|_| unreadable())?;
    Ok((key, checkpoint))
}

/// Body of a request.
struct BodyReader<'a> {
    service: &'a Service,
    stream: BoxStream<'static, std::io::Result<Bytes>>,
    rate: UploadRate,
    /// Number of bytes that the upload still lacks.
    missing: u64,
}

impl BodyReader<'_> {
    /// Next bytes, if they arrive before the stall timeout, and fast enough.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let Service { settings, parts, .. } = self.service;
        let (piece, waited) = tokio::select! {
            // The client continues at another process, or at the next one.
            () = parts.stop.cancelled() => return Err(Problem::stopping()),
            piece = before_stall(settings, self.stream.next()) => piece?,
        };
        let Some(piece) = piece else { return Ok(None) };
        let bytes = piece.map_err(|error| {
            let detail = format!("The body is incomplete: {error}. Continue at the offset.");
            Problem::new(StatusCode::BAD_REQUEST, "UPLOAD_BROKEN", detail)
        })?;
        if !self.rate.record(bytes.len(), waited) {
            return Err(too_slow(settings));
        }
        self.missing = self.missing.checked_sub(bytes.len() as u64).ok_or_else(exceeds_length)?;
        Ok(Some(bytes))
    }
}

/// Problem of an upload that has expired, was terminated, or has lost its bytes.
pub fn upload_ended() -> Problem {
    let detail = "The upload has expired or was ended. Start it again.";
    Problem::new(StatusCode::GONE, "UPLOAD_EXPIRED", detail)
}

/// Problem of a body with more bytes than the upload lacks.
pub fn exceeds_length() -> Problem {
    let detail = "The body has more bytes than the upload lacks. Start again with its size.";
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "UPLOAD_LENGTH_EXCEEDED", detail)
}

/// Problem of parts that are not those of the video.
fn wrong_parts(wrong: &WrongParts) -> Problem {
    // Parts are counted from 1, and members of a list from 0.
    let member = |number: u32| format!("etags[{}]", number - 1);
    let field = wrong.number().map_or_else(|| "etags".to_owned(), member);
    Problem::field(&field, wrong.code(), &wrong.to_string())
}

/// Problem of a request that has lost its hold.
fn not_held_anymore() -> Problem {
    let detail = "Another request has continued or ended the upload. Get its offset.";
    Problem::new(StatusCode::CONFLICT, "UPLOAD_BUSY", detail)
}
