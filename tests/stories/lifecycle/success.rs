//! Jobs that succeed.

use std::collections::BTreeMap;
use std::fs::File;

use frames::Options;
use jobs::{Language, State, Time, Warning};
use reqwest::Method;
use reqwest::header::ACCEPT_LANGUAGE;
use rstest::rstest;
use serde_json::{Value, json};

use super::{days, files_of, id, unfinished};
use crate::harness::archive::Archive;
use crate::harness::client::{User, fetch_json};
use crate::harness::clips::{SHORT, clip_bytes, clips, file_name, fixture};
use crate::harness::extraction::extract;
use crate::harness::parts::Parts::{self, Embedded, Servers};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_video_results_in_an_archive_and_a_mail(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let job = user.upload_clip(SHORT).await;
    let view = user.wait_until_done(&job).await;
    let listed = user.get("/videos").await.1;
    assert_eq!(listed, json!([view]));

    let archive = user.archive(&job).await;
    assert!(
        archive == extract(&fixture(SHORT), &Options::default()).expect("the clip is valid"),
        "the archive differs"
    );
    let (input, output) = (clip_bytes(SHORT).len() as u64, archive.len() as u64);
    assert_eq!(Archive::read(archive).expect("the archive is complete").frames.len(), 6);
    let files = [(format!("{job}/input.mp4"), input), (format!("{job}/output-1.zip"), output)];
    assert_eq!(files_of(&service, &user).await, BTreeMap::from(files));
    assert_eq!(unfinished(&service).await, [""; 0]);

    check_description(view, &job, input, output);
    let changes = ["->UPLOADED", "UPLOADED>QUEUED", "QUEUED>PROCESSING 1", "PROCESSING>DONE 1"];
    assert_eq!(user.history(&job).await, changes);
    let row = service
        .database()
        .job(id(&job))
        .await
        .expect("the database responds")
        .expect("the job exists");
    assert_eq!(
        (row.state, row.attempt, row.user_id.to_string()),
        (State::Done, 1, user.id.clone())
    );
    assert_eq!(row.zip_path, Some(format!("videos/{}/{job}/output-1.zip", user.id)));

    let email = user.email.clone();
    let mails = service.expect_mails(1).await;
    assert_eq!(
        (&mails[0].to, mails[0].subject.as_str()),
        (&email, "Your video is ready: h264_aac.mp4")
    );
    for body in [&mails[0].text, &mails[0].html] {
        assert!(body.contains("6 frames") && !body.contains("could not be read"), "{body}");
    }
}

/// Check the description of a job that is done, with the sizes of its video and its archive.
fn check_description(mut view: Value, job: &str, input: u64, output: u64) {
    let mut take = |name: &str| {
        view.as_object_mut().and_then(|view| view.remove(name)).expect("the field exists")
    };
    let times = ["created_at", "started_at", "completed_at", "expires_at"].map(&mut take);
    let times = times.map(|time| time.as_str().expect("text").parse::<Time>().expect("a time"));
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(times[2] + days(7), times[3]);
    let took = take("processing_time_seconds").as_f64().expect("a number");
    assert!(took > 0.0 && took <= (times[2] - times[1]).as_seconds_f64(), "{took} s");
    let expected = json!({
        "id": job,
        "filename": "h264_aac.mp4",
        "status": "DONE",
        "progress": { "done": 6, "expected": 6 },
        "recipe": { "select": { "every": 1 }, "image": { "format": "png" } },
        "video_size_bytes": input,
        "source_url": null,
        "video_format": "mp4",
        "frame_count": 6,
        "zip_size_bytes": output,
        "complete": true,
        "warnings": [],
        "warning_codes": [],
        "error_code": null,
        "error_message": null,
        "retry_count": 0,
        "next_attempt_at": null,
        "download_available": true,
    });
    assert_eq!(view, expected);
}

/// A job states its warnings in the user's language, and their codes.
async fn check_warnings(user: &User<'_>, view: &Value, warnings: &[Warning]) {
    let texts = |language| {
        let texts: Vec<_> = warnings.iter().map(|warning| warning.text(language)).collect();
        json!(texts)
    };
    let codes: Vec<_> = warnings.iter().map(Warning::code).collect();
    assert_eq!(view["warnings"], texts(Language::En));
    assert_eq!(view["warning_codes"], json!(codes));
    let job = view["id"].as_str().expect("an id");
    let in_portuguese = user.request(Method::GET, &format!("/videos/{job}"));
    let (_, translated) = fetch_json(in_portuguese.header(ACCEPT_LANGUAGE, "pt")).await;
    assert_eq!(translated["warnings"], texts(Language::Pt));
}

/// The archive equals that of the library, and the mail reports what is missing.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_video_is_done_with_warnings(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let mut reports = BTreeMap::new();
    for clip in clips("cut") {
        let name = file_name(&clip);
        let job = user.upload_clip(&format!("cut/{name}")).await;
        let view = user.wait_until_done(&job).await;
        let (mut archive, options) = (Vec::new(), Options::default());
        let report = frames::extract(
            File::open(&clip).expect("the clip can be read"),
            &mut archive,
            &options,
            |_| {},
        );
        let report = report.expect("a part of the clip is valid");
        assert_eq!((&view["complete"], report.complete), (&Value::from(false), false), "{name}");
        check_warnings(&user, &view, &report.warnings).await;
        assert_eq!(
            view["progress"],
            json!({ "done": report.frames, "expected": report.expected }),
            "{name}"
        );
        assert_eq!(
            (&view["frame_count"], &view["error_code"]),
            (&json!(report.frames), &Value::Null),
            "{name}"
        );
        assert!(user.archive(&job).await == archive, "{name}: the archive differs");
        let flaw = if report.frames < report.expected {
            "frames are missing"
        } else {
            "parts of it are damaged"
        };
        reports.insert(format!("Your video is ready, but {flaw}: {name}"), (job, report));
    }
    let mails = service.expect_mails(reports.len()).await;
    assert!(mails.iter().map(|mail| &mail.subject).eq(reports.keys()), "{mails:?}");
    for (mail, (job, report)) in mails.iter().zip(reports.values()) {
        for body in [&mail.text, &mail.html] {
            let mut parts = vec![format!("{} frames", report.frames), format!("/#/jobs/{job}")];
            let lacking = report.frames < report.expected;
            parts.push(if lacking {
                format!("has only {} of {} frames", report.frames, report.expected)
            } else {
                "no frame is missing, but parts of the video are damaged".to_owned()
            });
            parts.extend(report.warnings.iter().map(|warning| warning.text(Language::En)));
            for part in parts {
                assert!(body.contains(&part), "{part:?} is not in {body}");
            }
        }
    }
}
