//! Acceptance of videos.

use std::time::Duration;

use jobs::message::{Created, Event};
use jobs::{JobId, Recipe, State, UserId};
use sea_orm::EntityTrait;
use sea_orm::sea_query::Expr;

use super::case::{Case, accept, video};
use crate::accept::{Accepted, IdempotencyKey, Video};
use crate::error::Error;
use crate::job::Job;
use crate::rows::idempotency_key;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Rows of every new job.
const NEW: [&str; 4] = [
    "job QUEUED attempt=0 fence=0 files=7d",
    "event - UPLOADED size_bytes=1000",
    "event UPLOADED QUEUED",
    "outbox job.created retries=0 due=0s",
];

fn new(accepted: Result<Accepted, Error>) -> Vec<JobId> {
    match accepted.expect("the videos are accepted") {
        Accepted::New(jobs) => ids(&jobs),
        other => panic!("the request is new, but the result is {other:?}"),
    }
}

fn repeated(accepted: Result<Accepted, Error>) -> Vec<JobId> {
    match accepted.expect("the request is repeated") {
        Accepted::Repeated(jobs) => ids(&jobs),
        other => panic!("the request is a repetition, but the result is {other:?}"),
    }
}

fn ids(jobs: &[Job]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

pub(super) async fn creates_a_job(case: &Case) {
    let (user, video) = (case.user().await, video());
    let accepted =
        accept(&case.database, user, std::slice::from_ref(&video), None, Some(TRACEPARENT)).await;
    assert_eq!(new(accepted), [video.id]);
    assert_eq!(
        case.lines(video.id).await,
        [
            &format!("job QUEUED attempt=0 fence=0 files=7d traceparent={TRACEPARENT}"),
            "event - UPLOADED size_bytes=1000",
            "event UPLOADED QUEUED",
            &format!("outbox job.created retries=0 due=0s traceparent={TRACEPARENT}"),
        ]
    );
    let job =
        case.database.job(video.id).await.expect("the database answers").expect("the job exists");
    assert_eq!((job.id, job.user_id, job.state), (video.id, user, State::Queued));
    assert_eq!((&job.filename, job.video_format.as_str()), (&video.filename, "mp4"));
    assert_eq!((&job.video_path, job.video_size_bytes), (&video.path, video.size_bytes));

    let relay = tokio::time::timeout(Duration::from_mins(1), case.database.outbox_filled());
    relay.await.expect("the relay of this process wakes up");
    let [outgoing] =
        &case.database.take_outgoing(10, Duration::ZERO).await.expect("the database answers")[..]
    else {
        panic!("there is one message")
    };
    let created = Created {
        job_id: video.id,
        user_id: user,
        video_path: video.path,
        filename: video.filename,
        video_size_bytes: video.size_bytes,
        recipe: video.recipe.into(),
    };
    let message = outgoing.message.decode().expect("the message is readable");
    assert_eq!(message.event, Event::Created(created));
    assert_eq!(
        (outgoing.id, outgoing.traceparent.as_deref()),
        (outgoing.message.event_id, Some(TRACEPARENT))
    );
}

pub(super) async fn creates_several_jobs(case: &Case) {
    let (user, mut videos) = (case.user().await, [(); 5].map(|()| video()));
    videos.reverse();
    let expected = videos.clone().map(|video| video.id);
    assert_eq!(
        new(accept(&case.database, user, &videos, None, None).await),
        expected,
        "in the order of the videos"
    );
    for id in expected {
        assert_eq!(case.lines(id).await, NEW);
    }
    assert_eq!(case.rows().await.jobs.len(), 5);
}

pub(super) async fn creates_all_jobs_or_none(case: &Case) {
    let (user, existing) = (case.user().await, video());
    assert_eq!(
        new(accept(&case.database, user, std::slice::from_ref(&existing), None, None).await),
        [existing.id]
    );
    let rows = case.rows().await;
    let (first, last) = (video(), video());
    let repeated = [first.clone(), existing, last];
    let rejected = accept(&case.database, user, &repeated, Some("key"), None).await;
    assert!(matches!(rejected, Err(Error::AlreadyExists)), "{rejected:?}");
    assert_eq!(case.rows().await, rows, "the first video leaves no rows");
    let unknown_user =
        accept(&case.database, UserId::generate(), std::slice::from_ref(&first), None, None).await;
    assert!(matches!(unknown_user, Ok(Accepted::Abandoned)), "{unknown_user:?}");
    assert_eq!(case.rows().await, rows);
    assert_eq!(case.database.find_accepted(user, "key").await.expect("the database answers"), None);
    assert_eq!(
        new(accept(&case.database, user, std::slice::from_ref(&first), Some("key"), None).await),
        [first.id],
        "the key is not used"
    );
}

pub(super) async fn detects_repeated_requests(case: &Case) {
    let (user, neighbor) = (case.user().await, case.user().await);
    let mut videos = [video(), video(), video()];
    videos.swap(0, 2);
    let [a, b, c] = videos.clone().map(|video| video.id);
    assert_eq!(new(accept(&case.database, user, &videos, Some("key"), None).await), [a, b, c]);
    let rows = case.rows().await;
    assert_eq!(
        repeated(accept(&case.other, user, &[video(), video()], Some("key"), None).await),
        [a, b, c]
    );
    assert_eq!(case.rows().await, rows, "no job uses the new videos");

    new(accept(&case.database, user, &[video()], Some("other key"), None).await);
    new(accept(&case.database, neighbor, &[video()], Some("key"), None).await);
    for _ in 0..2 {
        new(accept(&case.database, user, &[video()], None, None).await);
    }

    case.database
        .cancel(b, State::Queued)
        .await
        .expect("the database answers")
        .expect("the job is cancelled");
    assert_eq!(
        repeated(accept(&case.database, user, &[video()], Some("key"), None).await),
        [a, b, c]
    );
    assert!(case.database.delete(b).await.expect("the database answers"));
    assert_eq!(repeated(accept(&case.database, user, &[video()], Some("key"), None).await), [a, c]);
}

pub(super) async fn detects_another_request_with_the_same_key(case: &Case) {
    let user = case.user().await;
    let send = async |key: &str, fingerprint: &str| {
        let (video, fingerprint) = (video(), fingerprint.to_owned());
        case.database
            .begin_upload(user, video.id, &video.path, 0..=0)
            .await
            .expect("it is recorded");
        let key = IdempotencyKey { key: key.to_owned(), fingerprint };
        case.other.accept(user, &[video], Some(&key), None).await
    };
    let first = new(send("key", "one").await);
    let rows = case.rows().await;
    let reused = send("key", "two").await;
    assert!(matches!(reused, Ok(Accepted::Reused)), "{reused:?}");
    assert_eq!(repeated(send("key", "one").await), first);
    assert_eq!(case.rows().await, rows);
    let found = case.database.find_accepted(user, "key").await.expect("the database answers");
    let found = found.expect("the key is used");
    assert!(found.is_repeated_by("one") && !found.is_repeated_by("two"));

    // A program of the previous release knows no fingerprints.
    idempotency_key::Entity::update_many()
        .col_expr(idempotency_key::Column::Fingerprint, Expr::value(Option::<String>::None))
        .exec(&case.database.write)
        .await
        .expect("the database answers");
    assert_eq!(repeated(send("key", "two").await), first);
}

pub(super) async fn detects_concurrent_requests(case: &Case) {
    let user = case.user().await;
    let accepted = case.run_concurrently(20, |_, database| async move {
        let videos = [video(), video()];
        (
            videos.clone().map(|video| video.id),
            accept(&database, user, &videos, Some("key"), None).await,
        )
    });
    let (first, others): (Vec<_>, Vec<_>) = accepted
        .await
        .into_iter()
        .partition(|(_, accepted)| matches!(accepted, Ok(Accepted::New(_))));
    let [(sent, accepted)] = <[_; 1]>::try_from(first).expect("one request creates jobs");
    assert_eq!(new(accepted), sent);
    for (_, repetition) in others {
        assert_eq!(repeated(repetition), sent);
    }
    assert_eq!(case.rows().await.jobs.len(), 2);
    for id in sent {
        assert_eq!(case.lines(id).await, NEW);
    }
}

pub(super) async fn keeps_the_recipe(case: &Case) {
    let half_seconds: Recipe =
        serde_json::from_str(r#"{"select": {"every": 0.5}}"#).expect("a valid recipe");
    for recipe in [Recipe::default(), half_seconds] {
        let (user, video) = (case.user().await, Video { recipe: recipe.clone(), ..video() });
        let accepted = accept(&case.database, user, std::slice::from_ref(&video), None, None).await;
        new(accepted);
        let job = case.database.job(video.id).await.expect("the database answers");
        assert_eq!(job.expect("the job exists").recipe.known(), Some(&recipe));
        assert_eq!(case.claim(video.id).await.recipe, recipe);
        let taken = case.database.take_outgoing(10, Duration::from_mins(1)).await;
        let [outgoing] = &taken.expect("the database answers")[..] else {
            panic!("one message is due")
        };
        let message = outgoing.message.decode().expect("the message is readable");
        let Event::Created(created) = message.event else { panic!("{outgoing:?}") };
        assert_eq!(created.recipe.known(), Some(&recipe));
    }
}
