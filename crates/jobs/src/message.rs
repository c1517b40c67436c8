//! Messages between processes about a job, in JSON. They only announce what the database has
//! recorded; readers load the state of the job from the database.

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::clock::Time;
use crate::failure::FailureCode;
use crate::id::{JobId, UserId};
use crate::stored_recipe::StoredRecipe;

/// Version of the format below. Version 2 added [`Created::recipe`]. Version 1 is still readable
/// and means the default recipe; programs that know only version 1 ignore the field. A relay of
/// such a program removes it from a message and leaves the version at 2, which is harmless: workers
/// read the recipe from the database.
///
/// Readers ignore fields that they do not know, so a later version can add some.
pub const VERSION: u32 = 2;

/// Message in its wire format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Event that the message announces.
    #[serde(flatten)]
    pub event: Event,
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// Id of the message. A message that is published again keeps it.
    pub event_id: Uuid,
    /// Time of the event.
    pub timestamp: Time,
    /// Attempts at the job, and the key that identifies repetitions.
    pub metadata: Metadata,
}

impl Message {
    /// Create a message about an event.
    #[must_use]
    pub fn new(event: Event, timestamp: Time, retry_count: u32, max_retries: u32) -> Self {
        let idempotency_key = format!("{}:{}", event.job_id(), event.name());
        let metadata = Metadata { retry_count, max_retries, idempotency_key };
        Self { event, version: VERSION, event_id: Uuid::now_v7(), timestamp, metadata }
    }

    /// Encode the message for its transport.
    #[must_use]
    pub fn encode(&self) -> EncodedMessage {
        EncodedMessage {
            event_id: self.event_id,
            job_id: self.event.job_id(),
            event_type: self.event.name().to_owned(),
            timestamp: self.timestamp,
            json: json!(self).to_string(),
        }
    }
}

/// Message as JSON, with the properties that its transport needs. It is forwarded unchanged: it may
/// be one of a later version, with parts that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedMessage {
    /// Id of the message.
    pub event_id: Uuid,
    /// Id of the job.
    pub job_id: JobId,
    /// [Name](Event::name) of the event type.
    pub event_type: String,
    /// Time of the event.
    pub timestamp: Time,
    /// The whole message.
    pub json: String,
}

impl EncodedMessage {
    /// Decode the message.
    ///
    /// # Errors
    /// The text is not JSON, or lacks a field that every version has.
    pub fn decode(&self) -> Result<Message, serde_json::Error> {
        serde_json::from_str(&self.json)
    }
}

/// Event in the life of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event_type", content = "payload")]
pub enum Event {
    /// The job is queued for an attempt.
    #[serde(rename = "job.created")]
    Created(Created),
    /// The archive is stored.
    #[serde(rename = "job.completed")]
    Completed(Completed),
    /// The last attempt failed.
    #[serde(rename = "job.failed")]
    Failed(Failed),
    /// The user cancelled the job.
    #[serde(rename = "job.cancelled")]
    Cancelled(Cancelled),
}

impl Event {
    /// Name of the event type.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created(_) => Created::EVENT_TYPE,
            Self::Completed(_) => Completed::EVENT_TYPE,
            Self::Failed(_) => Failed::EVENT_TYPE,
            Self::Cancelled(_) => Cancelled::EVENT_TYPE,
        }
    }

    /// Id of the job.
    #[must_use]
    pub const fn job_id(&self) -> JobId {
        match self {
            Self::Created(Created { job_id, .. })
            | Self::Completed(Completed { job_id, .. })
            | Self::Failed(Failed { job_id, .. })
            | Self::Cancelled(Cancelled { job_id, .. }) => *job_id,
        }
    }

    /// Id of the job's owner.
    #[must_use]
    pub const fn user_id(&self) -> UserId {
        match self {
            Self::Created(Created { user_id, .. })
            | Self::Completed(Completed { user_id, .. })
            | Self::Failed(Failed { user_id, .. })
            | Self::Cancelled(Cancelled { user_id, .. }) => *user_id,
        }
    }
}

/// Payload of `job.created`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// Id of the job.
    pub job_id: JobId,
    /// Id of the job's owner.
    pub user_id: UserId,
    /// Storage key of the video.
    pub video_path: String,
    /// File name of the video.
    pub filename: String,
    /// Size of the video in bytes.
    pub video_size_bytes: u64,
    /// Frames to extract, and their form.
    #[serde(default)]
    pub recipe: StoredRecipe,
}

/// Payload of `job.completed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Completed {
    /// Id of the job.
    pub job_id: JobId,
    /// Id of the job's owner.
    pub user_id: UserId,
    /// File name of the video.
    pub filename: String,
    /// Storage key of the archive.
    pub zip_path: String,
    /// Size of the archive in bytes.
    pub zip_size_bytes: u64,
    /// Number of frames in the archive.
    pub frame_count: u64,
    /// Whether the archive contains every expected frame, decoded without error.
    pub complete: bool,
    /// Duration of the successful attempt, in seconds.
    pub processing_time_seconds: f64,
}

