//! Lists of jobs, in pages.

use std::collections::HashSet;

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::client::User;
use crate::harness::clips::{LONG, ONE_FRAME, clip_bytes};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

/// A page of jobs.
struct Page {
    jobs: Vec<Value>,
    /// Path of the next page.
    next: Option<String>,
}

async fn page(user: &User<'_>, path: &str) -> Page {
    let response = user.request(Method::GET, path).send().await.expect("the service responds");
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    let next = response.headers().get("link").map(|link| {
        let link = link.to_str().expect("it is text");
        let target = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
        target.unwrap_or_else(|| panic!("{link} is not a link to the next page")).to_owned()
    });
    Page { jobs: response.json().await.expect("responses are JSON"), next }
}

/// All pages, from this one on.
async fn pages(user: &User<'_>, path: &str) -> Vec<Vec<Value>> {
    let (mut pages, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let page = page(user, &path).await;
        pages.push(page.jobs);
        next = page.next;
    }
    pages
}

fn id(job: &Value) -> String {
    job["id"].as_str().expect("an id").to_owned()
}

fn ids(pages: &[Vec<Value>]) -> Vec<String> {
    pages.iter().flatten().map(id).collect()
}

/// Upload a number of short clips in one request; return their jobs, oldest first.
async fn upload_clips(user: &User<'_>, number: usize) -> Vec<String> {
    let (status, accepted) = user.upload(&vec![("short.mp4", clip_bytes(ONE_FRAME)); number]).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let jobs = accepted["jobs"].as_array().expect("jobs");
    jobs.iter().map(|job| job["job_id"].as_str().expect("an id").to_owned()).collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn pages_list_every_job_once_newest_first(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (user, other) = (service.user().await, service.user().await);
    assert_eq!(pages(&user, "/videos").await, [Vec::<Value>::new()], "nothing was uploaded yet");

    let mut jobs = Vec::new();
    for number in [9, 1, 15] {
        jobs.extend(upload_clips(&user, number).await);
        upload_clips(&other, 1).await;
    }
    jobs.reverse();
    let by_seven = pages(&user, "/videos?limit=7").await;
    assert_eq!(by_seven.iter().map(Vec::len).collect::<Vec<_>>(), [7, 7, 7, 4]);
    assert_eq!(ids(&by_seven), jobs);
    // A last page that is full has no next page.
    for (limit, lengths) in [(25, vec![25]), (5, vec![5; 5]), (24, vec![24, 1]), (100, vec![25])] {
        let pages = pages(&user, &format!("/videos?limit={limit}")).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
        assert_eq!(ids(&pages), jobs);
    }
    assert_eq!(pages(&user, "/videos").await[0].len(), 20, "the default limit");

    // Jobs that are added while the pages are read do not appear on later pages.
    let Page { jobs: first, mut next } = page(&user, "/videos?limit=7").await;
    let (mut seen, mut newer) = (vec![first], Vec::new());
    while let Some(path) = next {
        newer.extend(upload_clips(&user, 2).await);
        let page = page(&user, &path).await;
        seen.push(page.jobs);
        next = page.next;
    }
    assert_eq!(ids(&seen), jobs);
    newer.reverse();
    assert_eq!(ids(&pages(&user, "/videos?limit=7").await), [newer, jobs].concat());
    assert_eq!(
        ids(&pages(&other, "/videos?limit=2").await).len(),
        3,
        "the list has jobs of another user"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn jobs_can_be_filtered_by_state(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let done = upload_clips(&user, 5).await;
    let failed = [
        user.upload_clip("broken/noise_in_mp4.mp4").await,
        user.upload_clip("broken/noise_in_mkv.mkv").await,
    ];
    for job in &done {
        user.wait_until_done(job).await;
    }
    for job in &failed {
        user.wait_for(job, &["FAILED"]).await;
    }
    let cancelled = user.upload_clip(LONG).await;
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

    // The list has the same description of a job as the job itself.
    for job in pages(&user, "/videos").await.concat() {
        assert_eq!(user.get(&format!("/videos/{}", id(&job))).await, (StatusCode::OK, job));
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn invalid_parameters_are_rejected(#[values(Embedded, Servers)] parts: Parts) {
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
        service.request(Method::GET, "/videos").send().await.expect("the service responds");
    assert_eq!(without.status(), StatusCode::UNAUTHORIZED);

    // A cursor may be another user's job; the list still has only the user's own.
    let old = upload_clips(&user, 2).await;
    let cursor = upload_clips(&other, 1).await;
    upload_clips(&user, 1).await;
    let behind = pages(&user, &format!("/videos?cursor={}", cursor[0])).await;
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

/// On embedded parts only, whose database stores that many jobs in seconds.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_jobs_can_be_listed() {
    const JOBS: usize = 10_000;
    let service = Service::start().await;
    let user = service.user().await;
    let mut jobs = service.insert_jobs(&user.id, vec!["video.mp4".to_owned(); JOBS]).await;
    jobs.reverse();

    for limit in [100, 99] {
        let pages = pages(&user, &format!("/videos?limit={limit}")).await;
        assert_eq!(pages.len(), JOBS.div_ceil(limit));
        assert!(ids(&pages) == jobs, "pages of {limit} have other jobs, or another order");
    }
    for limit in [1, 7, 20, 50] {
        for place in [0, 1, 4_999, JOBS - limit - 2, JOBS - limit - 1, JOBS - 2, JOBS - 1] {
            let Page { jobs: found, next } =
                page(&user, &format!("/videos?limit={limit}&cursor={}", jobs[place])).await;
            let expected = &jobs[place + 1..JOBS.min(place + 1 + limit)];
            assert_eq!(found.iter().map(id).collect::<Vec<_>>(), expected, "{limit} after {place}");
            assert_eq!(next.is_some(), place + 1 + limit < JOBS, "{limit} after {place}");
        }
    }
    assert_eq!(jobs.iter().collect::<HashSet<_>>().len(), JOBS);
    let Page { jobs: queued, next } = page(&user, "/videos?status=QUEUED&limit=100").await;
    assert_eq!((queued.len(), next.is_some()), (100, true));
    let Page { jobs: done, next } = page(&user, "/videos?status=DONE&limit=100").await;
    assert_eq!((done, next), (Vec::new(), None));
}
