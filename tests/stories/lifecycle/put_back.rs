//! Operators mend what jobs failed of, and put them back from beside the service that runs.

use jobs::JobId;
use rstest::rstest;
use tokio::task::block_in_place;

use super::failure::sent_to_a_broken_store;
use super::{WRONG, id};
use crate::harness::{Run, fiapx, run, scratch, single_line};
use crate::parts::Parts::{self, Embedded, Servers};
use crate::service::{Service, eventually};

/// Run `fiapx jobs` as an operator of this service does.
fn operate(service: &Service, words: &[&str]) -> Run {
    let environment = service.places.iter().flat_map(|places| places.environment.iter().cloned());
    let data = ["--data-dir".as_ref(), service.directory.path().as_os_str()];
    block_in_place(|| run(fiapx().arg("jobs").args(words).args(data).envs(environment)))
}

fn lines(run: &Run) -> Vec<String> {
    String::from_utf8_lossy(&run.stdout).lines().map(str::to_owned).collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_put_back_and_its_user_gets_the_archive(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts
        .with(|settings| {
            settings.worker.concurrency = 1;
            settings.worker.retry_seconds = Vec::new();
        })
        .await;
    let user = service.user().await;
    let (job, broken) = sent_to_a_broken_store(&service, &user).await;
    user.until(&job, &["FAILED"]).await;
    eventually("the user is told", || async { (service.mails().len() == 1).then_some(()) }).await;
    broken.mend();
    let gone = user.send(WRONG).await;
    user.until(&gone, &["FAILED"]).await;
    let video = format!("videos/{}/{gone}/input.mp4", user.id).parse().expect("a key");
    service.storage().delete(&video).await.expect("the store answers");

    let listed = operate(&service, &["failed"]);
    assert_eq!((listed.code, listed.stderr.as_str()), (Some(0), ""));
    let said = lines(&listed);
    assert!(said[0].contains(&format!(" {gone} {} NO_VIDEO_STREAM 1 ", user.id)), "{said:?}");
    assert!(said[1].contains(&format!(" {job} {} STORAGE_ERROR 1 ", user.id)), "{said:?}");
    let letters = match parts {
        Embedded => vec![
            "dead letters are in the memory of the process that runs: see fiapx_queue_messages at /metrics",
        ],
        Servers => {
            vec!["video.process.dlq: 2 dead letters", "notification.send.dlq: 0 dead letters"]
        }
    };
    assert_eq!(said[2..], letters);
    let narrow =
        operate(&service, &["failed", "--code", "STORAGE_ERROR", "--limit", "1", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&narrow.stdout).expect("JSON");
    assert_eq!(
        (document["jobs"].as_array().map(Vec::len), &document["jobs"][0]["job_id"]),
        (Some(1), &job.as_str().into())
    );

    // What cannot be put back is named, and the rest goes on.
    let nobody = JobId::generate().to_string();
    let retried = operate(&service, &["retry", &nobody, &gone, &job]);
    assert_eq!(retried.code, Some(1), "{retried:?}");
    assert_eq!(lines(&retried), [format!("{job}: queued")]);
    let refusals = [
        format!("{nobody}: no such job"),
        format!("{gone}: its video was removed and has to be uploaded again"),
        "fiapx: 2 of 3 jobs cannot be queued again".to_owned(),
    ];
    assert_eq!(retried.stderr.lines().collect::<Vec<_>>(), refusals);
    user.done(&job).await;
    let way = [
        "PROCESSING>FAILED 1 STORAGE_ERROR",
        "FAILED>QUEUED",
        "QUEUED>PROCESSING 1",
        "PROCESSING>DONE 1",
    ];
    assert_eq!(user.history(&job).await[3..], way);
    assert!(!user.archive(&job).await.is_empty());

    // Once is enough.
    let again = operate(&service, &["retry", &job]);
    assert_eq!(
        (again.code, again.stderr.lines().next()),
        (Some(1), Some(&*format!("{job}: it has not failed but is DONE")))
    );
    let none = operate(&service, &["retry", "--code", "STORAGE_ERROR"]);
    assert_eq!(
        (none.code, lines(&none)),
        (Some(0), vec!["no failed job matches whose video is still stored".to_owned()])
    );
    let history = service.database().history(id(&job)).await.expect("the database answers");
    assert_eq!(history.iter().filter(|change| change.metadata["by"] == "operator").count(), 1);

    let subjects: Vec<String> =
        service.letters(3).await.into_iter().map(|letter| letter.subject).collect();
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
fn a_wish_that_cannot_be_meant_is_refused() {
    let nowhere = scratch();
    let data = nowhere.path().join("data");
    for words in [&["failed"][..], &["retry", "--code", "STORAGE_ERROR"]] {
        let refused = run(fiapx().arg("jobs").args(words).arg("--data-dir").arg(&data));
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let line = single_line(&refused).expect("one line");
        assert!(line.contains("there is no database in") && !data.exists(), "{line}");
    }
    for words in [
        &["retry"][..],
        &["retry", "--code", "BAD_LUCK"],
        &["retry", "one"],
        &["failed", "--limit", "0"],
    ] {
        let refused = run(fiapx().arg("jobs").args(words));
        assert_eq!(refused.code, Some(2), "{words:?}: {refused:?}");
    }
}
