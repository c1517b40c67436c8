//! Database of one case, and its rows in a readable form.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use jobs::{
    AttemptOutcome, Clock, FailureCode, JobId, Language, Recipe, State, Time, Transition, UserId,
    VideoFormat,
};
use sea_orm::{EntityTrait, QueryOrder};
use serde_json::Value;
use tokio::sync::Barrier;

use crate::accept::{Accepted, IdempotencyKey, Video};
use crate::attempt::Archive;
use crate::claim::{Claim, NextJob};
use crate::connection::{Database, Rules};
use crate::error::Error;
use crate::job::Job;
use crate::renewal::{Renewal, Renewed};
use crate::rows::{job, job_event, notification, outbox};
use crate::sessions::{Lifetimes, Origin, Session};
use crate::users::User;

/// A session ends after a day without a refresh, and after a month.
pub(super) const LIFETIMES: Lifetimes =
    Lifetimes { unused: Duration::from_hours(24), total: Duration::from_hours(30 * 24) };

/// Database of one case, with two connections, as two processes have.
pub(super) struct Case {
    pub(super) database: Database,
    pub(super) other: Database,
    pub(super) clock: Clock,
}

impl Case {
    /// Open both connections. Both migrate at once, as processes do that start together.
    pub(super) async fn open(
        name: &str,
        open: &impl AsyncFn(&str, Clock, Rules) -> Database,
    ) -> Self {
        let clock = Clock::default();
        let connect = || open(name, clock.clone(), Rules::default());
        let (database, other) = tokio::join!(connect(), connect());
        let (one, two) = tokio::join!(database.migrate(), other.migrate());
        one.and(two).expect("concurrent migrations succeed");
        Self { database, other, clock }
    }

    /// Advance the clock.
    pub(super) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Run tasks at the same time, on both connections in turn. Return their results in order.
    pub(super) async fn run_concurrently<T, F>(
        &self,
        count: usize,
        task: impl Fn(usize, Database) -> F,
    ) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let begin = Arc::new(Barrier::new(count));
        let tasks = (0..count).map(|number| {
            let database = if number % 2 == 0 { &self.database } else { &self.other };
            let (begin, task) = (Arc::clone(&begin), task(number, database.clone()));
            tokio::spawn(async move {
                begin.wait().await;
                task.await
            })
        });
        let mut results = Vec::with_capacity(count);
        for task in tasks.collect::<Vec<_>>() {
            results.push(task.await.expect("no task panics"));
        }
        results
    }

    /// Create a user.
    pub(super) async fn user(&self) -> UserId {
        let email = format!("{}@example.org", UserId::generate());
        self.database
            .register(&email, "Ana", "hash".to_owned(), Language::Pt)
            .await
            .expect("the address is new")
            .id
    }

    /// User with this id, who exists.
    pub(super) async fn user_with(&self, id: UserId) -> User {
        self.database.user(id).await.expect("the database answers").expect("the user exists")
    }

    /// Open a session of an active user with this first token.
    pub(super) async fn open_session(&self, user: UserId, token_hash: &str) -> Session {
        let user = self.user_with(user).await;
        let opened =
            self.database.open_session(&user, token_hash, Origin::default(), LIFETIMES).await;
        opened.expect("the database answers").expect("the user has not changed")
    }

    /// Change the password of an active user.
    pub(super) async fn change_password(&self, user: UserId, hash: &str) {
        let user = self.user_with(user).await;
        let changed = self.database.change_password(&user, hash.to_owned()).await;
        assert!(changed.expect("the database answers"), "the user has not changed");
    }

    /// Create a queued job.
    pub(super) async fn queued(&self) -> JobId {
        let user = self.user().await;
        self.queued_for(user).await
    }

    /// Create a queued job of a user.
    pub(super) async fn queued_for(&self, user: UserId) -> JobId {
        let video = video();
        let accepted = accept(&self.database, user, std::slice::from_ref(&video), None, None).await;
        assert!(matches!(accepted, Ok(Accepted::New(_))), "{accepted:?}");
        video.id
    }

    /// Claim a job that can be claimed.
    pub(super) async fn claim(&self, id: JobId) -> Claim {
        claim_job(&self.database, id, "w").await.expect("the job can be claimed")
    }

    /// Create a job in a certain state. `Expired` advances the clock, so other jobs may expire.
    pub(super) async fn job_in(&self, state: State) -> JobId {
        let user = self.user().await;
        self.job_of(user, state).await
    }

    /// Create a job of a user in a certain state, like [`job_in`](Self::job_in).
    pub(super) async fn job_of(&self, user: UserId, state: State) -> JobId {
        let id = self.queued_for(user).await;
        match state {
            State::Uploaded => panic!("no committed job is in this state"),
            State::Queued => {}
            State::Cancelled => {
                self.database
                    .cancel(id, State::Queued)
                    .await
                    .expect("the database answers")
                    .expect("the job is cancelled");
            }
            State::Processing => drop(self.claim(id).await),
            State::Failed => {
                let failed = self
                    .database
                    .fail(&self.claim(id).await, FailureCode::NoVideoStream, "only sound")
                    .await;
                assert_eq!(failed.expect("the database answers"), AttemptOutcome::Failed);
            }
            State::Done | State::Expired => {
                let claim = self.claim(id).await;
                let finished = self.database.finish(&claim, &archive(&claim)).await;
                assert_eq!(finished.expect("the database answers"), AttemptOutcome::Completed);
                if state == State::Expired {
                    self.clock.advance(Rules::default().retention);
                    expire(&self.database).await.expect("the database answers");
                }
            }
        }
        id
    }

    /// All rows that belong to jobs.
    pub(super) async fn rows(&self) -> Rows {
        let read = &self.database.read;
        let rows = tokio::try_join!(
            job::Entity::find().order_by_asc(job::Column::Id).all(read),
            job_event::Entity::find().order_by_asc(job_event::Column::Id).all(read),
            outbox::Entity::find().order_by_asc(outbox::Column::Id).all(read),
            notification::Entity::find().order_by_asc(notification::Column::Id).all(read),
        );
        let (jobs, events, outbox, notifications) = rows.expect("rows can be read");
        Rows { jobs, events, outbox, notifications }
    }

    /// Rows of one job, in the form of [`Rows::of`].
    pub(super) async fn lines(&self, id: JobId) -> Vec<String> {
        self.rows().await.of(id)
    }
}

