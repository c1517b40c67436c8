//! Killed at any moment, nothing is lost, nothing is there twice, and nothing is left behind.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, SystemTime};

use app::serve::{Roles, Running};
use frames::Options;
use futures_util::future::join_all;
use jobs::{Clock, State};
use reqwest::{Method, StatusCode, header};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::harness::{each, extract, fixture, reason, root, scratch};
use crate::process::Process;
use crate::service::{Account, User, bytes_of, eventually, form, letters, settings, stored};

/// A clip of one picture.
const TINY: &str = "good/short_all_intra.avi";
/// A clip of a few pictures.
const SHORT: &str = "good/h264_aac.mp4";
/// A clip that fails at once.
const WRONG: &str = "broken/audio_only.mp4";

/// Attempts follow each other at once, and so many that no number of kills in a story uses them up.
const PATIENT: [(&str, &str); 2] =
    [("WORKER_RETRY_SECONDS", "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0"), ("LIMIT_DOWNLOADS_PER_MINUTE", "1000000")];

/// A video that a client has sent.
struct Sent {
    /// Under a name that is its alone.
    name: String,
    /// Which clip it is.
    clip: &'static str,
    /// The job's id, if a 202 came back.
    accepted: Option<String>,
}

/// Send a clip to a service that may go at any moment.
async fn send(user: &User<'_>, number: impl std::fmt::Display, clip: &'static str) -> Sent {
    let name = format!("{number}-{}", clip.replace('/', "-"));
    let request = user.request(Method::POST, "/videos/upload").multipart(form(&[(&name, bytes_of(clip))]));
    let accepted = request.send().await.ok().filter(|answer| answer.status() == StatusCode::ACCEPTED).map(|answer| {
        let location = answer.headers()[header::LOCATION].to_str().expect("text");
        location.strip_prefix("/videos/").expect("it leads to the job").to_owned()
    });
    Sent { name, clip, accepted }
}

/// Start the service again and hold everything against what its clients were told: each accepted video reaches the end that it would
/// have reached, with one mail; what was not accepted is there wholly or not at all; and no file is nobody's. Says how many jobs there
/// are.
async fn account_for(directory: &Path, account: &Account, sent: &[Sent]) -> usize {
    let service = Process::start(directory, &PATIENT);
    let user = account.at(&service);
    let jobs = user.get("/videos?limit=100").await.1;
    let jobs: BTreeMap<String, String> = jobs
        .as_array()
        .expect("a list")
        .iter()
        .map(|job| ["id", "filename"].map(|field| job[field].as_str().expect("text").to_owned()).into())
        .collect();
    for accepted in sent.iter().filter_map(|sent| sent.accepted.as_ref()) {
        assert!(jobs.contains_key(accepted), "accepted job {accepted} is lost");
    }
    let (mut expected, mut subjects, mut archives) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    for (job, name) in &jobs {
        let sent: Vec<&Sent> = sent.iter().filter(|sent| sent.name == *name).collect();
        let [sent] = sent[..] else { panic!("{name} was sent {} times", sent.len()) };
        let suffix = sent.clip.rsplit('.').next().unwrap_or_default();
        let folder = format!("videos/{}/{job}", user.id);
        expected.insert(format!("{folder}/input.{suffix}"), bytes_of(sent.clip).len() as u64);
        if sent.clip == WRONG {
            let view = user.until(job, &["FAILED"]).await;
            assert_eq!(view["error_code"], Value::from("NO_VIDEO_STREAM"), "{name}");
            subjects.push(format!("Your video could not be processed: {name}"));
        } else {
            let view = user.done(job).await;
            let archive =
                archives.entry(sent.clip).or_insert_with(|| extract(&fixture(sent.clip), &Options::default()).expect("it is good"));
            assert!(user.archive(job).await == *archive, "{name}: the archive is another");
            assert_eq!(view["zip_size_bytes"], Value::from(archive.len()), "{name}");
            subjects.push(format!("Your video is ready: {name}"));
        }
    }
    let mails = || letters(directory).into_iter().map(|letter| letter.subject).collect::<Vec<_>>();
    eventually("a mail for each job", || async { (mails().len() >= jobs.len()).then_some(()) }).await;
    service.signal("TERM");
    let (status, log) = service.ended();
    assert!(status.success(), "{status}: {log:?}");

    // The next start sweeps, whatever its age.
    let running = Running::start(settings(directory), Roles::ALL, Clock::default()).await.expect("the service starts");
    for job in jobs.keys() {
        let row = running.upkeep().database.job(job.parse().expect("an id")).await.expect("the database answers");
        let row = row.expect("the job is there");
        assert_eq!(row.zip_path.is_some(), row.state == State::Done);
        if let Some(path) = row.zip_path {
            expected.insert(path, row.zip_size_bytes.unwrap_or_default());
        }
    }
    running.stopper().cancel();
    running.ended().await.expect("it stops well");
    assert_eq!(stored(directory), expected, "each job has its video and, if it is done, one archive");
    subjects.sort();
    assert_eq!(mails(), subjects, "each outcome is told once");
    jobs.len()
}

