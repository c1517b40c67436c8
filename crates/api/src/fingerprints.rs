//! Fingerprints of requests with an idempotency key. A key that is used for another request is a
//! mistake of the client (draft-ietf-httpapi-idempotency-key-header, 2.6 and 2.7).

use std::fmt::Write;

use database::accept::{EarlierRequest, Video};
use jobs::{JobId, Recipe, SourceUrl};
use poem::http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// Fingerprint of an upload: names, sizes and recipes of its videos, in their order. Two videos
/// that differ in nothing else are not distinguished.
pub fn of_upload(videos: &[Video]) -> String {
    let videos: Vec<_> = videos
        .iter()
        .map(|video| json!([video.filename, video.size_bytes, video.recipe]))
        .collect();
    digest(&json!({ "upload": videos }))
}

/// Fingerprint of a request for another job of the video of a job.
pub fn of_another_job(source: JobId, recipe: &Recipe) -> String {
    digest(&json!({ "another_job": source, "recipe": recipe }))
}

/// Fingerprint of a request for a job of a video at an address.
pub fn of_url(url: &SourceUrl, filename: &str, recipe: &Recipe) -> String {
    digest(&json!({ "url": url.secret_url(), "filename": filename, "recipe": recipe }))
}

/// SHA-256 of a JSON value, in hexadecimal. Recipes have one form, however they were written.
fn digest(value: &Value) -> String {
    let digest: [u8; 32] = Sha256::digest(value.to_string()).into();
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Check that a request repeats the earlier one with its key.
pub fn check(earlier: &EarlierRequest, fingerprint: &str) -> Result<(), Problem> {
    if earlier.is_repeated_by(fingerprint) { Ok(()) } else { Err(reused()) }
}

/// Problem of a key that was used for another request.
pub fn reused() -> Problem {
    let detail = "The idempotency key was used for another request. Use a new key for each \
                  request, and the same one only to repeat a request without changes.";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED", detail)
}

#[cfg(test)]
mod tests {
    use jobs::VideoFormat;

    use super::*;

    fn video(filename: &str, size_bytes: u64, recipe: &str) -> Video {
        Video {
            id: JobId::generate(),
            filename: filename.to_owned(),
            format: VideoFormat::Mp4,
            path: JobId::generate().to_string(),
            size_bytes,
            source: None,
            recipe: Recipe::from_json(recipe.as_bytes()).expect("a recipe"),
        }
    }

    #[test]
    fn fingerprints_are_those_of_names_sizes_and_recipes() {
        let first = of_upload(&[video("a.mp4", 1, "{}")]);
        assert_eq!(first.len(), 64);
        assert_eq!(first, of_upload(&[video("a.mp4", 1, r#"{"select": {"every": 1.0}}"#)]));
        for other in [
            of_upload(&[]),
            of_upload(&[video("b.mp4", 1, "{}")]),
            of_upload(&[video("a.mp4", 2, "{}")]),
            of_upload(&[video("a.mp4", 1, r#"{"select": {"every": 2}}"#)]),
            of_upload(&[video("a.mp4", 1, "{}"), video("a.mp4", 1, "{}")]),
            of_another_job(JobId::generate(), &Recipe::default()),
        ] {
            assert_ne!(first, other);
        }
        let (source, recipe) = (JobId::generate(), Recipe::default());
        let another = of_another_job(source, &recipe);
        assert_eq!(another, of_another_job(source, &recipe));
        assert_ne!(another, of_another_job(JobId::generate(), &recipe));
    }
}
