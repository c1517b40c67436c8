//! Examples of problem documents for the OpenAPI document.

use poem::http::StatusCode;

use crate::problem::{FieldError, ProblemDocument};

/// Example of an error of a field.
#[derive(Clone, Copy)]
pub struct FieldExample {
    field: &'static str,
    code: &'static str,
    message: &'static str,
}

impl FieldExample {
    /// Create an example of the error `code` of `field`.
    pub const fn new(field: &'static str, code: &'static str, message: &'static str) -> Self {
        Self { field, code, message }
    }
}

/// Status, code and an example of the detail of each documented problem.
const EXAMPLES: &[(u16, &str, &str)] = &[
    (
        400,
        "INVALID_PARAMETER",
        "A parameter in the path is invalid: failed to parse \"string_uuid\": invalid character: \
         found `x` at 0",
    ),
    (
        400,
        "CHECKSUM_UNSUPPORTED",
        "The checksum is invalid. Send `Upload-Checksum: sha256` and the SHA-256 of the body in \
         Base64.",
    ),
    (400, "INVALID_JSON", "The body is not JSON: expected value at line 1 column 1."),
    (400, "INVALID_BODY", "The body could not be read: the connection was closed."),
    (400, "WRONG_CREDENTIALS", "The e-mail address or the password is wrong."),
    (
        400,
        "SECOND_FACTOR_REQUIRED",
        "The account has a second factor. Send a code of it as the parameter code. A client that \
         cannot do so needs an access token of POST /auth/login, or an API key.",
    ),
    (
        400,
        "SECOND_FACTOR_WRONG",
        "The code of the second factor is wrong or was used before. Try the next one.",
    ),
    (400, "ACCOUNT_DISABLED", "The account is disabled. Contact the operator of the service."),
    (400, "NOT_DONE", "The job is PROCESSING; the archive is available when it is DONE."),
    (
        400,
        "UPLOAD_BROKEN",
        "The upload is incomplete or not a valid form: incomplete multipart stream. Upload again.",
    ),
    (
        401,
        "NOT_LOGGED_IN",
        "An access token is required. Log in and send it as `Authorization: Bearer <access \
         token>`.",
    ),
    (401, "TOKEN_INVALID", "The token is invalid. Log in again."),
    (401, "TOKEN_EXPIRED", "The access token has expired. Refresh the session or log in again."),
    (
        401,
        "TOKEN_REUSED",
        "The refresh token was already used. The session is closed; log in again.",
    ),
    (
        401,
        "KEY_INVALID",
        "The API key is invalid: it is misspelled or deleted, or its user is disabled.",
    ),
    (401, "KEY_EXPIRED", "The API key has expired. Create another one."),
    (401, "WRONG_CREDENTIALS", "The e-mail address or the password is wrong."),
    (
        401,
        "SECOND_FACTOR_REQUIRED",
        "The account has a second factor. Repeat the request with a `code` of the app, or with a \
         recovery code.",
    ),
    (
        401,
        "SECOND_FACTOR_WRONG",
        "The code of the second factor is wrong or was used before. Try the next one.",
    ),
    (401, "SHARE_INVALID", "The link is invalid, was revoked or has expired. Ask for another one."),
    (403, "ACCOUNT_DISABLED", "The account is disabled. Contact the operator of the service."),
    (
        403,
        "ADDRESS_NOT_CONFIRMED",
        "The e-mail address is not confirmed. Open the link in the mail that you got when you \
         registered, or request another one.",
    ),
    (403, "KEY_NOT_ALLOWED", "API keys are refused here. Log in and send an access token."),
    (403, "KEY_SCOPE_MISSING", "The API key needs the scope `videos:write`."),
    (403, "NOT_YOUR_JOB", "The job belongs to another user."),
    (403, "NOT_YOUR_UPLOAD", "The upload belongs to another user."),
    (403, "VIDEOS_BY_URL_OFF", "This service reads no videos at addresses. Upload the video."),
    (403, "LINK_INVALID", "The signature of the link is invalid."),
    (
        403,
        "DIRECT_UPLOADS_UNAVAILABLE",
        "This service has no file store that clients can reach. Upload the video with `POST \
         /uploads` or `POST /videos/upload`.",
    ),
    (404, "JOB_NOT_FOUND", "The job does not exist."),
    (404, "UPLOAD_NOT_FOUND", "The upload does not exist."),
    (404, "SESSION_NOT_FOUND", "The session does not exist, or has ended."),
    (404, "KEY_NOT_FOUND", "The API key does not exist."),
    (404, "SHARE_NOT_FOUND", "The job has no such link, or the link has expired."),
    (404, "WEBHOOK_NOT_FOUND", "The webhook does not exist."),
    (404, "DELIVERY_NOT_FOUND", "The delivery does not exist."),
    (404, "PREVIEWS_ENDED", "The job is DONE; previews exist until it ends."),
    (404, "PREVIEW_NOT_FOUND", "There is no preview with this number now."),
    (404, "FRAME_NOT_FOUND", "The archive has no frame with this number."),
    (404, "FILE_NOT_FOUND", "The file does not exist."),
    (408, "UPLOAD_TOO_LONG", "The upload took longer than 12 hours. Send fewer videos at once."),
    (408, "UPLOAD_STALLED", "No data was received for 60 seconds. Upload again."),
    (
        408,
        "UPLOAD_TOO_SLOW",
        "Less than 16 KB per second were received for 60 seconds. Upload over a faster connection.",
    ),
    (
        408,
        "UPLOAD_DISPLACED",
        "The service receives many uploads, and this was one of the slowest. Upload again later, \
         or over a faster connection.",
    ),
    (409, "EMAIL_TAKEN", "The e-mail address is already registered. Log in instead."),
    (409, "SECOND_FACTOR_ON", "The second factor is on. Turn it off first."),
    (409, "SECOND_FACTOR_OFF", "The second factor is off."),
    (
        409,
        "SECOND_FACTOR_NOT_STARTED",
        "There is no secret to confirm. Get one with `POST /auth/second-factor`.",
    ),
    (409, "ADDRESS_CONFIRMED", "The e-mail address is confirmed already."),
    (409, "TOO_MANY_KEYS", "At most 20 API keys are allowed. Delete one first."),
    (409, "JOB_CHANGED", "The state of the job changed during the request. Get the job and retry."),
    (409, "JOB_FINISHED", "The job is already finished, so it was not cancelled."),
    (409, "JOB_NOT_FINISHED", "The job is not finished, so it was not deleted."),
    (
        409,
        "IDEMPOTENCY_KEY_USED",
        "The jobs of the upload with this idempotency key are deleted. Use another key.",
    ),
    (
        409,
        "UPLOAD_OFFSET_MISMATCH",
        "1048576 bytes of the upload are stored. Continue at that offset.",
    ),
    (409, "UPLOAD_BUSY", "Another request writes the upload. Get its offset in a few seconds."),
    (
        409,
        "UPLOAD_DIRECT",
        "The parts of the upload are sent to the file store. Send them there, and complete it with \
         `POST /uploads/{id}/complete`.",
    ),
    (
        409,
        "UPLOAD_NOT_DIRECT",
        "The bytes of the upload are sent to this service, by `PATCH /uploads/{id}`. It is \
         completed by the last of them.",
    ),
    (409, "UPLOAD_FINISHED", "The upload is a job already. Cancel or delete the job."),
    (409, "TOO_MANY_SHARES", "At most 10 links to a job are allowed. Revoke one first."),
    (409, "TOO_MANY_WEBHOOKS", "At most 10 webhooks are allowed. Delete one first."),
    (409, "WEBHOOK_DISABLED", "The webhook is disabled. Enable it first."),
    (409, "DELIVERY_PENDING", "The delivery is pending. Wait for its result."),
    (410, "ACCOUNT_LINK_INVALID", "The link was used already or has expired. Request a new one."),
    (410, "UPLOAD_EXPIRED", "The upload has expired or was ended. Start it again."),
    (410, "ARCHIVE_EXPIRED", "The archive has expired. Upload the video again."),
    (410, "VIDEO_EXPIRED", "The video is not stored anymore. Upload it again."),
    (410, "LINK_EXPIRED", "The link has expired. Get a new link."),
    (
        412,
        "TUS_VERSION_UNSUPPORTED",
        "Uploads use tus 1.0.0. Send it in the header `Tus-Resumable`.",
    ),
    (
        413,
        "UPLOAD_LENGTH_EXCEEDED",
        "The body has more bytes than the upload lacks. Start again with its size.",
    ),
    (413, "BODY_TOO_LARGE", "The body is larger than 65536 bytes."),
    (413, "VIDEO_TOO_LARGE", "`beach.mp4` is larger than 500 MB."),
    (413, "TOO_MANY_FILES", "A request may contain at most 50 videos. Send the rest separately."),
    (
        413,
        "FIELDS_TOO_LARGE",
        "At most 100 parts with 1 MB in total may have no file name. Send each video with its file \
         name.",
    ),
    (
        415,
        "UNSUPPORTED_MEDIA_TYPE",
        "the `Content-Type` requested by the client is not supported: text/plain",
    ),
    (
        415,
        "UNSUPPORTED_FORMAT",
        "The format of `notes.txt` is not supported. Supported: .mp4 .avi .mov .mkv .wmv .flv \
         .webm.",
    ),
    (415, "CONTENT_MISMATCH", "`beach.mp4` is not a valid .mp4 file. Check the file and its name."),
    (
        416,
        "RANGE_NOT_SATISFIABLE",
        "The range starts after the end of the archive, which has 10240 bytes.",
    ),
    (
        422,
        "INVALID_BODY",
        "The body does not match the schema: Expected input type \"Credentials\", found [].",
    ),
    (422, "INVALID_FIELDS", "The password must contain a digit."),
    (
        422,
        "IDEMPOTENCY_KEY_REUSED",
        "The idempotency key was used for another request. Use a new key for each request, and the \
         same one only to repeat a request without changes.",
    ),
    (423, "UPLOAD_BUSY", "Another request writes the upload. Get its offset in a few seconds."),
    (429, "TOO_MANY_ATTEMPTS", "Too many attempts. Try again in a minute."),
    (
        429,
        "TOO_MANY_CODES",
        "Too many wrong codes in the last 24 hours. Use a recovery code, or try again tomorrow, \
         and change your password: somebody else may know it.",
    ),
    (
        429,
        "TOO_MANY_MAILS",
        "Too many mails were sent to this address. Use the latest one, or try again later.",
    ),
    (
        429,
        "TOO_MANY_DELIVERIES",
        "At most 30 tests and repetitions per minute are allowed. Try again later.",
    ),
    (429, "TOO_MANY_DOWNLOADS", "At most 10 downloads per minute are allowed. Try again later."),
    (429, "TOO_MANY_UPLOADS", "4 uploads are in progress. Wait until one is finished."),
    (429, "TOO_MANY_AT_ONCE", "32 downloads are in progress. Wait until one is finished."),
    (
        429,
        "TOO_MANY_JOBS",
        "100 jobs are queued, running or being uploaded. Wait for some or cancel some.",
    ),
    (429, "TOO_MANY_JOBS_PER_HOUR", "At most 200 jobs per hour are allowed. Try again later."),
    (
        460,
        "CHECKSUM_MISMATCH",
        "The bytes do not have the stated checksum, so none were stored. Send them again.",
    ),
    (500, "INTERNAL_ERROR", "Internal error. Try again later."),
    (503, "UNAVAILABLE", "The database is unavailable. Try again in a few seconds."),
    (503, "TOO_BUSY", "Too many passwords are being verified. Try again in a few seconds."),
    (507, "STORAGE_FULL", "The file store has no space left for the video. Try again later."),
    (
        507,
        "QUOTA_EXCEEDED",
        "Your videos and archives use 19900 of 20000 MB, and this one needs more than is left. \
         Delete some or wait until they expire.",
    ),
];

/// Example of the problem with this status and code, with an error of this field.
pub fn example(status: u16, code: &str, field: Option<FieldExample>) -> Option<ProblemDocument> {
    let (.., detail) = EXAMPLES.iter().find(|example| (example.0, example.1) == (status, code))?;
    let status = StatusCode::from_u16(status).ok()?;
    let mut document = ProblemDocument::new(status, code, (*detail).to_owned());
    if let Some(example) = field.filter(|_| code == "INVALID_FIELDS") {
        example.message.clone_into(&mut document.detail);
        document.errors = vec![FieldError::new(example.field, example.code, example.message)];
    }
    Some(document)
}