/// The places at which the sources let tests kill the process.
fn fail_points() -> Vec<String> {
    let (mut points, mut left) = (Vec::new(), vec![root().join("crates")]);
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(path.read_dir().expect("it can be read").map(|entry| entry.expect("it can be read").path()));
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            let source = std::fs::read_to_string(&path).expect("sources are text");
            let named = source.split("fail_point!(\"").skip(1).filter_map(|rest| rest.split('"').next());
            points.extend(named.map(str::to_owned));
        }
    }
    points.sort();
    points.dedup();
    points
}

/// Before and after every commit, publication and completion, at the first time and the second.
#[test]
fn killed_at_every_fail_point_nothing_is_lost() {
    let points = fail_points();
    assert!(points.len() >= 10, "the sources name {points:?}");
    let cases: Vec<String> = points.iter().flat_map(|point| [1, 2].map(|time| format!("{point}:{time}"))).collect();
    each(&cases, |point| {
        let story = || Runtime::new().expect("threads").block_on(killed_at(point));
        catch_unwind(AssertUnwindSafe(story)).map_err(reason)
    });
}

async fn killed_at(point: &str) {
    let directory = scratch();
    let environment = [PATIENT.as_slice(), &[("FIAPX_KILL_AT", point)]].concat();
    let service = Process::start(directory.path(), &environment);
    let user = service.user().await;
    let mut sent = Vec::new();
    for (number, clip) in [TINY, WRONG, TINY, WRONG].into_iter().enumerate() {
        sent.push(send(&user, number, clip).await);
    }
    let account = user.account();
    let (status, _) = service.ended();
    assert_eq!(status.signal(), Some(9), "it ends otherwise; only with the feature `failpoints` of `app` are there fail points");
    account_for(directory.path(), &account, &sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_under_load_nothing_is_lost() {
    const ROUNDS: u64 = 8;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970");
    let seed = std::env::var("STORY_SEED").map_or(now.as_nanos() as u64, |seed| seed.parse().expect("STORY_SEED is a number"));
    println!("STORY_SEED={seed}");
    let directory = scratch();
    let (mut account, mut sent) = (None, Vec::new());
    for round in 0..ROUNDS {
        let service = Process::start(directory.path(), &PATIENT);
        if account.is_none() {
            account = Some(service.user().await.account());
        }
        let user = account.as_ref().expect("it is there").at(&service);
        let uploads = (0..3).map(|client| {
            let user = &user;
            async move {
                let mut sent = Vec::new();
                for (number, clip) in [SHORT, WRONG, TINY].into_iter().enumerate() {
                    sent.push(send(user, format_args!("{round}-{client}-{number}"), clip).await);
                }
                sent
            }
        });
        // By turns among the uploads and among the jobs.
        let within = if round % 2 == 0 { 80 } else { 1500 };
        let moment = Duration::from_millis(scrambled(seed.wrapping_add(round)) % within);
        let kill = async {
            // Not to wait for something, but to come at any moment.
            tokio::time::sleep(moment).await;
            service.signal("KILL");
        };
        let (uploaded, ()) = tokio::join!(join_all(uploads), kill);
        sent.extend(uploaded.into_iter().flatten());
    }
    let accepted = sent.iter().filter(|sent| sent.accepted.is_some()).count();
    assert!(accepted > 0, "no upload was accepted before the kill");
    let jobs = account_for(directory.path(), &account.expect("it is there"), &sent).await;
    println!("{jobs} jobs of {accepted} accepted uploads, of {}", sent.len());
}

/// A number that looks random (SplitMix64).
fn scrambled(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