/// Payload of `job.failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Id of the job.
    pub job_id: JobId,
    /// Id of the job's owner.
    pub user_id: UserId,
    /// File name of the video.
    pub filename: String,
    /// Reason of the failure.
    pub error_code: FailureCode,
    /// The code's text for users, in English.
    pub error_message: String,
}

/// Payload of `job.cancelled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Id of the job.
    pub job_id: JobId,
    /// Id of the job's owner.
    pub user_id: UserId,
    /// File name of the video.
    pub filename: String,
}

impl Created {
    /// Name of the event type.
    pub const EVENT_TYPE: &str = "job.created";
}

impl Completed {
    /// Name of the event type.
    pub const EVENT_TYPE: &str = "job.completed";
}

impl Failed {
    /// Name of the event type.
    pub const EVENT_TYPE: &str = "job.failed";
}

impl Cancelled {
    /// Name of the event type.
    pub const EVENT_TYPE: &str = "job.cancelled";
}

/// Attempts at the job, and the key that identifies repetitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Number of attempts after the first.
    pub retry_count: u32,
    /// Maximum number of attempts after the first.
    pub max_retries: u32,
    /// Equal in all messages about the same event of the same job.
    pub idempotency_key: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(last: u8) -> Uuid {
        Uuid::from_u128(0x0190_a000_0000_7000_8000_0000_0000_0000 + u128::from(last))
    }

    /// Message with fixed id and time.
    fn message(event: Event) -> Message {
        let time = "2026-01-02T03:04:05.678901Z".parse().expect("a valid time");
        Message { event_id: id(3), ..Message::new(event, time, 0, 3) }
    }

    fn created() -> Created {
        let (job_id, user_id) = (JobId(id(1)), UserId(id(2)));
        Created {
            job_id,
            user_id,
            video_path: format!("videos/{user_id}/{job_id}/input.mp4"),
            filename: "férias.mp4".to_owned(),
            video_size_bytes: 1_048_576,
            recipe: StoredRecipe::default(),
        }
    }

    /// Other programs read this format; a change of the snapshot needs a new version.
    #[test]
    fn wire_format_is_stable() {
        let Created { job_id, user_id, filename, .. } = created();
        let events = [
            Event::Created(created()),
            Event::Completed(Completed {
                job_id,
                user_id,
                filename: filename.clone(),
                zip_path: format!("videos/{user_id}/{job_id}/output-1.zip"),
                zip_size_bytes: 2_097_152,
                frame_count: 12,
                complete: true,
                processing_time_seconds: 0.75,
            }),
            Event::Failed(Failed {
                job_id,
                user_id,
                filename: filename.clone(),
                error_code: FailureCode::NoVideoStream,
                error_message: "the file contains no video".to_owned(),
            }),
            Event::Cancelled(Cancelled { job_id, user_id, filename }),
        ];
        let mut written = Vec::new();
        for event in events {
            let message = message(event);
            let json = serde_json::to_string_pretty(&message).expect("messages are JSON");
            assert_eq!(serde_json::from_str::<Message>(&json).expect("the same format"), message);
            assert_eq!(message.encode().decode().expect("the same format"), message);
            written.push(json);
        }
        insta::assert_snapshot!(written.join("\n"));
    }

    #[test]
    fn version_1_means_the_default_recipe() {
        let version_1 = r#"{
            "event_type": "job.created",
            "payload": {
                "job_id": "0190a000-0000-7000-8000-000000000001",
                "user_id": "0190a000-0000-7000-8000-000000000002",
                "video_path": "videos/0190a000/input.mp4",
                "filename": "férias.mp4",
                "video_size_bytes": 1048576
            },
            "version": 1,
            "event_id": "0190a000-0000-7000-8000-000000000003",
            "timestamp": "2026-01-02T03:04:05.678901Z",
            "metadata": {
                "retry_count": 0,
                "max_retries": 3,
                "idempotency_key": "0190a000-0000-7000-8000-000000000001:job.created"
            }
        }"#;
        let read: Message = serde_json::from_str(version_1).expect("version 1 is readable");
        let created = Created { video_path: "videos/0190a000/input.mp4".to_owned(), ..created() };
        assert_eq!(read, Message { version: 1, ..message(Event::Created(created)) });
    }

    #[test]
    fn a_later_version_may_add_recipes_and_fields() {
        let known = message(Event::Created(created()));
        let recipe = json!({ "select": { "scenes": 0.25 }, "image": { "format": "jpeg" } });
        let mut later = json!(known);
        later["version"] = json!(3);
        later["priority"] = json!(1);
        later["payload"]["recipe"] = recipe.clone();
        later["payload"]["folder"] = json!({ "name": "praia" });
        later["metadata"]["region"] = json!(null);
        let encoded = EncodedMessage { json: later.to_string(), ..known.encode() };
        let read = encoded.decode().expect("it is readable");
        let created = Created { recipe: StoredRecipe::Unknown(recipe), ..created() };
        assert_eq!(read, Message { version: 3, ..message(Event::Created(created)) });
    }
}