/// Begin the uploads of videos, and accept them.
pub(super) async fn accept(
    database: &Database,
    user: UserId,
    videos: &[Video],
    key: Option<&str>,
    traceparent: Option<&str>,
) -> Result<Accepted, Error> {
    for video in videos {
        match database.begin_upload(user, video.id, &video.path, 0..=0).await {
            // An earlier attempt to accept it was rejected, or the user does not exist.
            Ok(_) | Err(Error::AlreadyExists) => {}
            Err(error) => return Err(error),
        }
    }
    accept_begun(database, user, videos, key, traceparent).await
}

/// Accept videos whose uploads were begun.
pub(super) async fn accept_begun(
    database: &Database,
    user: UserId,
    videos: &[Video],
    key: Option<&str>,
    traceparent: Option<&str>,
) -> Result<Accepted, Error> {
    let key = key.map(|key| IdempotencyKey {
        key: key.to_owned(),
        fingerprint: "of the request".to_owned(),
    });
    database.accept(user, videos, key.as_ref(), traceparent).await
}

/// Claim this job, whatever the order of claims is, if it can be claimed.
pub(super) async fn claim_job(database: &Database, id: JobId, worker: &str) -> Option<Claim> {
    let transaction = database.begin().await.expect("the database answers");
    let now = database.clock().now();
    for transition in [Transition::START, Transition::RETRY] {
        let started = database.start_attempt(&transaction, id, transition, worker, now).await;
        if let Some(job) = started.expect("the database answers") {
            transaction.commit().await.expect("the database answers");
            let recipe = job.recipe.known().expect("the recipe is known").clone();
            return Some(Claim { job, recipe });
        }
    }
    None
}

/// Claim the next job, after a message about `named`; `None` if there is none.
pub(super) async fn claim_next(database: &Database, named: JobId, worker: &str) -> Option<Claim> {
    match database.claim(named, worker).await.expect("the database answers") {
        NextJob::Claimed(claim) => Some(*claim),
        NextJob::Nothing => None,
        NextJob::Locked => panic!("no other transaction runs"),
    }
}

/// Renew the lease of one claim. Return whether it holds.
pub(super) async fn renew(
    database: &Database,
    claim: &Claim,
    done: u64,
    expected: Option<u64>,
) -> bool {
    let renewal = Renewal { claim: claim.clone(), done, expected };
    let renewed = database.renew(&[renewal]).await.expect("the database answers");
    assert!(renewed == [Renewed::Yes] || renewed == [Renewed::Lost], "{renewed:?}");
    renewed == [Renewed::Yes]
}

/// Fail all attempts whose lease has expired.
pub(super) async fn reap(database: &Database) -> Result<Vec<AttemptOutcome>, Error> {
    database.reap(&database.leases().await?).await
}

/// Expire all jobs whose retention has ended, and return those whose files have to be removed.
pub(super) async fn expire(database: &Database) -> Result<Vec<Job>, Error> {
    let (mut jobs, mut page) = (Vec::new(), None);
    loop {
        let expired = database.expire(page).await?;
        jobs.extend(expired.jobs);
        let Some(next) = expired.next else { return Ok(jobs) };
        page = Some(next);
    }
}

/// Stored video with a new id.
pub(super) fn video() -> Video {
    let id = JobId::generate();
    Video {
        id,
        filename: "praia.mp4".to_owned(),
        format: VideoFormat::Mp4,
        path: format!("{id}/input.mp4"),
        size_bytes: 1000,
        source: None,
        recipe: Recipe::default(),
    }
}

