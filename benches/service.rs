//! Overhead of the service over the engine, and response times: `cargo bench --package benches
//! --bench service`.
//!
//! Starts a service in this process and prints medians.

use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, Instant};

use app::service::{Roles, RunningService};
use app::settings::{self, Overrides, Settings};
use benches::client::{Result, User};
use bytes::Bytes;
use database::accept::{Accepted, Video};
use database::{Database, Rules};
use frames::Options;
use jobs::{Clock, JobId, State, UserId, VideoFormat};

/// Number of clips in the queue.
const QUEUE: usize = 200;
/// Number of jobs of the user whose list is read.
const LISTED: usize = 10_000;
/// Number of repetitions of each measurement.
const REPETITIONS: usize = 50;

fn main() -> Result<()> {
    // `cargo test --benches` runs this without the argument and must not measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/sample.mp4");
    let clip = std::fs::read(sample)?.into();
    let runtime = tokio::runtime::Runtime::new()?;
    let directory = tempfile::tempdir()?;
    let mut settings = settings::load(None, |_| None, Overrides::default())?;
    directory.path().clone_into(&mut settings.data_dir);
    settings.server.listen = "127.0.0.1:0".parse()?;
    settings.worker.cell_program = Some(benches::binary());
    settings.limits.unfinished_jobs = QUEUE as u64;
    settings.limits.jobs_per_hour = 2 * QUEUE as u64;
    runtime.block_on(measure(settings, clip))
}

async fn measure(settings: Settings, clip: Bytes) -> Result<()> {
    let file = settings.data_dir.join("fiapx.db");
    let running = RunningService::start(settings, Roles::ALL, Clock::default()).await?;
    let address = running.address().ok_or("the service has no address")?;
    let user = User::register(&format!("http://{address}"), "bench").await?;
    measure_single_jobs(&user, &clip).await?;
    measure_queue(&user, &clip).await?;
    measure_lists(&user, &file).await?;
    running.stop_token().cancel();
    Ok(running.stopped().await?)
}

/// Measure the overhead of one job at a time.
async fn measure_single_jobs(user: &User, clip: &Bytes) -> Result<()> {
    let engine = engine_time(clip)?;
    println!("engine alone, one clip: {:.1} ms", millis(engine));
    let mut overheads = Vec::new();
    for _ in 0..REPETITIONS {
        let accepted = user.upload(clip, 1).await?;
        user.wait_until_done(1).await?;
        let id = accepted["job_id"].as_str().ok_or("no job id")?;
        let job = user.get(&format!("/videos/{id}")).await?;
        let time = |name: &str| -> Result<chrono::DateTime<chrono::Utc>> {
            Ok(job[name].as_str().ok_or("no time")?.parse()?)
        };
        let total = (time("completed_at")? - time("created_at")?).to_std()?;
        overheads.push(total.saturating_sub(engine));
        user.delete_all().await?;
    }
    println!(
        "one job at a time, from acceptance to DONE less the time of the engine: {:.1} ms",
        millis(median(&mut overheads))
    );
    Ok(())
}

/// Measure the overhead of each job in a long queue.
async fn measure_queue(user: &User, clip: &Bytes) -> Result<()> {
    let engine = engine_time_for_queue(clip)?;
    let started = Instant::now();
    for _ in 0..QUEUE / 50 {
        user.upload(clip, 50).await?;
    }
    user.wait_until_done(QUEUE).await?;
    let total = started.elapsed();
    println!(
        "{QUEUE} clips: {:.2} s, engine alone: {:.2} s",
        total.as_secs_f64(),
        engine.as_secs_f64()
    );
    let overhead = total.saturating_sub(engine) / QUEUE as u32;
    println!("overhead of each job in a queue of {QUEUE}: {:.1} ms", millis(overhead));
    user.delete_all().await
}

/// Measure the lists of a user with many jobs.
async fn measure_lists(user: &User, database: &Path) -> Result<()> {
    insert_jobs(database, user.id).await?;
    for path in ["/videos", "/videos?limit=100", "/videos?status=CANCELLED"] {
        let mut times = Vec::new();
        for _ in 0..REPETITIONS {
            let started = Instant::now();
            let page = user.get(path).await?;
            times.push(started.elapsed());
            assert!(page.as_array().is_some_and(|page| page.len() >= 20));
        }
        println!("GET {path} among {LISTED} jobs: {:.1} ms", millis(median(&mut times)));
    }
    Ok(())
}

/// Time of the engine for one clip on all cores.
fn engine_time(clip: &[u8]) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..REPETITIONS {
        let started = Instant::now();
        frames::extract(Cursor::new(clip.to_vec()), std::io::sink(), &Options::default(), |_| {})?;
        times.push(started.elapsed());
    }
    Ok(median(&mut times))
}

/// Time of the engine for all clips, one per core at a time.
fn engine_time_for_queue(clip: &[u8]) -> Result<Duration> {
    let cores = std::thread::available_parallelism()?.get();
    let started = Instant::now();
    std::thread::scope(|threads| {
        let work = || -> std::result::Result<(), frames::Error> {
            for _ in 0..QUEUE / cores {
                frames::extract(
                    Cursor::new(clip.to_vec()),
                    std::io::sink(),
                    &Options::default(),
                    |_| {},
                )?;
            }
            Ok(())
        };
        let workers: Vec<_> = (0..cores).map(|_| threads.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .map_err(|_| "the engine panicked")?
                .map_err(|error| error.to_string().leak() as &str)
        })
    })?;
    Ok(started.elapsed())
}

/// Insert many cancelled jobs of a user, which workers ignore.
async fn insert_jobs(file: &Path, user: UserId) -> Result<()> {
    let database = Database::sqlite(file, Clock::default(), Rules::default()).await?;
    for _ in 0..LISTED / 100 {
        let video = || Video {
            id: JobId::generate(),
            filename: "clip.mp4".to_owned(),
            format: VideoFormat::Mp4,
            path: "nowhere".to_owned(),
            size_bytes: 1,
            source: None,
            recipe: jobs::Recipe::default(),
        };
        let videos: Vec<Video> = std::iter::repeat_with(video).take(100).collect();
        for video in &videos {
            database.begin_upload(user, video.id, &video.path, 0..=0).await?;
        }
        if let Accepted::New(jobs) = database.accept(user, &videos, None, None).await? {
            for job in jobs {
                for state in [State::Queued, State::Processing] {
                    database.cancel(job.id, state).await?;
                }
            }
        }
    }
    Ok(())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
