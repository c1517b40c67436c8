//! Time and memory of a service whose roles run as processes of the optimized program, with
//! PostgreSQL, RabbitMQ, S3 and Redis on the same machine. Run with `make bench-servers`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, RequestChecksumCalculation};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use aws_smithy_http_client::Builder;
use benches::binary;
use benches::client::{Result, User};
use benches::role::Role;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use servers::{Garage, Postgres, RabbitMq, Redis};

/// Size of the large upload, in bytes.
const LARGE: usize = 100_000_000;
/// Size of each of the concurrent uploads, in bytes.
const SMALL: usize = 20_000_000;
/// Number of concurrent uploads.
const CONCURRENT: usize = 100;
/// Number of repetitions of each measurement.
const REPETITIONS: usize = 5;

fn main() -> Result<()> {
    // `cargo test --benches` runs this without the argument and must not measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let (postgres, rabbitmq, garage, redis) =
        (Postgres::start(), RabbitMq::start(), Garage::start(), Redis::start());
    let mut environment = servers::environment(
        postgres.create_database(),
        rabbitmq.url(),
        redis.url(),
        &garage,
        garage.bucket(),
    );
    let raised_limits = [
        ("LIMIT_LOGINS_PER_MINUTE", "1000"),
        ("LIMIT_UPLOADS_AT_ONCE", "100"),
        ("MAX_VIDEO_SIZE_MB", "2000"),
        ("WORKER_CONCURRENCY", "1"),
    ];
    environment.extend(raised_limits.map(|(name, value)| (name, value.to_owned())));
    let system = System { environment, directory: tempfile::tempdir()? };
    let migrated = system.command("migrate").output()?;
    assert!(migrated.status.success(), "{migrated:?}");
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        system.large_upload(&garage).await?;
        system.concurrent_uploads().await?;
        system.overhead().await?;
        system.worker_memory().await
    })
}

/// Environment and data directory of the roles.
struct System {
    environment: Vec<(&'static str, String)>,
    directory: tempfile::TempDir,
}

impl System {
    /// Command that runs a subcommand of the optimized program.
    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(binary());
        command.arg(subcommand).arg("--data-dir").arg(self.directory.path()).env_clear();
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    fn api(&self) -> Result<Role> {
        Role::start(self.command("api").args(["--listen", "127.0.0.1:0"]))
    }

    fn worker(&self) -> Result<Role> {
        Role::start(&mut self.command("worker"))
    }

    /// Measure one large upload over HTTP, as a form and as a resumable upload, and the same upload
    /// to the store by its SDK.
    async fn large_upload(&self, garage: &Garage) -> Result<()> {
        let (api, store, video) = (self.api()?, client(garage), Bytes::from(padded(LARGE)?));
        let user = User::register(&api.base, "large").await?;
        let (mut by_form, mut resumable) = (Vec::new(), Vec::new());
        let (mut by_sdk, mut by_sdk_in_parts) = (Vec::new(), Vec::new());
        for _ in 0..REPETITIONS {
            let started = Instant::now();
            let request = store.put_object().bucket(garage.bucket()).key("whole");
            request.body(video.clone().into()).send().await?;
            by_sdk.push(started.elapsed());
            let started = Instant::now();
            upload_in_parts(&store, garage.bucket(), &video).await?;
            by_sdk_in_parts.push(started.elapsed());
            let started = Instant::now();
            user.upload(&video, 1).await?;
            by_form.push(started.elapsed());
            let started = Instant::now();
            user.upload_resumable(&video).await?;
            resumable.push(started.elapsed());
        }
        for key in ["whole", "parts"] {
            store.delete_object().bucket(garage.bucket()).key(key).send().await?;
        }
        let rate = |times: &mut Vec<Duration>| {
            let time = median(times).as_secs_f64();
            format!("{time:.2} s, {:.0} MB/s", LARGE as f64 / 1e6 / time)
        };
        println!(
            "100 MB uploaded to the API: {}; as a resumable upload: {}",
            rate(&mut by_form),
            rate(&mut resumable)
        );
        println!(
            "100 MB uploaded by the SDK: {}; in parts of 8 MiB, four at a time: {}",
            rate(&mut by_sdk),
            rate(&mut by_sdk_in_parts)
        );
        println!("peak memory of the API: {}", megabytes(api.peak_memory()));
        let _worker = self.worker()?;
        user.wait_until_done(2 * REPETITIONS).await?;
        user.delete_all().await
    }

    /// Measure many concurrent uploads to one API.
    async fn concurrent_uploads(&self) -> Result<()> {
        let (api, video) = (self.api()?, Bytes::from(padded(SMALL)?));
        let user = User::register(&api.base, "many").await?;
        let started = Instant::now();
        let uploads = (0..CONCURRENT).map(|_| user.upload(&video, 1));
        let responses = futures_util::future::join_all(uploads).await;
        let time = started.elapsed();
        let errors: Vec<_> =
            responses.iter().filter_map(|response| response.as_ref().err()).collect();
        println!(
            "{CONCURRENT} concurrent uploads of 20 MB: {:.1} s, failed: {}",
            time.as_secs_f64(),
            errors.len()
        );
        if let Some(error) = errors.first() {
            println!("first error: {error}");
        }
        println!("peak memory of the API: {}", megabytes(api.peak_memory()));
        let _worker = self.worker()?;
        user.wait_until_done(CONCURRENT - errors.len()).await?;
        println!("all jobs done: {:.1} s after the start", started.elapsed().as_secs_f64());
        user.delete_all().await
    }

