//! Export of everything that the service has stored about a user, besides videos and archives.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use database::Database;
use database::account_export::ExportedTable;
use futures_util::stream;
use jobs::UserId;
use parking_lot::Mutex;
use poem::Body;
use poem::http::header;
use poem::web::Data;
use poem_openapi::payload::{Binary, Response};
use poem_openapi::{ApiResponse, OpenApi};
use tokio::sync::mpsc;
use tracing::{Instrument, info, warn};
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

use crate::account_deletion::AccountProof;
use crate::input::Input;
use crate::operation_error::{OperationError, problem_responses};
use crate::problem_examples::FieldExample;
use crate::reauthentication::{Proof, reauthenticate};
use crate::service::Service;
use crate::sessions::CurrentSession;
use crate::tags::Tag;

/// Pages of an export that wait for a slow client.
const PAGES_IN_ADVANCE: usize = 1;

#[derive(ApiResponse)]
#[oai(header(
    name = "Content-Disposition",
    ty = "String",
    description = "File name of the archive (RFC 6266)."
))]
enum ExportResponse {
    /// ZIP archive with a JSON file for each kind of data.
    #[oai(status = 200, content_type = "application/zip")]
    Archive(Binary<Body>),
}

problem_responses! {
    ExportProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        401: "The access token is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED;
        403: "API keys are refused.", KEY_NOT_ALLOWED;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "The password or the code is wrong.", INVALID_FIELDS INVALID_BODY,
            FieldExample::new("password", "PASSWORD_WRONG", "The password is wrong.");
        429: "Too many attempts in this session.", TOO_MANY_ATTEMPTS TOO_MANY_CODES;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable, or too many passwords are being verified.",
            UNAVAILABLE TOO_BUSY;
    }
}

/// Operation that exports the data of the current user.
pub struct AccountExport;

#[OpenApi(tag = "Tag::Accounts")]
impl AccountExport {
    /// Export the account
    ///
    /// Returns a ZIP archive with everything that the service has stored about the current user, as
    /// JSON: account, sessions, API keys, webhooks and their deliveries, jobs with their events,
    /// links to jobs, the history of earlier jobs, and mails. Passwords, tokens and the secrets of
    /// keys and webhooks are left out. Videos and archives are not included; they can be
    /// downloaded until they expire.
    #[oai(path = "/auth/export", method = "post", operation_id = "exportCurrentUser")]
    async fn export(
        &self,
        service: Data<&Arc<Service>>,
        session: CurrentSession,
        input: Input<AccountProof>,
    ) -> Result<Response<ExportResponse>, OperationError<ExportProblems>> {
        let CurrentSession(access) = session;
        let AccountProof { password, code } = input.0;
        let user = reauthenticate(&service, &access, Proof::new(password, code)).await?;
        let event = "account_exported";
        info!(security_event = event, user_id = %user.id, "a user exports the account");
        let (sender, receiver) = mpsc::channel(PAGES_IN_ADVANCE);
        let database = service.database().clone();
        let writing = async move {
            let written = Archive::new(sender.clone()).write(&database, user.id).await;
            if let Err(error) = written {
                warn!(user_id = %user.id, %error, "an export of an account is incomplete");
                // The response is cut off, so that the client notices it.
                let _ = sender.send(Err(error)).await;
            }
        };
        tokio::spawn(writing.in_current_span());
        let pages = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|page| (page, receiver))
        });
        let body = Binary(Body::from_bytes_stream(pages));
        let date = service.database().clock().now().format("%Y-%m-%d");
        let disposition = storage::content_disposition(&format!("fiapx-{date}.zip"));
        Ok(Response::new(ExportResponse::Archive(body))
            .header(header::CONTENT_DISPOSITION, disposition))
    }
}

/// Bytes of an archive that are not sent yet.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Archive that is sent while it is written.
struct Archive {
    zip: ZipWriter<StreamWriter<Buffer>>,
    buffer: Buffer,
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Archive {
    fn new(sender: mpsc::Sender<io::Result<Bytes>>) -> Self {
        let buffer = Buffer::default();
        Self { zip: ZipWriter::new_stream(buffer.clone()), buffer, sender }
    }

    /// Write all rows of a user, a page at a time.
    async fn write(mut self, database: &Database, user: UserId) -> io::Result<()> {
        for table in ExportedTable::ALL {
            let options =
                SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            self.zip.start_file(format!("{}.json", table.name()), options)?;
            let (mut after, mut separator) = (None, "[\n");
            loop {
                let page = database.export(user, table, after).await.map_err(io::Error::other)?;
                for row in page.rows {
                    self.zip.write_all(separator.as_bytes())?;
                    self.zip.write_all(format!("{row:#}").as_bytes())?;
                    separator = ",\n";
                }
                send(&self.buffer, &self.sender).await?;
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let end: &[u8] = if separator == "[\n" { b"[]\n" } else { b"\n]\n" };
            self.zip.write_all(end)?;
        }
        self.zip.finish()?;
        send(&self.buffer, &self.sender).await
    }
}

/// Send what was written. Waits for the client.
async fn send(buffer: &Buffer, sender: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let bytes = std::mem::take(&mut *buffer.0.lock());
    let sent = sender.send(Ok(bytes.into())).await;
    sent.map_err(|_| io::Error::other("the client has closed the connection"))
}