/// Archive of an attempt with this claim.
pub(super) fn archive(claim: &Claim) -> Archive {
    Archive {
        path: format!("output-{}.zip", claim.job.fence),
        size_bytes: 900,
        frame_count: 3,
        expected: 4,
        complete: true,
        warnings: Vec::new(),
        duration: Duration::from_millis(1500),
    }
}

/// All rows that belong to jobs, by table.
#[derive(Debug, PartialEq)]
pub(super) struct Rows {
    pub(super) jobs: Vec<job::Model>,
    pub(super) events: Vec<job_event::Model>,
    pub(super) outbox: Vec<outbox::Model>,
    pub(super) notifications: Vec<notification::Model>,
}

impl Rows {
    /// Row of a job that exists.
    pub(super) fn job(&self, id: JobId) -> &job::Model {
        self.jobs.iter().find(|job| job.id == id.0).expect("the job exists")
    }

    /// Rows of one job, one line each, without ids, names and NULL values.
    ///
    /// Times are seconds after the last line of the history that the same transaction wrote.
    pub(super) fn of(&self, id: JobId) -> Vec<String> {
        let events: Vec<_> = self.events.iter().filter(|event| event.job_id == id.0).collect();
        let outbox = self.outbox.iter().filter(|row| row.job_id == id.0).map(|row| {
            let change = events.iter().rfind(|event| event.created_at <= row.created_at);
            let message: Value = serde_json::from_str(&row.message).expect("a message is JSON");
            let (retries, traceparent) = (
                &message["metadata"]["retry_count"],
                pair("traceparent", row.traceparent.as_ref()),
            );
            format!(
                "outbox {} retries={retries}{}{traceparent}",
                row.event_type,
                after(change, "due", Some(row.run_after))
            )
        });
        let notifications = self.notifications.iter().filter(|row| row.job_id == id.0).map(|row| {
            let (sent, error) =
                (pair("sent", row.sent_at.map(|_| "yes")), pair("error", row.last_error.as_ref()));
            format!(
                "notification {} {} attempts={}{sent}{error}",
                row.event_type, row.status, row.attempts
            )
        });
        let job =
            self.jobs.iter().filter(|job| job.id == id.0).map(|job| job_line(job, events.last()));
        job.chain(events.iter().map(|event| event_line(event)))
            .chain(outbox)
            .chain(notifications)
            .collect()
    }
}

fn job_line(job: &job::Model, change: Option<&&job_event::Model>) -> String {
    let retention = (job.expires_at - job.completed_at.unwrap_or(job.created_at)).num_days();
    let files = if job.files_removed { "removed".to_owned() } else { format!("{retention}d") };
    [
        format!("job {} attempt={} fence={} files={files}", job.status, job.attempt, job.fence),
        pair("worker", job.worker.as_ref()),
        pair("started", job.started_at.map(|_| "yes")),
        after(change, "lease", job.lease_until),
        after(change, "next", job.next_attempt_at),
        pair("error", job.error_code.as_ref()),
        pair("message", job.error_message.as_ref().map(|message| format!("{message:?}"))),
        pair("done", (job.progress_done > 0).then_some(job.progress_done)),
        pair("expected", job.progress_expected),
        pair("zip", job.zip_path.as_ref()),
        pair("bytes", job.zip_size_bytes),
        pair("frames", job.frame_count),
        pair("complete", job.complete),
        pair("warnings", (job.warnings != "[]").then_some(&job.warnings)),
        pair("took", job.processing_time_seconds),
        pair("traceparent", job.traceparent.as_ref()),
        pair("ended", job.completed_at.map(|_| "yes")),
    ]
    .concat()
}

fn event_line(event: &job_event::Model) -> String {
    let metadata: Value = serde_json::from_str(&event.metadata).expect("metadata is JSON");
    let mut pairs: Vec<String> = metadata
        .as_object()
        .expect("metadata is an object")
        .iter()
        .map(|(name, value)| match value.as_str().and_then(|text| text.parse().ok()) {
            Some(time) => after(Some(&event), name, Some(time)),
            None => pair(name, Some(value)),
        })
        .collect();
    pairs.sort();
    format!(
        "event {} {}{}",
        event.old_state.as_deref().unwrap_or("-"),
        event.new_state,
        pairs.concat()
    )
}

/// ` name=value`; empty without a value.
fn pair(name: &str, value: Option<impl Display>) -> String {
    value.map_or_else(String::new, |value| format!(" {name}={value}"))
}

/// ` name=SECONDSs` after a change; empty without a time or a change.
fn after(change: Option<&&job_event::Model>, name: &str, time: Option<Time>) -> String {
    let seconds = time.zip(change).map(|(time, change)| (time - change.created_at).num_seconds());
    pair(name, seconds.map(|seconds| format!("{seconds}s")))
}