    /// Measure a long and a short clip with the command alone, with a worker that runs the engine
    /// in a cell, and with one that does not, in turns.
    async fn overhead(&self) -> Result<()> {
        let api = self.api()?;
        let user = User::register(&api.base, "overhead").await?;
        for (name, clip) in [
            ("a minute of 1080p", benches::repeated(3)),
            ("two seconds of 1080p", benches::beginning(2)),
        ] {
            let video = Bytes::from(std::fs::read(&clip)?);
            let (mut command, mut in_cell, mut without_cell, mut total) =
                (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for _ in 0..REPETITIONS {
                command.push(extract(&clip)?);
                let job = self.process(&user, &video, "cell").await?;
                in_cell.push(job.attempt);
                total.push(job.total);
                without_cell.push(self.process(&user, &video, "none").await?.attempt);
            }
            let [command, in_cell, without_cell, total] =
                [&mut command, &mut in_cell, &mut without_cell, &mut total]
                    .map(|times| median(times).as_secs_f64());
            let more_than_command = |time: f64| (time / command - 1.0) * 100.0;
            println!("{name}, `fiapx extract` without storing the archive: {command:.3} s");
            println!(
                "  attempt of a worker on S3: {in_cell:.3} s ({:+.1}%)",
                more_than_command(in_cell)
            );
            println!(
                "  attempt without a cell: {without_cell:.3} s, so a cell costs {:+.1} ms",
                (in_cell - without_cell) * 1000.0
            );
            println!("  accepted to DONE: {total:.3} s ({:+.1}%)", more_than_command(total));
        }
        Ok(())
    }

    /// Process a video on a new worker with this isolation.
    async fn process(&self, user: &User, video: &Bytes, isolation: &str) -> Result<JobTimes> {
        let _worker = Role::start(self.command("worker").env("WORKER_ISOLATION", isolation))?;
        let accepted = user.upload(video, 1).await?;
        let id = accepted["job_id"].as_str().ok_or("no job id")?;
        user.wait_until_done(1).await?;
        let job = user.get(&format!("/videos/{id}")).await?;
        let attempt = job["processing_time_seconds"].as_f64().ok_or("no processing time")?;
        let total = time(&job, "completed_at")? - time(&job, "created_at")?;
        user.delete_all().await?;
        Ok(JobTimes { attempt: Duration::from_secs_f64(attempt), total: total.to_std()? })
    }

    /// Measure the memory of a worker for one video at a time, with a short and a long video.
    async fn worker_memory(&self) -> Result<()> {
        let api = self.api()?;
        let user = User::register(&api.base, "memory").await?;
        for (minutes, times) in [(1, 3), (10, 30)] {
            let worker = self.worker()?;
            let clip = Bytes::from(std::fs::read(benches::repeated(times))?);
            let started = Instant::now();
            user.upload(&clip, 1).await?;
            user.wait_until_done(1).await?;
            println!(
                "{minutes} min of 1080p: {:.1} s, peak memory of the worker: {}",
                started.elapsed().as_secs_f64(),
                megabytes(worker.peak_memory())
            );
            user.delete_all().await?;
        }
        Ok(())
    }
}

/// Durations of a job.
struct JobTimes {
    /// The successful attempt.
    attempt: Duration,
    /// From acceptance to DONE.
    total: Duration,
}

/// Run `fiapx extract` without storing the archive and return its duration.
fn extract(clip: &Path) -> Result<Duration> {
    let started = Instant::now();
    let mut command = Command::new(binary());
    let status =
        command.arg("extract").arg(clip).args(["-o", "-"]).stdout(Stdio::null()).status()?;
    assert!(status.success());
    Ok(started.elapsed())
}

/// The sample clip, extended to `length` bytes by a box that players skip (ISO/IEC 14496-12,
/// 8.1.2).
fn padded(length: usize) -> Result<Vec<u8>> {
    let mut video =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/sample.mp4"))?;
    let padding = length.checked_sub(video.len()).ok_or("the sample clip is longer")?;
    video.extend_from_slice(&u32::try_from(padding)?.to_be_bytes());
    video.extend_from_slice(b"free");
    video.resize(length, 0);
    Ok(video)
}

/// Client of the store without code of the service.
fn client(garage: &Garage) -> Client {
    let credentials =
        Credentials::new(garage.access_key(), garage.secret_key(), None, None, "benches");
    let config = aws_sdk_s3::config::Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(Builder::new().build_http())
        .endpoint_url(garage.endpoint())
        .region(Region::new(garage.region()))
        .force_path_style(true)
        .credentials_provider(credentials)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
    Client::from_conf(config.build())
}

/// Upload a video in concurrent parts by the SDK.
async fn upload_in_parts(store: &Client, bucket: &str, video: &Bytes) -> Result<()> {
    const PART: usize = 8 << 20;
    const KEY: &str = "parts";
    let upload = store.create_multipart_upload().bucket(bucket).key(KEY).send().await?;
    let id = upload.upload_id().ok_or("no upload id")?;
    let parts = (0..video.len().div_ceil(PART)).map(|index| async move {
        let number = index as i32 + 1;
        let part = video.slice(index * PART..((index + 1) * PART).min(video.len()));
        let request = store.upload_part().bucket(bucket).key(KEY).upload_id(id).part_number(number);
        let sent = request.body(ByteStream::from(part)).send().await?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
        Ok::<_, Box<dyn std::error::Error>>(part.build())
    });
    let parts: Vec<_> = stream::iter(parts).buffered(4).try_collect().await?;
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let request = store.complete_multipart_upload().bucket(bucket).key(KEY).upload_id(id);
    request.multipart_upload(parts).send().await?;
    Ok(())
}

fn time(job: &Value, name: &str) -> Result<chrono::DateTime<chrono::Utc>> {
    Ok(job[name].as_str().ok_or("no time")?.parse()?)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}
