//! What a service owes to its clients, whatever happened to it: each accepted video reaches its
//! end, with one archive and one mail, what was not accepted is there wholly or not at all, and
//! nothing is left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use database::reading::Page;
use frames::Options;
use jobs::{FailureCode, State};
use reqwest::{Method, StatusCode, header};

use crate::harness::{extract, fixture};
use crate::service::{Account, Service, User, bytes_of, form};

/// A clip of one picture.
pub const TINY: &str = "good/short_all_intra.avi";
/// A clip of a few pictures.
pub const SHORT: &str = "good/h264_aac.mp4";
/// A clip that fails at once.
pub const WRONG: &str = "broken/audio_only.mp4";

/// Holds that a process had when it was killed are over by then: its leases, messages and mails.
pub const LATER: Duration = Duration::from_mins(10);

/// A video that a client has sent.
#[derive(Debug)]
pub struct Sent {
    /// Under a name that is its alone.
    pub name: String,
    /// Which clip it is.
    pub clip: &'static str,
    /// The job's id, if a 202 came back.
    pub accepted: Option<String>,
}

/// Send a clip to a service that may go at any moment.
pub async fn send(user: &User<'_>, number: impl std::fmt::Display, clip: &'static str) -> Sent {
    let name = format!("{number}-{}", clip.replace('/', "-"));
    let request =
        user.request(Method::POST, "/videos/upload").multipart(form(&[(&name, bytes_of(clip))]));
    let accepted =
        request.send().await.ok().filter(|answer| answer.status() == StatusCode::ACCEPTED).map(
            |answer| {
                let location = answer.headers()[header::LOCATION].to_str().expect("text");
                location.strip_prefix("/videos/").expect("it leads to the job").to_owned()
            },
        );
    Sent { name, clip, accepted }
}

/// What an account has come to.
#[derive(Debug, Default)]
pub struct Balance {
    /// Jobs, and so mails.
    pub jobs: usize,
    /// Those that have an archive.
    pub done: usize,
    /// Those that were given up because worker after worker was lost with them.
    pub lost: usize,
    /// Files of nobody that the sweep removed.
    pub orphans: u64,
    /// Mails that went out once more, because a process was killed before it could note that they
    /// were sent.
    pub repeated: usize,
}

/// Hold a service against what its clients were told, once whatever happened is over. A good video
/// may have failed only where its workers were lost as often as
/// [`WORKER_LOST`](FailureCode::WorkerLost) allows.
pub async fn account_for(service: Service, account: &Account, sent: &[Sent]) -> Balance {
    let mut user = account.at(&service);
    user.log_in_again().await;
    let owner = user.id.parse().expect("a user's id");
    let page = Page { limit: 100_000, ..Page::default() };
    let jobs = service.database().list_jobs(owner, &page).await.expect("the database answers");
    let known: BTreeSet<String> = jobs.iter().map(|job| job.id.to_string()).collect();
    for accepted in sent.iter().filter_map(|sent| sent.accepted.as_ref()) {
        assert!(known.contains(accepted), "accepted job {accepted} is lost");
    }
    let mut balance = Balance { jobs: jobs.len(), ..Balance::default() };
    let (mut files, mut subjects, mut archives) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    for job in &jobs {
        let name = &job.filename;
        let found: Vec<&Sent> = sent.iter().filter(|sent| sent.name == *name).collect();
        let [found] = found[..] else { panic!("{name} was sent {} times", found.len()) };
        user.until(&job.id.to_string(), &["DONE", "FAILED"]).await;
        let row = service
            .database()
            .job(job.id)
            .await
            .expect("the database answers")
            .expect("the job is there");
        files.insert(row.video_path.clone(), bytes_of(found.clip).len() as u64);
        assert_eq!(row.zip_path.is_some(), row.state == State::Done, "{name}");
        if let Some(path) = row.zip_path {
            assert_ne!(found.clip, WRONG, "{name}");
            let archive = archives.entry(found.clip).or_insert_with(|| {
                extract(&fixture(found.clip), &Options::default()).expect("it is good")
            });
            assert!(
                user.archive(&job.id.to_string()).await == *archive,
                "{name}: the archive is another"
            );
            assert_eq!(row.zip_size_bytes, Some(archive.len() as u64), "{name}");
            files.insert(path, archive.len() as u64);
            balance.done += 1;
            subjects.push(format!("Your video is ready: {name}"));
        } else {
            let expected = if found.clip == WRONG {
                FailureCode::NoVideoStream
            } else {
                FailureCode::WorkerLost
            };
            let lost = row.error_code == Some(FailureCode::WorkerLost);
            assert!(
                lost || row.error_code == Some(expected),
                "{name}: {:?} {:?}",
                row.error_code,
                user.history(&job.id.to_string()).await
            );
            balance.lost += usize::from(lost);
            subjects.push(format!("Your video could not be processed: {name}"));
        }
    }
    balance.orphans =
        service.running.upkeep().sweep(Duration::ZERO).await.expect("all parts answer");
    assert_eq!(
        service.files().await,
        files,
        "each job has its video and, if it is done, one archive"
    );
    subjects.sort();
    let (letters, repeated) = service.told(jobs.len()).await;
    balance.repeated = repeated;
    let told: Vec<String> = letters.into_iter().map(|letter| letter.subject).collect();
    assert_eq!(told, subjects, "each outcome is told once");
    balance
}
