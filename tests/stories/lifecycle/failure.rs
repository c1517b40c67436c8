//! Jobs that fail: at once where the video is to blame, after several attempts where the service
//! is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jobs::{FailureCode, Language, Time};
use reqwest::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

use super::{LONG, SHORT, WRONG, cancel, files_of, id, occupy, unfinished};
use crate::harness::{clips, file_name};
use crate::parts::Parts::{self, Embedded, Servers};
use crate::service::{Service, User, bytes_of, eventually};

/// What becomes of the clips under `broken/`: refused with this status, or accepted and failed with
/// this code.
const BROKEN: [(&str, Result<FailureCode, StatusCode>); 11] = [
    ("audio_only.mp4", Ok(FailureCode::NoVideoStream)),
    ("cover_art_only.mp4", Ok(FailureCode::NoVideoStream)),
    ("empty.mp4", Err(StatusCode::UNPROCESSABLE_ENTITY)),
    ("four_bytes.avi", Err(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
    ("no_index.mp4", Ok(FailureCode::VideoDamaged)),
    ("noise.mp4", Err(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
    ("noise_in_flv.flv", Ok(FailureCode::VideoDamaged)),
    ("noise_in_mkv.mkv", Ok(FailureCode::VideoDamaged)),
    ("noise_in_mp4.mp4", Ok(FailureCode::VideoDamaged)),
    ("picture_bomb.avi", Ok(FailureCode::PictureTooLarge)),
    ("program.mp4", Err(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
];

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_fails_at_once_in_the_words_of_its_user(
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
            let video = bytes_of(&format!("broken/{name}"));
            let size = video.len() as u64;
            let (status, accepted) = user.upload(&[(name, video)]).await;
            let code = match outcome {
                Err(refusal) => {
                    assert_eq!(status, refusal, "{name}: {accepted}");
                    continue;
                }
                Ok(code) => code,
            };
            assert_eq!(status, StatusCode::ACCEPTED, "{name}: {accepted}");
            let job = accepted["job_id"].as_str().expect("an id");
            let view = user.until(job, &["FAILED"]).await;
            let words = code.user_message(language);
            assert_eq!(
                (&view["error_code"], &view["error_message"]),
                (&json!(code.name()), &json!(words)),
                "{name}"
            );
            let rest = [
                "retry_count",
                "next_attempt_at",
                "frame_count",
                "zip_size_bytes",
                "download_available",
            ]
            .map(|field| &view[field]);
            assert_eq!(
                rest,
                [&json!(0), &Value::Null, &Value::Null, &Value::Null, &json!(false)],
                "{name}"
            );
            let end = format!("PROCESSING>FAILED 1 {code}");
            assert_eq!(
                user.history(job).await,
                ["->UPLOADED", "UPLOADED>QUEUED", "QUEUED>PROCESSING 1", &end],
                "{name}"
            );
            let (status, problem) = user.get(&format!("/jobs/{job}/download")).await;
            assert_eq!(
                (status, &problem["code"]),
                (StatusCode::BAD_REQUEST, &"NOT_DONE".into()),
                "{name}"
            );
            let suffix = name.rsplit('.').next().unwrap_or_default();
            inputs.insert(format!("{job}/input.{suffix}"), size);
            expected.push((format!("{subject}: {name}"), user.email.clone(), code, words));
        }
        assert_eq!(files_of(&service, &user).await, inputs, "there are the videos and no archives");
        assert_eq!(
            user.get("/videos").await.1.as_array().map(Vec::len),
            Some(inputs.len()),
            "what was refused is no job"
        );
    }
    assert_eq!(unfinished(&service).await, [""; 0]);
    let letters = service.letters(expected.len()).await;
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    for (letter, (subject, email, code, words)) in letters.iter().zip(expected) {
        assert_eq!((&letter.subject, &letter.to), (&subject, &email));
        assert!(
            letter.text.contains(words) && letter.text.contains(code.name()),
            "{}",
            letter.text
        );
        assert!(letter.html.contains(code.name()), "{}", letter.html);
    }
}

/// A store that takes no new files, until it is mended.
pub(super) struct Broken<'a>(&'a Service);

impl<'a> Broken<'a> {
    fn of(service: &'a Service) -> Self {
        let broken = Self(service);
        if let Some(places) = &service.places {
            places.bucket.set_writable(false);
        } else {
            std::fs::remove_dir_all(broken.unfinished()).expect("it is there");
            std::fs::write(broken.unfinished(), "in the way").expect("there is room");
        }
        broken
    }

    pub(super) fn mend(self) {
        if let Some(places) = &self.0.places {
            places.bucket.set_writable(true);
        } else {
            std::fs::remove_file(self.unfinished()).expect("it is there");
            std::fs::create_dir(self.unfinished()).expect("there is room");
        }
    }

    /// Where a disk keeps what is being written.
    fn unfinished(&self) -> PathBuf {
        self.0.directory.path().join("files/unfinished")
    }
}

/// Wait until this attempt has failed and another is to follow, and give the job as it is then.
async fn retried(user: &User<'_>, job: &str, attempt: u64) -> Value {
    eventually("another attempt is to follow", || async {
        let view = user.get(&format!("/videos/{job}")).await.1;
        (view["next_attempt_at"].is_string() && view["retry_count"] == attempt - 1).then_some(view)
    })
    .await
}

/// Send a clip to a service with one slot, and have the store broken before it is worked on.
pub(super) async fn sent_to_a_broken_store<'a>(
    service: &'a Service,
    user: &User<'_>,
) -> (String, Broken<'a>) {
    let neighbour = service.user().await;
    let blocking = occupy(&neighbour).await;
    let job = user.send(SHORT).await;
    let broken = Broken::of(service);
    cancel(&neighbour, &blocking).await;
    (job, broken)
}

/// The attempt failed because of the store, and the next is due after so many seconds.
async fn failed_for_now(service: &Service, user: &User<'_>, job: &str, attempt: u64, pause: u64) {
    let view = retried(user, job, attempt).await;
    assert_eq!(
        (&view["status"], &view["error_code"]),
        (&"PROCESSING".into(), &"STORAGE_ERROR".into())
    );
    assert_eq!(view["error_message"], FailureCode::StorageError.user_message(Language::En));
    let history = service.database().history(id(job)).await.expect("the database answers");
    let failed = history.last().expect("a history").at;
    let next: Time = view["next_attempt_at"].as_str().expect("text").parse().expect("a time");
    assert_eq!(next - failed, chrono::TimeDelta::seconds(pause as i64), "after attempt {attempt}");
    assert_eq!(
        service.database().next_outgoing().await.expect("the database answers"),
        Some(next),
        "nothing calls earlier"
    );
    service.advance(Duration::from_secs(pause));
    service.running.upkeep().look().await.expect("all parts answer");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_store_is_tried_four_times(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.worker.concurrency = 1).await;
    let user = service.user().await;
    let (job, broken) = sent_to_a_broken_store(&service, &user).await;
    for (attempt, pause) in [(1, 30), (2, 60), (3, 120)] {
        failed_for_now(&service, &user, &job, attempt, pause).await;
    }
    let view = user.until(&job, &["FAILED"]).await;
    assert_eq!((&view["error_code"], &view["retry_count"]), (&"STORAGE_ERROR".into(), &json!(3)));
    assert_eq!(
        (&view["next_attempt_at"], &view["download_available"]),
        (&Value::Null, &json!(false))
    );
    let way = [
        "->UPLOADED",
        "UPLOADED>QUEUED",
        "QUEUED>PROCESSING 1",
        "PROCESSING>PROCESSING 1 STORAGE_ERROR",
        "PROCESSING>PROCESSING 2",
        "PROCESSING>PROCESSING 2 STORAGE_ERROR",
        "PROCESSING>PROCESSING 3",
        "PROCESSING>PROCESSING 3 STORAGE_ERROR",
        "PROCESSING>PROCESSING 4",
        "PROCESSING>FAILED 4 STORAGE_ERROR",
    ];
    assert_eq!(user.history(&job).await, way);
    broken.mend();
    assert_eq!(
        files_of(&service, &user).await.into_keys().collect::<Vec<_>>(),
        [format!("{job}/input.mp4")]
    );
    let letters = service.letters(1).await;
    assert_eq!(letters[0].subject, "Your video could not be processed: h264_aac.mp4");
    assert!(
        letters[0].text.contains(FailureCode::StorageError.user_message(Language::En)),
        "{}",
        letters[0].text
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_back_gets_its_archive(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.worker.concurrency = 1).await;
    let user = service.user().await;
    let (job, broken) = sent_to_a_broken_store(&service, &user).await;
    failed_for_now(&service, &user, &job, 1, 30).await;
    failed_for_now(&service, &user, &job, 2, 60).await;
    retried(&user, &job, 3).await;
    broken.mend();
    service.advance(Duration::from_mins(2));
    let view = user.done(&job).await;
    assert_eq!(
        (&view["retry_count"], &view["error_code"], &view["error_message"]),
        (&json!(3), &Value::Null, &Value::Null)
    );
    let history = user.history(&job).await;
    assert_eq!(history[8..], ["PROCESSING>PROCESSING 4", "PROCESSING>DONE 4"], "{history:?}");
    let names: Vec<String> = files_of(&service, &user).await.into_keys().collect();
    assert_eq!(names, [format!("{job}/input.mp4"), format!("{job}/output-4.zip")]);
    assert_eq!(unfinished(&service).await, [""; 0]);
    assert_eq!(service.letters(1).await[0].subject, "Your video is ready: h264_aac.mp4");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_video_that_vanished_is_not_tried_again(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.worker.concurrency = 1).await;
    let (neighbour, user) = (service.user().await, service.user().await);
    let blocking = occupy(&neighbour).await;
    let job = user.send(SHORT).await;
    let input = format!("videos/{}/{job}/input.mp4", user.id).parse().expect("a key");
    service.storage().delete(&input).await.expect("the store answers");
    cancel(&neighbour, &blocking).await;
    let view = user.until(&job, &["FAILED"]).await;
    assert_eq!((&view["error_code"], &view["retry_count"]), (&"VIDEO_MISSING".into(), &json!(0)));
    assert_eq!(user.history(&job).await[3..], ["PROCESSING>FAILED 1 VIDEO_MISSING"]);
    assert_eq!(files_of(&service, &user).await, BTreeMap::new());
    let letters = service.letters(1).await;
    assert!(
        letters[0].text.contains(FailureCode::VideoMissing.user_message(Language::En)),
        "{}",
        letters[0].text
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_takes_too_long_is_stopped(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts
        .with(|settings| {
            // None is so fast.
            settings.worker.timeout_seconds = 0;
            settings.worker.retry_seconds = vec![30];
        })
        .await;
    let user = service.user().await;
    let job = user.send(LONG).await;
    retried(&user, &job, 1).await;
    service.advance(Duration::from_secs(30));
    let view = user.until(&job, &["FAILED"]).await;
    assert_eq!(
        (&view["error_code"], &view["retry_count"]),
        (&"PROCESSING_TIMEOUT".into(), &json!(1))
    );
    let way = [
        "PROCESSING>PROCESSING 1 PROCESSING_TIMEOUT",
        "PROCESSING>PROCESSING 2",
        "PROCESSING>FAILED 2 PROCESSING_TIMEOUT",
    ];
    assert_eq!(user.history(&job).await[3..], way);
    assert_eq!(
        files_of(&service, &user).await.into_keys().collect::<Vec<_>>(),
        [format!("{job}/input.mp4")]
    );
    assert_eq!(unfinished(&service).await, [""; 0]);
    let letters = service.letters(1).await;
    assert!(
        letters[0].text.contains(FailureCode::ProcessingTimeout.user_message(Language::En)),
        "{}",
        letters[0].text
    );
}

/// What kills or fails one job leaves the others alone.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn neighbours_of_a_failing_job_are_done(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let files = [(SHORT, bytes_of(SHORT)), (WRONG, bytes_of(WRONG)), (SHORT, bytes_of(SHORT))];
    let (status, accepted) = user.upload(&files).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    for (index, state) in ["DONE", "FAILED", "DONE"].into_iter().enumerate() {
        let job = accepted["jobs"][index]["job_id"].as_str().expect("an id");
        user.until(job, &[state]).await;
    }
    let subjects: Vec<String> =
        service.letters(3).await.into_iter().map(|letter| letter.subject).collect();
    let ready = "Your video is ready: h264_aac.mp4";
    assert_eq!(subjects, ["Your video could not be processed: audio_only.mp4", ready, ready]);
}
