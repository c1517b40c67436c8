//! Guarantees of a service to its clients after any fault: each accepted video reaches a final
//! state with one archive and one mail, an upload that was not accepted leaves everything or
//! nothing, and no other file remains.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use database::Job;
use database::reading::Page;
use frames::Options;
use jobs::{FailureCode, State};
use reqwest::{Method, StatusCode, header};

use super::checks::eventually;
use super::client::{Account, User, form};
use super::clips::{WRONG, clip_bytes, fixture};
use super::extraction::extract;
use super::service::{Service, is_preview};

/// Time after which leases, messages and mails that a killed process held are free again.
pub const LATER: Duration = Duration::from_mins(10);

/// A video that a client has sent.
#[derive(Debug)]
pub struct SentVideo {
    /// Unique file name.
    pub name: String,
    /// Path of the clip.
    pub clip: &'static str,
    /// Id of the job, if the response was a 202.
    pub accepted: Option<String>,
}

/// Send a clip to a service that may be killed meanwhile.
pub async fn send_video(
    user: &User<'_>,
    number: impl std::fmt::Display,
    clip: &'static str,
) -> SentVideo {
    let name = format!("{number}-{}", clip.replace('/', "-"));
    let request =
        user.request(Method::POST, "/videos/upload").multipart(form(&[(&name, clip_bytes(clip))]));
    let response = request.send().await.ok();
    let accepted =
        response.filter(|response| response.status() == StatusCode::ACCEPTED).map(|response| {
            let location = response.headers()[header::LOCATION].to_str().expect("text");
            location.strip_prefix("/videos/").expect("it leads to the job").to_owned()
        });
    SentVideo { name, clip, accepted }
}

/// Counts of an audit.
#[derive(Debug, Default)]
pub struct Audit {
    /// Jobs, each with one mail.
    pub jobs: usize,
    /// Jobs with an archive.
    pub done: usize,
    /// Jobs that failed because worker after worker was lost while working on them.
    pub lost: usize,
    /// Files without a row that the sweep removed.
    pub orphans: u64,
    /// Mails that were sent twice, because a process was killed before it could record that they
    /// were sent.
    pub repeated: usize,
}

/// Expected files and mails.
#[derive(Default)]
struct Expected {
    files: BTreeMap<String, u64>,
    subjects: Vec<String>,
    /// Archives by clip.
    archives: BTreeMap<&'static str, Vec<u8>>,
}

/// Check all jobs, files and mails of a service once every fault is over. A good video may have
/// failed only if its workers were lost as often as [`WORKER_LOST`](FailureCode::WorkerLost)
/// allows.
pub async fn audit(service: Service, account: &Account, sent: &[SentVideo]) -> Audit {
    let mut user = account.at(&service);
    user.log_in_again().await;
    let owner = user.id.parse().expect("a user's id");
    let page = Page { limit: 100_000, ..Page::default() };
    let jobs = service.database().list_jobs(owner, &page).await.expect("the database responds");
    let known: BTreeSet<String> = jobs.iter().map(|job| job.id.to_string()).collect();
    for accepted in sent.iter().filter_map(|sent| sent.accepted.as_ref()) {
        assert!(known.contains(accepted), "accepted job {accepted} is lost");
    }
    let mut audit = Audit { jobs: jobs.len(), ..Audit::default() };
    let mut expected = Expected::default();
    for job in &jobs {
        let found: Vec<&SentVideo> = sent.iter().filter(|sent| sent.name == job.filename).collect();
        let [found] = found[..] else { panic!("{} was sent {} times", job.filename, found.len()) };
        user.wait_for(&job.id.to_string(), &["DONE", "FAILED"]).await;
        let row = service.database().job(job.id).await.expect("the database responds");
        let row = row.expect("the job exists");
        audit_job(&user, row, found.clip, &mut audit, &mut expected).await;
    }
    // Uploads whose process was killed count as abandoned after a day.
    service.database().abandon_uploads().await.expect("the database responds");
    service.run_maintenance().await;
    audit.orphans = service.sweep(Duration::ZERO).await;
    eventually("no preview is left", || async {
        let files = service.files_and_previews().await;
        (!files.keys().any(|path| is_preview(path))).then_some(())
    })
    .await;
    assert_eq!(
        service.files().await,
        expected.files,
        "each job has its video and, if it is done, one archive"
    );
    expected.subjects.sort();
    let (mails, repeated) = service.expect_distinct_mails(jobs.len()).await;
    audit.repeated = repeated;
    let subjects: Vec<String> = mails.into_iter().map(|mail| mail.subject).collect();
    assert_eq!(subjects, expected.subjects, "each outcome has one mail");
    audit
}

/// Check one job and add its counts, files and mail.
async fn audit_job(
    user: &User<'_>,
    row: Job,
    clip: &'static str,
    audit: &mut Audit,
    expected: &mut Expected,
) {
    let (name, job) = (&row.filename, row.id.to_string());
    expected.files.insert(row.video_path.clone(), clip_bytes(clip).len() as u64);
    assert_eq!(row.zip_path.is_some(), row.state == State::Done, "{name}");
    if let Some(path) = row.zip_path {
        assert_ne!(clip, WRONG, "{name}");
        let archive = expected.archives.entry(clip).or_insert_with(|| {
            extract(&fixture(clip), &Options::default()).expect("the clip is valid")
        });
        assert!(user.archive(&job).await == *archive, "{name}: the archive differs");
        assert_eq!(row.zip_size_bytes, Some(archive.len() as u64), "{name}");
        expected.files.insert(path, archive.len() as u64);
        expected.subjects.push(format!("Your video is ready: {name}"));
        audit.done += 1;
    } else {
        let code = if clip == WRONG { FailureCode::NoVideoStream } else { FailureCode::WorkerLost };
        let lost = row.error_code == Some(FailureCode::WorkerLost);
        assert!(
            lost || row.error_code == Some(code),
            "{name}: {:?} {:?}",
            row.error_code,
            user.history(&job).await
        );
        expected.subjects.push(format!("Your video could not be processed: {name}"));
        audit.lost += usize::from(lost);
    }
}
