//! Listing jobs, page by page.

use std::collections::HashSet;
use std::time::Duration;

use database::accept::Video;
use database::{Database, Rules};
use jobs::{Clock, JobId, VideoFormat};
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::parts::Parts::{self, Embedded, Servers};
use crate::service::{Service, User, bytes_of};

/// A clip that takes no time.
const SHORT: &str = "good/shorter_than_half_a_second.mp4";

/// A page, and where the next one is.
async fn page(user: &User<'_>, path: &str) -> (Vec<Value>, Option<String>) {
    let response = user.request(Method::GET, path).send().await.expect("the service answers");
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    let next = response.headers().get("link").map(|link| {
        let link = link.to_str().expect("it is text");
        let target = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
        target.unwrap_or_else(|| panic!("{link} does not name the next page")).to_owned()
    });
    (response.json().await.expect("answers are JSON"), next)
}

/// All pages from this one on.
async fn pages(user: &User<'_>, path: &str) -> Vec<Vec<Value>> {
    let (mut pages, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let (jobs, following) = page(user, &path).await;
        pages.push(jobs);
        next = following;
    }
    pages
}

fn id(job: &Value) -> String {
    job["id"].as_str().expect("an id").to_owned()
}

fn ids(pages: &[Vec<Value>]) -> Vec<String> {
    pages.iter().flatten().map(id).collect()
}

