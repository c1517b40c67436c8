//! Two users who share the workers.

use std::collections::BTreeMap;

use database::Job;
use jobs::JobId;
use reqwest::StatusCode;
use rstest::rstest;

use crate::harness::client::User;
use crate::harness::clips::{ONE_FRAME, clip_bytes};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

/// Number of jobs of the user who has many.
const MANY: usize = 50;

async fn upload_many(user: &User<'_>) -> Vec<String> {
    let files: Vec<_> = (0..MANY).map(|_| ("a.mp4", clip_bytes(ONE_FRAME))).collect();
    let (status, accepted) = user.upload(&files).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let jobs = accepted["jobs"].as_array().expect("a list");
    jobs.iter().map(|job| job["job_id"].as_str().expect("an id").to_owned()).collect()
}

async fn jobs(service: &Service, ids: &[String]) -> Vec<Job> {
    let ids: Vec<JobId> = ids.iter().map(|id| id.parse().expect("an id")).collect();
    service.database().jobs_by_id(&ids).await.expect("the database responds")
}

/// While all workers are busy, one user queues many jobs and another one a single job. It is next
/// or second, and the order of each user's jobs is kept.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn another_user_is_next_or_second(
    #[values(Embedded, Servers)] parts: Parts,
    #[values(1, 5)] slots: usize,
) {
    let service = parts.with(|settings| settings.worker.concurrency = slots).await;
    let (many, few) = (service.user().await, service.user().await);
    let mut running = Vec::new();
    for _ in 0..slots {
        let job = many.upload_endless().await;
        many.wait_for(&job, &["PROCESSING"]).await;
        running.push(job);
    }
    let waiting = upload_many(&many).await;
    let own = few.upload_clip(ONE_FRAME).await;
    assert_eq!(many.delete(&format!("/videos/{}", running[0])).await.0, StatusCode::OK);
    few.wait_until_done(&own).await;
    for job in &waiting {
        many.wait_until_done(job).await;
    }
    for job in &running[1..] {
        assert_eq!(many.delete(&format!("/videos/{job}")).await.0, StatusCode::OK);
    }
    let started = jobs(&service, std::slice::from_ref(&own)).await[0].started_at;
    let others: BTreeMap<JobId, _> =
        jobs(&service, &waiting).await.into_iter().map(|job| (job.id, job.started_at)).collect();
    let before = others.values().filter(|other| **other < started).count();
    assert!(before <= 1, "{before} jobs of the other user started before");
    // Ids sort by the time of their creation. The clocks of slots that claim at the same time may
    // state another order.
    let in_order: Vec<_> = others.values().collect();
    assert!(in_order.windows(slots + 1).all(|some| some[0] <= some[slots]), "{in_order:?}");
}
