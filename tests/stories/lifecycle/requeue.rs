//! Operators queue failed jobs again while the service runs.

use broker::Queue;
use jobs::JobId;
use rstest::rstest;
use tokio::task::block_in_place;

use super::failure::upload_before_storage_failure;
use super::id;
use crate::harness::checks::eventually;
use crate::harness::clips::{WRONG, scratch};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::programs::{ProgramOutput, error_line, fiapx, run};
use crate::harness::service::Service;

/// Run `fiapx jobs` on the data of a service.
fn run_jobs_command(service: &Service, arguments: &[&str]) -> ProgramOutput {
    let environment =
        service.namespaces.iter().flat_map(|namespaces| namespaces.environment.iter().cloned());
    let data = ["--data-dir".as_ref(), service.directory.path().as_os_str()];
    block_in_place(|| run(fiapx().arg("jobs").args(arguments).args(data).envs(environment)))
}

/// Check the output of `fiapx jobs failed` for these jobs of the user (id, code and name of the
/// file), newest first.
fn check_failed_jobs(service: &Service, parts: Parts, user: &str, jobs: [(&str, &str, &str); 2]) {
    let listed = run_jobs_command(service, &["failed"]);
    assert_eq!((listed.code, listed.stderr.as_str()), (Some(0), ""));
    let printed = listed.lines();
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let titles = ["TIME", "JOB", "USER", "CODE", "ATTEMPTS", "FILE", "MESSAGE"];
    assert_eq!(columns(&printed[0]), titles);
    for (line, (job, code, file)) in printed[1..].iter().zip(jobs) {
        assert_eq!(columns(line)[1..6], [job, user, code, "1", file], "{printed:?}");
        // Columns are aligned.
        let starts = [("JOB", job), ("CODE", code), ("FILE", file)];
        assert!(
            starts.iter().all(|(title, cell)| printed[0].find(title) == line.find(cell)),
            "{printed:#?}"
        );
    }
    let dead_letters = match parts {
        Embedded => vec![
            "dead letters: kept in the memory of the running process; \
             see fiapx_queue_messages at /metrics",
        ],
        Servers => {
            vec!["video.process.dlq: 2 dead letters", "notification.send.dlq: 0 dead letters"]
        }
    };
    assert_eq!(printed[3..], dead_letters);
    let none = run_jobs_command(service, &["failed", "--code", "DECODER_CRASHED"]);
    assert_eq!((none.code, none.lines()[0].as_str()), (Some(0), "no failed jobs"));
    let (job, code, file) = jobs[1];
    let narrow = run_jobs_command(service, &["failed", "--code", code, "--limit", "1", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&narrow.stdout).expect("JSON");
    assert_eq!(document["jobs"].as_array().map(Vec::len), Some(1));
    let listed = &document["jobs"][0];
    assert_eq!((&listed["job_id"], &listed["filename"]), (&job.into(), &file.into()));
}

/// Retry a job, and check that jobs that cannot be queued again are named: an unknown one, and
/// `removed`, whose video was removed.
fn check_retry(service: &Service, removed: &str, job: &str) {
    let unknown = JobId::generate().to_string();
    let retried = run_jobs_command(service, &["retry", &unknown, removed, job]);
    assert_eq!(retried.code, Some(1), "{retried:?}");
    assert_eq!(retried.lines(), [format!("{job}: queued")]);
    let errors = [
        format!("{unknown}: no such job"),
        format!("{removed}: its video was removed and has to be uploaded again"),
        "fiapx: 2 of 3 jobs cannot be queued again".to_owned(),
    ];
    assert_eq!(retried.stderr.lines().collect::<Vec<_>>(), errors);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_is_queued_again_and_done(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts
        .with(|settings| {
            settings.worker.concurrency = 1;
            settings.worker.retry_seconds = Vec::new();
        })
        .await;
    let user = service.user().await;
    let (job, broken) = upload_before_storage_failure(&service, &user).await;
    user.wait_for(&job, &["FAILED"]).await;
    eventually("the mail", || async { (service.mails().len() == 1).then_some(()) }).await;
    broken.repair();
    let removed = user.upload_clip(WRONG).await;
    user.wait_for(&removed, &["FAILED"]).await;
    let video = format!("videos/{}/{removed}/input.mp4", user.id).parse().expect("a key");
    service.storage().delete(&video).await.expect("the store responds");

    // A worker rejects the message after it has recorded the failure.
    eventually("both dead letters", || async {
        let broker = &service.maintenance().broker;
        (broker.dead_letter_count(Queue::Process).await.ok()? == 2).then_some(())
    })
    .await;

    let failed = [
        (removed.as_str(), "NO_VIDEO_STREAM", "audio_only.mp4"),
        (job.as_str(), "STORAGE_ERROR", "h264_aac.mp4"),
    ];
    check_failed_jobs(&service, parts, &user.id, failed);

    check_retry(&service, &removed, &job);
    user.wait_until_done(&job).await;
    let changes = [
        "PROCESSING>FAILED 1 STORAGE_ERROR",
        "FAILED>QUEUED",
        "QUEUED>PROCESSING 1",
        "PROCESSING>DONE 1",
    ];
    assert_eq!(user.history(&job).await[3..], changes);
    assert!(!user.archive(&job).await.is_empty());

    // A job that has not failed is rejected.
    let again = run_jobs_command(&service, &["retry", &job]);
    assert_eq!(
        (again.code, again.stderr.lines().next()),
        (Some(1), Some(&*format!("{job}: it is DONE, not FAILED")))
    );
    let none = run_jobs_command(&service, &["retry", "--code", "STORAGE_ERROR"]);
    assert_eq!(
        (none.code, none.lines()),
        (Some(0), vec!["no failed job matches whose video is still stored".to_owned()])
    );
    let history = service.database().history(id(&job)).await.expect("the database responds");
    assert_eq!(history.iter().filter(|change| change.metadata["by"] == "operator").count(), 1);

    let subjects: Vec<String> =
        service.expect_mails(3).await.into_iter().map(|mail| mail.subject).collect();
    let failed = |name| format!("Your video could not be processed: {name}");
    assert_eq!(
        subjects,
        [
            failed("audio_only.mp4"),
            failed("h264_aac.mp4"),
            "Your video is ready: h264_aac.mp4".to_owned()
        ]
    );
}

#[test]
fn wrong_usage_is_rejected() {
    let nowhere = scratch();
    let data = nowhere.path().join("data");
    for arguments in [&["failed"][..], &["retry", "--code", "STORAGE_ERROR"]] {
        let rejected = run(fiapx().arg("jobs").args(arguments).arg("--data-dir").arg(&data));
        assert_eq!(rejected.code, Some(1), "{rejected:?}");
        let line = error_line(&rejected).expect("one line");
        assert!(line.contains("there is no database in") && !data.exists(), "{line}");
    }
    for arguments in [
        &["retry"][..],
        &["retry", "--code", "BAD_LUCK"],
        &["retry", "one"],
        &["failed", "--limit", "0"],
    ] {
        let rejected = run(fiapx().arg("jobs").args(arguments));
        assert_eq!(rejected.code, Some(2), "{arguments:?}: {rejected:?}");
    }
}
