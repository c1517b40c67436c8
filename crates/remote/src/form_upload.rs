//! Upload of a video as a form, which starts again after an interruption.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::Method;
use hyper::body::Frame;
use hyper::header;
use jobs::Recipe;
use serde_json::json;

use crate::client::{Body, Client, origin, parse, with_body};
use crate::error::Error;
use crate::job::{Accepted, AcceptedVideo};
use crate::retry::{Retry, Step, idempotency_key};
use crate::video_file::{Reader, VideoFile};

impl Client {
    /// Upload a video as a form. A repetition with the same key creates no second job.
    pub(crate) async fn upload_form(
        &self,
        video: &VideoFile,
        recipe: &Recipe,
        report: &(dyn Fn(Step<'_>) + Sync),
    ) -> Result<AcceptedVideo, Error> {
        let (mut retry, key) = (Retry::new(self, report), idempotency_key());
        loop {
            match self.send_form(video, recipe, &key, report).await {
                Ok(accepted) => return accepted.only(self),
                Err(error) => retry.pause(error).await?,
            }
        }
    }

    /// Send a form.
    async fn send_form(
        &self,
        video: &VideoFile,
        recipe: &Recipe,
        key: &str,
        report: &(dyn Fn(Step<'_>) + Sync),
    ) -> Result<Accepted, Error> {
        let boundary = format!("fiapx{}", idempotency_key());
        let (head, tail) = envelope(&boundary, &video.name, recipe);
        let length = head.len() as u64 + video.size + tail.len() as u64;
        let (reader, reading) = video.open(0)?;
        let request = self
            .request(Method::POST, "/videos/upload")
            .header("Idempotency-Key", key)
            .header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
            .header(header::CONTENT_LENGTH, length);
        let request = with_body(request, form(head, tail, reader))?;
        let origin = origin(request.uri());
        let response = self.send_video(request, video, &reading, report).await?;
        parse(origin, response).await
    }
}

/// What precedes and follows the bytes of a video in a form. Names are escaped as browsers do
/// (HTML, 4.10.21.8).
fn envelope(boundary: &str, name: &str, recipe: &Recipe) -> (Bytes, Bytes) {
    let name = name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
    let choice = if *recipe == Recipe::default() {
        String::new()
    } else {
        let recipe = json!(recipe);
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"recipe\"\r\n\r\n{recipe}\r\n"
        )
    };
    let head = format!(
        "{choice}--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; \
         filename=\"{name}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    (head.into(), format!("\r\n--{boundary}--\r\n").into())
}

/// Body of a form.
fn form(head: Bytes, tail: Bytes, video: Reader) -> Body {
    let once = |bytes| stream::iter([Ok(bytes)]);
    let all = once(head).chain(video.pieces()).chain(once(tail));
    StreamBody::new(all.map(|piece| piece.map(Frame::data))).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_browsers_do() {
        let (head, tail) = envelope("b", "a\"\r\n%22.mp4", &Recipe::default());
        let head = String::from_utf8_lossy(&head).into_owned();
        assert!(head.contains("filename=\"a%22%0D%0A%22.mp4\"\r\n"), "{head}");
        assert_eq!((tail, head.contains("recipe")), (Bytes::from("\r\n--b--\r\n"), false));
    }
}
