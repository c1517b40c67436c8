//! Account with a job in each state, and a webhook with deliveries.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::client::{User, fetch_json, job_id};
use crate::harness::clips::{ONE_FRAME, SHORT, WRONG, clip_bytes, with_decoder_command_from};
use crate::harness::programs::root;
use crate::harness::receiver::{Receiver, Reply};
use crate::harness::service::Service;

/// Jobs of a user by their states. The service processes one at a time.
pub struct Jobs {
    /// Id of the sample clip's job, which is done.
    pub done: String,
    /// Other jobs: the state in lower case, and the id.
    pub others: Vec<(&'static str, String)>,
}

/// Upload a video and return the id of its job.
async fn upload(user: &User<'_>, name: &str, video: Vec<u8>) -> String {
    let (status, accepted) = user.upload(&[(name, video)]).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    job_id(&accepted)
}

impl Jobs {
    /// Create the jobs. One is processed until the service stops, and one waits for it.
    pub async fn create(service: &Service, user: &User<'_>) -> Self {
        let mut others = Vec::new();
        for (state, name, clip) in [
            ("expired", "workshop.mp4", ONE_FRAME),
            ("failed", "holiday.mp4", WRONG),
            ("damaged", "old-camera.mp4", "cut/flipped_bytes.mp4"),
            ("incomplete", "birthday.mp4", "cut/cut_at_60_percent.mp4"),
        ] {
            let job = upload(user, name, clip_bytes(clip)).await;
            user.wait_for(&job, &["DONE", "FAILED"]).await;
            others.push((state, job));
        }
        service
            .execute_sql("UPDATE jobs SET expires_at = created_at WHERE filename = 'workshop.mp4'");
        service.run_maintenance().await;
        user.wait_for(&others[0].1, &["EXPIRED"]).await;

        let sample = std::fs::read(root().join("fixtures/sample.mp4")).expect("the clip exists");
        let done = upload(user, "sunrise.mp4", sample).await;
        user.wait_until_done(&done).await;
        let endless = with_decoder_command_from(60, "spins");
        let processing = upload(user, "surf-session.avi", endless).await;
        user.wait_for_first_frames(&processing).await;
        let cancelled = upload(user, "rehearsal.mp4", clip_bytes(SHORT)).await;
        assert_eq!(user.delete(&format!("/videos/{cancelled}")).await.0, StatusCode::OK);
        let queued = upload(user, "lecture.mp4", clip_bytes(SHORT)).await;
        others.extend([("processing", processing), ("cancelled", cancelled), ("queued", queued)]);
        Self { done, others }
    }
}

/// A receiver of webhooks that fails once, and then accepts everything.
pub async fn receiver() -> Receiver {
    let out_of_order = Reply::Respond(500, "", "out of order".to_owned());
    Receiver::start([out_of_order, Reply::status(204)]).await
}

/// Create a webhook and send two tests. Returns its id.
pub async fn webhook_with_deliveries(user: &User<'_>, receiver: &Receiver) -> String {
    let fields = json!({ "url": receiver.url(), "events": ["job.completed", "job.failed"] });
    let (status, webhook) = fetch_json(user.request(Method::POST, "/webhooks").json(&fields)).await;
    assert_eq!(status, StatusCode::CREATED, "{webhook}");
    let id = webhook["id"].as_str().expect("an id").to_owned();
    for sent in 1..=2 {
        let test = user.request(Method::POST, &format!("/webhooks/{id}/test"));
        assert_eq!(fetch_json(test).await.0, StatusCode::ACCEPTED);
        receiver.expect(sent).await;
    }
    id
}
