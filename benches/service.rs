//! What the service adds to the engine, and how soon it answers: `cargo bench --package benches
//! --bench service`.
//!
//! It starts a service of its own in this process and prints what it measures, as medians.

use std::io::Cursor;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use app::service::{Roles, RunningService};
use app::settings::{self, Overrides, Settings};
use benches::client::{Result, User};
use bytes::Bytes;
use database::accept::{Accepted, Video};
use database::{Database, Rules};
use frames::Options;
use jobs::{Clock, JobId, State, UserId, VideoFormat};

/// Clips in the queue that is drained.
const QUEUE: usize = 200;
/// Jobs in the list that is read.
const LISTED: usize = 10_000;
/// Repetitions of what is measured one by one.
const TIMES: usize = 50;

fn main() -> Result<()> {
    // `cargo test --benches` asks for no measurement.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let clip =
        std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/sample.mp4"))?
            .into();
    let runtime = tokio::runtime::Runtime::new()?;
    let directory = tempfile::tempdir()?;
    let mut settings = settings::load(None, |_| None, Overrides::default())?;
    directory.path().clone_into(&mut settings.data_dir);
    settings.server.listen = "127.0.0.1:0".parse()?;
    settings.worker.cell_program = Some(benches::binary());
    runtime.block_on(measure(settings, clip))
}

async fn measure(settings: Settings, clip: Bytes) -> Result<()> {
    let file = settings.data_dir.join("fiapx.db");
    let running = RunningService::start(settings, Roles::ALL, Clock::default()).await?;
    let user =
        User::register(&format!("http://{}", running.address().ok_or("it serves")?), "bench")
            .await?;

    let engine = engine_alone(&clip)?;
    println!("engine alone, one clip: {:.1} ms", millis(engine));
    let mut overheads = Vec::new();
    for _ in 0..TIMES {
        let job = user.upload(&clip, 1).await?;
        user.all_done(1).await?;
        let (status, job) =
            user.get(&format!("/videos/{}", job["job_id"].as_str().unwrap_or_default())).await?;
        assert_eq!(status, 200);
        let at = |name: &str| -> Result<chrono::DateTime<chrono::Utc>> {
            Ok(job[name].as_str().ok_or("a time")?.parse()?)
        };
        let whole = (at("completed_at")? - at("created_at")?).to_std()?;
        overheads.push(whole.saturating_sub(engine));
        user.remove_all().await?;
    }
    println!(
        "one job at a time, accepted to DONE less the engine's time: {:.1} ms",
        millis(median(&mut overheads))
    );

    let alone = engine_in_a_row(&clip)?;
    let started = Instant::now();
    for _ in 0..QUEUE / 50 {
        user.upload(&clip, 50).await?;
    }
    user.all_done(QUEUE).await?;
    let drained = started.elapsed();
    let added = drained.saturating_sub(alone) / QUEUE as u32;
    println!(
        "{QUEUE} clips: {:.2} s, the engine alone: {:.2} s",
        drained.as_secs_f64(),
        alone.as_secs_f64()
    );
    println!("a queue of {QUEUE}, overhead of each job: {:.1} ms", millis(added));
    user.remove_all().await?;

    fill(&file, user.id).await?;
    for path in ["/videos", "/videos?limit=100", "/videos?status=CANCELLED"] {
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let started = Instant::now();
            let (status, page) = user.get(path).await?;
            times.push(started.elapsed());
            assert!(status == 200 && page.as_array().is_some_and(|page| page.len() >= 20));
        }
        println!("GET {path} among {LISTED} jobs: {:.1} ms", millis(median(&mut times)));
    }
    running.stop_token().cancel();
    Ok(running.stopped().await?)
}

/// What the engine takes for one clip that has all cores.
fn engine_alone(clip: &[u8]) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let started = Instant::now();
        frames::extract(Cursor::new(clip.to_vec()), std::io::sink(), &Options::default(), |_| {})?;
        times.push(started.elapsed());
    }
    Ok(median(&mut times))
}

/// What the engine takes for all clips, as many at once as there are cores.
fn engine_in_a_row(clip: &[u8]) -> Result<Duration> {
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
                .map_err(|_| "the engine broke down")?
                .map_err(|error| error.to_string().leak() as &str)
        })
    })?;
    Ok(started.elapsed())
}

/// Give a user many jobs, cancelled so that no worker cares for them.
async fn fill(file: &std::path::Path, user: UserId) -> Result<()> {
    let database = Database::sqlite(file, Clock::default(), Rules::default()).await?;
    for _ in 0..LISTED / 100 {
        let video = || Video {
            id: JobId::generate(),
            filename: "clip.mp4".to_owned(),
            format: VideoFormat::Mp4,
            path: "nowhere".to_owned(),
            size_bytes: 1,
            recipe: jobs::Recipe::default(),
        };
        let videos: Vec<Video> = std::iter::repeat_with(video).take(100).collect();
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
