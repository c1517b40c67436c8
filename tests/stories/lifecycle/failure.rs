//! Jobs that fail: at once if the video is at fault, after several attempts if the service is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jobs::{FailureCode, Language, Time};
use reqwest::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

use super::{cancel, files_of, id, occupy, unfinished};
use crate::harness::checks::eventually;
use crate::harness::client::{User, job_id};
use crate::harness::clips::{
    LONG, SHORT, WRONG, clip_bytes, clips, file_name, with_decoder_command,
};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

/// Outcomes of the clips under `broken/`: rejected with this status, or accepted and failed with
/// this code.
const BROKEN: [(&str, Result<FailureCode, StatusCode>); 11] = [
    ("audio_only.mp4", Ok(FailureCode::NoVideoStream)),
    ("cover_art_only.mp4", Ok(FailureCode::NoVideoStream)),
    ("empty.mp4", Err(StatusCode::UNPROCESSABLE_ENTITY)),
    ("four_bytes.avi", Err(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
    ("huge_frame.avi", Ok(FailureCode::PictureTooLarge)),
    ("no_index.mp4", Ok(FailureCode::VideoDamaged)),
    ("noise.mp4", Err(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
    ("noise_in_flv.flv", Ok(FailureCode::VideoDamaged)),
    ("noise_in_mkv.mkv", Ok(FailureCode::VideoDamaged)),
    ("noise_in_mp4.mp4", Ok(FailureCode::VideoDamaged)),
    ("program.mp4", Err(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
];

/// Mail about a failed job.
struct ExpectedMail {
    subject: String,
    to: String,
    code: FailureCode,
    message: &'static str,
}

/// Upload a clip that has to fail with a code, and check what its user sees of it. Return the job.
async fn expect_failure(user: &User<'_>, name: &str, code: FailureCode, message: &str) -> String {
    let (status, accepted) = user.upload(&[(name, clip_bytes(&format!("broken/{name}")))]).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{name}: {accepted}");
    let job = job_id(&accepted);
    let view = user.wait_for(&job, &["FAILED"]).await;
    assert_eq!(
        (&view["error_code"], &view["error_message"]),
        (&json!(code.name()), &json!(message)),
        "{name}"
    );
    let fields =
        ["retry_count", "next_attempt_at", "frame_count", "zip_size_bytes", "download_available"];
    assert_eq!(
        fields.map(|field| &view[field]),
        [&json!(0), &Value::Null, &Value::Null, &Value::Null, &json!(false)],
        "{name}"
    );
    let end = format!("PROCESSING>FAILED 1 {code}");
    assert_eq!(
        user.history(&job).await,
        ["->UPLOADED", "UPLOADED>QUEUED", "QUEUED>PROCESSING 1", &end],
        "{name}"
    );
    let (status, problem) = user.get(&format!("/jobs/{job}/download")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &"NOT_DONE".into()), "{name}");
    job
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn invalid_videos_fail_at_once_with_a_message_in_the_users_language(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let names: Vec<String> = clips("broken").iter().map(|clip| file_name(clip)).collect();
    assert_eq!(names, BROKEN.map(|(name, _)| name), "each clip has its outcome");
    let service = parts.start().await;
    let mut expected = Vec::new();
    for (language, subject) in [
        (Language::Pt, "Não foi possível processar seu vídeo"),
        (Language::En, "Your video could not be processed"),
    ] {
        let user = service.user_of(language.tag()).await;
        let mut inputs = BTreeMap::new();
        for (name, outcome) in BROKEN {
            let video = clip_bytes(&format!("broken/{name}"));
            let size = video.len() as u64;
            let code = match outcome {
                Err(rejection) => {
                    let (status, problem) = user.upload(&[(name, video)]).await;
                    assert_eq!(status, rejection, "{name}: {problem}");
                    continue;
                }
                Ok(code) => code,
            };
            let message = code.user_message(language);
            let job = expect_failure(&user, name, code, message).await;
            let suffix = name.rsplit('.').next().unwrap_or_default();
            inputs.insert(format!("{job}/input.{suffix}"), size);
            let (subject, to) = (format!("{subject}: {name}"), user.email.clone());
            expected.push(ExpectedMail { subject, to, code, message });
        }
        assert_eq!(files_of(&service, &user).await, inputs, "not exactly the accepted videos");
        assert_eq!(
            user.get("/videos").await.1.as_array().map(Vec::len),
            Some(inputs.len()),
            "a rejected upload created a job"
        );
    }
    assert_eq!(unfinished(&service).await, [""; 0]);
    let mails = service.expect_mails(expected.len()).await;
    expected.sort_by(|one, other| one.subject.cmp(&other.subject));
    for (mail, ExpectedMail { subject, to, code, message }) in mails.iter().zip(expected) {
        assert_eq!((&mail.subject, &mail.to), (&subject, &to));
        assert!(mail.text.contains(message) && mail.text.contains(code.name()), "{}", mail.text);
        assert!(mail.html.contains(code.name()), "{}", mail.html);
    }
}

/// A store that rejects new files until it is repaired.
pub(super) struct BrokenStore<'a>(&'a Service);

impl<'a> BrokenStore<'a> {
    fn of(service: &'a Service) -> Self {
        let broken = Self(service);
        if let Some(namespaces) = &service.namespaces {
            namespaces.bucket.set_writable(false);
        } else {
            std::fs::remove_dir_all(broken.unfinished()).expect("it exists");
            std::fs::write(broken.unfinished(), "in the way").expect("it can be written");
        }
        broken
    }

    pub(super) fn repair(self) {
        if let Some(namespaces) = &self.0.namespaces {
            namespaces.bucket.set_writable(true);
        } else {
            std::fs::remove_file(self.unfinished()).expect("it exists");
            std::fs::create_dir(self.unfinished()).expect("it can be written");
        }
    }

    /// Directory of files that are being written.
    fn unfinished(&self) -> PathBuf {
        self.0.directory.path().join("files/unfinished")
    }
}

/// Wait until this attempt has failed and another one is due; return the job's description.
async fn wait_for_retry(user: &User<'_>, job: &str, attempt: u64) -> Value {
    eventually("another attempt is due", || async {
        let view = user.get(&format!("/videos/{job}")).await.1;
        (view["next_attempt_at"].is_string() && view["retry_count"] == attempt - 1).then_some(view)
    })
    .await
}

/// Upload a clip whose decoder hangs, and wait until a worker processes it. Its archive has no
/// bytes, so that the worker notices no failure of the store.
pub(super) async fn occupy_without_output(user: &User<'_>) -> String {
    let (status, accepted) = user.upload(&[("hangs.avi", with_decoder_command("spins"))]).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let job = job_id(&accepted);
    user.wait_for(&job, &["PROCESSING"]).await;
    job
}

/// Upload a clip to a service with one worker slot, and break the store before the job begins.
pub(super) async fn upload_before_storage_failure<'a>(
    service: &'a Service,
    user: &User<'_>,
) -> (String, BrokenStore<'a>) {
    let neighbor = service.user().await;
    let blocking = occupy_without_output(&neighbor).await;
    let job = user.upload_clip(SHORT).await;
    let broken = BrokenStore::of(service);
    cancel(&neighbor, &blocking).await;
    (job, broken)
}

/// The store refuses for ten minutes under a backlog. The worker notices it with the first failures
/// and takes no jobs; none of them fails.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_for_ten_minutes_fails_no_job(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.with(|settings| settings.worker.concurrency = 1).await;
    let (neighbor, user) = (service.user().await, service.user().await);
    let blocking = occupy_without_output(&neighbor).await;
    let mut jobs = Vec::new();
    for _ in 0..6 {
        jobs.push(user.upload_clip(SHORT).await);
    }
    let broken = BrokenStore::of(&service);
    cancel(&neighbor, &blocking).await;
    let first = &jobs[0];
    let view = wait_for_retry(&user, first, 1).await;
    assert_eq!(
        (&view["status"], &view["error_code"]),
        (&"PROCESSING".into(), &"STORAGE_ERROR".into())
    );
    assert_eq!(view["error_message"], FailureCode::StorageError.user_message(Language::En));
    let history = service.database().history(id(first)).await.expect("the database responds");
    let failed = history.last().expect("a history").at;
    let next: Time = view["next_attempt_at"].as_str().expect("text").parse().expect("a time");
    let pause = (next - failed).num_seconds();
    assert!((24..=36).contains(&pause), "half a minute, with a random deviation: {pause}");

    for _ in 0..10 {
        service.advance(Duration::from_mins(1));
        service.run_maintenance().await;
    }
    for job in &jobs {
        let view = user.get(&format!("/videos/{job}")).await.1;
        assert!(["QUEUED", "PROCESSING"].contains(&view["status"].as_str().expect("text")));
    }
    broken.repair();
    for job in &jobs {
        let view = user.wait_until_done(job).await;
        assert_eq!((&view["error_code"], &view["error_message"]), (&Value::Null, &Value::Null));
    }
    let mut failures = 0;
    for job in &jobs {
        let history = user.history(job).await;
        failures += history.iter().filter(|change| change.ends_with("STORAGE_ERROR")).count();
    }
    assert!(failures <= 2, "{failures} attempts failed, but the worker should take no jobs");
    eventually("no upload is left", || async {
        unfinished(&service).await.is_empty().then_some(())
    })
    .await;
    service.expect_mails(jobs.len()).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_video_is_not_retried(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.worker.concurrency = 1).await;
    let (neighbor, user) = (service.user().await, service.user().await);
    let blocking = occupy(&neighbor).await;
    let job = user.upload_clip(SHORT).await;
    let input = format!("videos/{}/{job}/input.mp4", user.id).parse().expect("a key");
    service.storage().delete(&input).await.expect("the store responds");
    cancel(&neighbor, &blocking).await;
    let view = user.wait_for(&job, &["FAILED"]).await;
    assert_eq!((&view["error_code"], &view["retry_count"]), (&"VIDEO_MISSING".into(), &json!(0)));
    assert_eq!(user.history(&job).await[3..], ["PROCESSING>FAILED 1 VIDEO_MISSING"]);
    assert_eq!(files_of(&service, &user).await, BTreeMap::new());
    let mails = service.expect_mails(1).await;
    assert!(
        mails[0].text.contains(FailureCode::VideoMissing.user_message(Language::En)),
        "{}",
        mails[0].text
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_takes_too_long_times_out(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts
        .with(|settings| {
            // No attempt is that fast.
            settings.worker.timeout_seconds = 0;
            settings.worker.retry_seconds = vec![30];
        })
        .await;
    let user = service.user().await;
    let job = user.upload_clip(LONG).await;
    wait_for_retry(&user, &job, 1).await;
    service.advance(Duration::from_secs(30));
    let view = user.wait_for(&job, &["FAILED"]).await;
    assert_eq!(
        (&view["error_code"], &view["retry_count"]),
        (&"PROCESSING_TIMEOUT".into(), &json!(1))
    );
    let changes = [
        "PROCESSING>PROCESSING 1 PROCESSING_TIMEOUT",
        "PROCESSING>PROCESSING 2",
        "PROCESSING>FAILED 2 PROCESSING_TIMEOUT",
    ];
    assert_eq!(user.history(&job).await[3..], changes);
    assert_eq!(
        files_of(&service, &user).await.into_keys().collect::<Vec<_>>(),
        [format!("{job}/input.mp4")]
    );
    assert_eq!(unfinished(&service).await, [""; 0]);
    let mails = service.expect_mails(1).await;
    assert!(
        mails[0].text.contains(FailureCode::ProcessingTimeout.user_message(Language::En)),
        "{}",
        mails[0].text
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_job_does_not_affect_others(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let files =
        [(SHORT, clip_bytes(SHORT)), (WRONG, clip_bytes(WRONG)), (SHORT, clip_bytes(SHORT))];
    let (status, accepted) = user.upload(&files).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    for (index, state) in ["DONE", "FAILED", "DONE"].into_iter().enumerate() {
        let job = accepted["jobs"][index]["job_id"].as_str().expect("an id");
        user.wait_for(job, &[state]).await;
    }
    let subjects: Vec<String> =
        service.expect_mails(3).await.into_iter().map(|mail| mail.subject).collect();
    let ready = "Your video is ready: h264_aac.mp4";
    assert_eq!(subjects, ["Your video could not be processed: audio_only.mp4", ready, ready]);
}
