//! Live events of a job.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use database::Job;
use futures_util::{Stream, StreamExt, stream};
use poem::web::Data;
use poem::web::sse::Event;
use poem_openapi::param::Path;
use poem_openapi::payload::EventStream;
use poem_openapi::types::ToJSON;
use poem_openapi::{ApiResponse, Object, OpenApi};
use uuid::Uuid;

use crate::Service;
use crate::accounts::{Group, LoggedIn};
use crate::problem::Refusal;
use crate::videos::{JobRefusals, own_job};
use crate::views::{Progress, Status};

/// A change of a job.
#[derive(Debug, Clone, PartialEq, Eq, Object)]
struct JobEvent {
    /// The job's id.
    job_id: Uuid,
    /// Where the job stands.
    status: Status,
    /// How far the current attempt is.
    progress: Progress,
    /// Attempts after the first.
    retry_count: u32,
    /// Why the last attempt failed.
    #[oai(nullable)]
    error_code: Option<String>,
}

impl From<&Job> for JobEvent {
    fn from(job: &Job) -> Self {
        Self {
            job_id: job.id.0,
            status: job.state.into(),
            progress: Progress { done: job.progress_done, expected: job.progress_expected },
            retry_count: job.retry_count(),
            error_code: job.error_code.map(|code| code.name().to_owned()),
        }
    }
}

type Events = Pin<Box<dyn Stream<Item = JobEvent> + Send>>;

#[derive(ApiResponse)]
enum Streamed {
    /// The events, as they happen.
    #[oai(status = 200)]
    Events(EventStream<Events>),
}

/// The operation that streams events.
pub struct JobEvents;

#[OpenApi(tag = "Group::Videos")]
impl JobEvents {
    /// Watch a job
    ///
    /// Server-sent events named `job`: where the job stands now, then every change. The stream ends
    /// when the job is over or deleted.
    #[oai(path = "/jobs/:id/events", method = "get")]
    async fn events(
        &self,
        service: Data<&Arc<Service>>,
        user: LoggedIn,
        /// The job's id.
        id: Path<Uuid>,
    ) -> Result<Streamed, Refusal<JobRefusals>> {
        /// Proxies close connections on which nothing comes for a minute or so.
        const KEEP_ALIVE: Duration = Duration::from_secs(15);
        let job = own_job(&service, user.0, id.0).await?;
        let mut receiver = service.watch.job(&job);
        receiver.mark_changed();
        let changes = stream::unfold(Some(receiver), |receiver| async move {
            let mut receiver = receiver?;
            receiver.changed().await.ok()?;
            let job = receiver.borrow_and_update().clone()?;
            let more = !job.state.is_final();
            Some((JobEvent::from(&job), more.then_some(receiver)))
        });
        let closing = service.parts.closing.clone();
        let events: Events = Box::pin(changes.take_until(closing.cancelled_owned()));
        let named = EventStream::new(events)
            .to_event(|event| Event::message(event.to_json_string()).event_type("job"));
        Ok(Streamed::Events(named.keep_alive(KEEP_ALIVE)))
    }
}
