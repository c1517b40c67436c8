//! Events of a job.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use database::Job;
use futures_util::{Stream, StreamExt, stream};
use poem::web::Data;
use poem::web::sse::Event;
use poem_openapi::param::Path;
use poem_openapi::payload::EventStream;
use poem_openapi::types::{Example, ToJSON};
use poem_openapi::{ApiResponse, Object, OpenApi};
use uuid::Uuid;

use crate::examples;
use crate::job_view::{Progress, Status};
use crate::operation_error::{OperationError, problem_responses};
use crate::own_job::own_job;
use crate::permissions::{Permitted, VideosRead};
use crate::recipe_view::RecipeView;
use crate::service::Service;
use crate::tags::Tag;

/// State of a job after a change.
#[derive(Debug, Clone, Object)]
#[oai(example)]
struct JobEvent {
    /// Id of the job.
    job_id: Uuid,
    /// State of the job.
    status: Status,
    /// Progress of the current attempt.
    progress: Progress,
    /// Frames that were requested, and their form.
    recipe: RecipeView,
    /// Number of attempts after the first.
    retry_count: u32,
    /// Stable code of the last attempt's failure, in upper snake case.
    #[oai(nullable)]
    error_code: Option<String>,
}

impl Example for JobEvent {
    fn example() -> Self {
        Self {
            job_id: examples::JOB_ID,
            status: Status::Processing,
            progress: Progress { done: 12, expected: Some(examples::FRAME_COUNT) },
            recipe: RecipeView::example(),
            retry_count: 0,
            error_code: None,
        }
    }
}

impl From<&Job> for JobEvent {
    fn from(job: &Job) -> Self {
        Self {
            job_id: job.id.0,
            status: job.state.into(),
            progress: job.into(),
            recipe: (&job.recipe).into(),
            retry_count: job.retry_count(),
            error_code: job.error_code.map(|code| code.name().to_owned()),
        }
    }
}

type JobEventStream = Pin<Box<dyn Stream<Item = JobEvent> + Send>>;

#[derive(ApiResponse)]
enum EventsResponse {
    /// Stream of events, each with the name `job` and a JSON object as its data.
    #[oai(status = 200)]
    Events(EventStream<JobEventStream>),
}

problem_responses! {
    EventProblems {
        400: "Malformed id.", INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The job belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_JOB KEY_SCOPE_MISSING;
        404: "The job does not exist.", JOB_NOT_FOUND;
        429: "Too many event streams of the user are open.", TOO_MANY_AT_ONCE;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
}

/// Operation that streams events.
pub struct JobEvents;

#[OpenApi(tag = "Tag::Videos")]
impl JobEvents {
    /// Stream a job's events
    ///
    /// Server-sent events named `job`: the current state first, then every change. The stream ends
    /// when the job is finished or deleted.
    #[oai(path = "/jobs/:id/events", method = "get", operation_id = "streamJobEvents")]
    async fn events(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<VideosRead>,
        /// Id of the job.
        id: Path<Uuid>,
    ) -> Result<EventsResponse, OperationError<EventProblems>> {
        /// Interval of comments. Proxies close connections that are idle for about a minute.
        const KEEP_ALIVE: Duration = Duration::from_secs(15);
        let slot = service.event_streams.acquire(caller.user, "event streams")?;
        let job = own_job(&service, caller.user, id.0).await?;
        let mut receiver = service.job_watcher.watch(&job);
        receiver.mark_changed();
        let changes = stream::unfold(Some(receiver), |receiver| async move {
            let mut receiver = receiver?;
            receiver.changed().await.ok()?;
            let job = receiver.borrow_and_update().clone()?;
            let has_more = !job.state.is_final();
            Some((JobEvent::from(&job), has_more.then_some(receiver)))
        });
        let closing = service.parts.closing.clone();
        let changes = changes.inspect(move |_| {
            let _occupied = &slot;
        });
        let events: JobEventStream = Box::pin(changes.take_until(closing.cancelled_owned()));
        let named = EventStream::new(events)
            .to_event(|event| Event::message(event.to_json_string()).event_type("job"));
        Ok(EventsResponse::Events(named.keep_alive(KEEP_ALIVE)))
    }
}