/// Upload so many short clips in one request; gives their jobs, oldest first.
async fn send(user: &User<'_>, number: usize) -> Vec<String> {
    let (status, accepted) = user.upload(&vec![("short.mp4", bytes_of(SHORT)); number]).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let jobs = accepted["jobs"].as_array().expect("jobs");
    jobs.iter().map(|job| job["job_id"].as_str().expect("an id").to_owned()).collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn pages_show_every_job_once_newest_first(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (user, other) = (service.user().await, service.user().await);
    assert_eq!(pages(&user, "/videos").await, [Vec::<Value>::new()], "nothing was uploaded yet");

    let mut jobs = Vec::new();
    for number in [9, 1, 15] {
        jobs.extend(send(&user, number).await);
        send(&other, 1).await;
    }
    jobs.reverse();
    let by_seven = pages(&user, "/videos?limit=7").await;
    assert_eq!(by_seven.iter().map(Vec::len).collect::<Vec<_>>(), [7, 7, 7, 4]);
    assert_eq!(ids(&by_seven), jobs);
    // A page that is just full has none behind it.
    for (limit, lengths) in [(25, vec![25]), (5, vec![5; 5]), (24, vec![24, 1]), (100, vec![25])] {
        let pages = pages(&user, &format!("/videos?limit={limit}")).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
        assert_eq!(ids(&pages), jobs);
    }
    assert_eq!(pages(&user, "/videos").await[0].len(), 20, "by default");

    // What comes while somebody turns the pages comes before the first.
    let (first, mut next) = page(&user, "/videos?limit=7").await;
    let (mut seen, mut newer) = (vec![first], Vec::new());
    while let Some(path) = next {
        newer.extend(send(&user, 2).await);
        let (jobs, following) = page(&user, &path).await;
        seen.push(jobs);
        next = following;
    }
    assert_eq!(ids(&seen), jobs);
    newer.reverse();
    assert_eq!(ids(&pages(&user, "/videos?limit=7").await), [newer, jobs].concat());
    assert_eq!(
        ids(&pages(&other, "/videos?limit=2").await).len(),
        3,
        "nobody sees the jobs of others"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_by_their_state(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let done = send(&user, 5).await;
    let failed =
        [user.send("broken/noise_in_mp4.mp4").await, user.send("broken/noise_in_mkv.mkv").await];
    for job in &done {
        user.done(job).await;
    }
    for job in &failed {
        user.until(job, &["FAILED"]).await;
    }
    let cancelled = user.send("long/240_pictures.mp4").await;
    assert_eq!(user.delete(&format!("/videos/{cancelled}")).await.0, StatusCode::OK);

    let newest_first = |jobs: &[String]| jobs.iter().rev().cloned().collect::<Vec<_>>();
    let expected = [
        ("DONE", newest_first(&done)),
        ("FAILED", newest_first(&failed)),
        ("CANCELLED", vec![cancelled.clone()]),
        ("UPLOADED", Vec::new()),
        ("QUEUED", Vec::new()),
        ("PROCESSING", Vec::new()),
        ("EXPIRED", Vec::new()),
    ];
    for (state, jobs) in expected {
        for limit in [1, 2, 100] {
            let pages = pages(&user, &format!("/videos?status={state}&limit={limit}")).await;
            assert_eq!(ids(&pages), jobs, "{state} by {limit}");
            assert!(pages.iter().flatten().all(|job| job["status"] == state));
        }
    }
    assert_eq!(
        ids(&pages(&user, "/videos?limit=3").await),
        [&[cancelled], &*newest_first(&failed), &*newest_first(&done)].concat()
    );

    // A job looks in the list as it does alone.
    for job in pages(&user, "/videos").await.concat() {
        assert_eq!(user.get(&format!("/videos/{}", id(&job))).await, (StatusCode::OK, job));
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn wrong_parameters_are_refused(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (user, other) = (service.user().await, service.user().await);
    let wrong = [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=ten",
        "limit=",
        "limit=18446744073709551616",
        "cursor=1",
        "cursor=newest",
        "cursor=",
        "status=done",
        "status=LOST",
        "status=",
        "status=DONE,FAILED",
    ];
    for query in wrong {
        let (status, problem) = user.get(&format!("/videos?{query}")).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::BAD_REQUEST, &json!("INVALID_PARAMETER")),
            "{query}: {problem}"
        );
    }
    let without =
        service.request(Method::GET, "/videos").send().await.expect("the service answers");
    assert_eq!(without.status(), StatusCode::UNAUTHORIZED);

    // A cursor is a place among all jobs, whosever it is: what is shown stays one's own.
    let old = send(&user, 2).await;
    let place = send(&other, 1).await;
    send(&user, 1).await;
    let behind = pages(&user, &format!("/videos?cursor={}", place[0])).await;
    assert_eq!(ids(&behind), old.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(
        pages(&user, "/videos?cursor=00000000-0000-0000-0000-000000000000").await,
        [Vec::<Value>::new()]
    );
    assert_eq!(
        ids(&pages(&user, "/videos?cursor=ffffffff-ffff-ffff-ffff-ffffffffffff").await).len(),
        3
    );
}

/// On embedded parts alone, whose database takes so many in seconds.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_jobs_can_be_turned_over() {
    const JOBS: usize = 10_000;
    let service = Service::start().await;
    let user = service.user().await;
    let owner = user.id.parse().expect("a user's id");
    // By a clock that is ahead, so that the workers are not invited before the story is over.
    let clock = Clock::default();
    clock.advance(Duration::from_hours(1));
    let file = service.directory.path().join("fiapx.db");
    let database =
        Database::sqlite(&file, clock, Rules::default()).await.expect("the database can be opened");
    let mut jobs = Vec::with_capacity(JOBS);
    for _ in 0..JOBS / 500 {
        let video = |_| {
            let (id, format) = (JobId::generate(), VideoFormat::Mp4);
            Video {
                id,
                filename: "film.mp4".to_owned(),
                format,
                path: format!("videos/{owner}/{id}/input.mp4"),
                size_bytes: 1,
                recipe: jobs::Recipe::default(),
            }
        };
        let videos: Vec<Video> = (0..500).map(video).collect();
        database.accept(owner, &videos, None, None).await.expect("they are accepted");
        jobs.extend(videos.iter().map(|video| video.id.to_string()));
    }
    jobs.reverse();

    for limit in [100, 99] {
        let pages = pages(&user, &format!("/videos?limit={limit}")).await;
        assert_eq!(pages.len(), JOBS.div_ceil(limit));
        assert!(ids(&pages) == jobs, "pages of {limit} show other jobs, or in another order");
    }
    for limit in [1, 7, 20, 50] {
        for place in [0, 1, 4_999, JOBS - limit - 2, JOBS - limit - 1, JOBS - 2, JOBS - 1] {
            let (found, next) =
                page(&user, &format!("/videos?limit={limit}&cursor={}", jobs[place])).await;
            let expected = &jobs[place + 1..JOBS.min(place + 1 + limit)];
            assert_eq!(
                found.iter().map(id).collect::<Vec<_>>(),
                expected,
                "{limit} behind {place}"
            );
            assert_eq!(next.is_some(), place + 1 + limit < JOBS, "{limit} behind {place}");
        }
    }
    assert_eq!(jobs.iter().collect::<HashSet<_>>().len(), JOBS);
    let (queued, next) = page(&user, "/videos?status=QUEUED&limit=100").await;
    assert_eq!((queued.len(), next.is_some()), (100, true));
    assert_eq!(page(&user, "/videos?status=DONE&limit=100").await, (Vec::new(), None));
}
