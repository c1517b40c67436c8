//! What processes tell each other about a job, in JSON. The database is the truth; a message only
//! says where to look.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{FailureCode, JobId, Time, UserId};

/// Version of the form below; it grows when a field changes its meaning.
pub const VERSION: u32 = 1;

/// A message as it stands on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// What happened, and to what.
    #[serde(flatten)]
    pub event: Event,
    /// Version of the form.
    pub version: u32,
    /// Names this message; a repetition carries the same.
    pub event_id: Uuid,
    /// When it happened.
    pub timestamp: Time,
    /// How often the job was tried, and how to know a repetition.
    pub metadata: Metadata,
}

impl Message {
    /// A new message about something that happens now.
    #[must_use]
    pub fn new(event: Event, timestamp: Time, retry_count: u32, max_retries: u32) -> Self {
        let idempotency_key = format!("{}:{}", event.job_id(), event.name());
        let metadata = Metadata { retry_count, max_retries, idempotency_key };
        Self { event, version: VERSION, event_id: Uuid::now_v7(), timestamp, metadata }
    }
}

/// What happened to a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event_type", content = "payload")]
pub enum Event {
    /// It waits for a worker.
    #[serde(rename = "job.created")]
    Created(Created),
    /// Its archive can be fetched.
    #[serde(rename = "job.completed")]
    Completed(Completed),
    /// There will be no archive.
    #[serde(rename = "job.failed")]
    Failed(Failed),
    /// Its user cancelled it.
    #[serde(rename = "job.cancelled")]
    Cancelled(Cancelled),
}

impl Event {
    /// The name of the event's kind.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created(_) => "job.created",
            Self::Completed(_) => "job.completed",
            Self::Failed(_) => "job.failed",
            Self::Cancelled(_) => "job.cancelled",
        }
    }

    /// The job.
    #[must_use]
    pub const fn job_id(&self) -> JobId {
        match self {
            Self::Created(Created { job_id, .. })
            | Self::Completed(Completed { job_id, .. })
            | Self::Failed(Failed { job_id, .. })
            | Self::Cancelled(Cancelled { job_id, .. }) => *job_id,
        }
    }

    /// The job's owner.
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
    /// The job.
    pub job_id: JobId,
    /// Its owner.
    pub user_id: UserId,
    /// Key of the video in storage.
    pub video_path: String,
    /// The video's name, as its owner knows it.
    pub filename: String,
    /// Bytes of the video.
    pub video_size_bytes: u64,
}

/// Payload of `job.completed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Completed {
    /// The job.
    pub job_id: JobId,
    /// Its owner.
    pub user_id: UserId,
    /// The video's name, as its owner knows it.
    pub filename: String,
    /// Key of the archive in storage.
    pub zip_path: String,
    /// Bytes of the archive.
    pub zip_size_bytes: u64,
    /// Pictures in the archive.
    pub frame_count: u64,
    /// Whether nothing is missing and nothing damaged.
    pub complete: bool,
    /// From the start of the attempt to its end, in seconds.
    pub processing_time_seconds: f64,
}

/// Payload of `job.failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The job.
    pub job_id: JobId,
    /// Its owner.
    pub user_id: UserId,
    /// The video's name, as its owner knows it.
    pub filename: String,
    /// Why.
    pub error_code: FailureCode,
    /// The same in English words.
    pub error_message: String,
}

/// Payload of `job.cancelled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// The job.
    pub job_id: JobId,
    /// Its owner.
    pub user_id: UserId,
    /// The video's name, as its owner knows it.
    pub filename: String,
}

/// How often the job was tried, and how to know a repetition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Attempts after the first.
    pub retry_count: u32,
    /// Most attempts that may follow the first.
    pub max_retries: u32,
    /// The same for every message about the same event of the same job.
    pub idempotency_key: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other programs read these; a change of form needs a new version.
    #[test]
    fn the_form_on_the_wire_stays() -> Result<(), Box<dyn std::error::Error>> {
        let id = |last: u8| -> Result<Uuid, uuid::Error> {
            format!("0190a000-0000-7000-8000-0000000000{last:02}").parse()
        };
        let (job_id, user_id) = (JobId(id(1)?), UserId(id(2)?));
        let filename = "férias.mp4".to_owned();
        let key = format!("videos/{user_id}/{job_id}/");
        let events = [
            Event::Created(Created {
                job_id,
                user_id,
                video_path: format!("{key}input.mp4"),
                filename: filename.clone(),
                video_size_bytes: 1_048_576,
            }),
            Event::Completed(Completed {
                job_id,
                user_id,
                filename: filename.clone(),
                zip_path: format!("{key}output-1.zip"),
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
                error_message: "the file holds no video".to_owned(),
            }),
            Event::Cancelled(Cancelled { job_id, user_id, filename }),
        ];
        let mut written = String::new();
        for event in events {
            let mut message = Message::new(event, "2026-01-02T03:04:05.678901Z".parse()?, 0, 3);
            message.event_id = id(3)?;
            written += &serde_json::to_string_pretty(&message)?;
            written.push('\n');
            assert_eq!(
                serde_json::from_str::<Message>(&serde_json::to_string(&message)?)?,
                message
            );
        }
        assert_eq!(written, include_str!("message.snapshot.json"));
        Ok(())
    }
}
