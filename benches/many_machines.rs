//! What the service takes where it runs as roles on PostgreSQL, RabbitMQ, S3 and Redis, all on this
//! machine: time and memory. Run it with `make bench-servers`.
//!
//! The roles are processes of the optimised command, so what is measured of them is what an
//! operator sees.

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

/// Bytes of the one large upload.
const LARGE: usize = 100_000_000;
/// Bytes of each of the uploads that come at once.
const SMALL: usize = 20_000_000;
/// How many come at once.
const AT_ONCE: usize = 100;
/// Repetitions of what is measured one by one.
const TIMES: usize = 5;

fn main() -> Result<()> {
    // `cargo test --benches` asks for no measurement.
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
    let wide = [
        ("LIMIT_LOGINS_PER_MINUTE", "1000"),
        ("MAX_VIDEO_SIZE_MB", "2000"),
        ("WORKER_CONCURRENCY", "1"),
    ];
    environment.extend(wide.map(|(name, value)| (name, value.to_owned())));
    let system = System { environment, directory: tempfile::tempdir()? };
    let migrated = system.command("migrate").output()?;
    assert!(migrated.status.success(), "{migrated:?}");
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        system.large_upload(&garage).await?;
        system.many_uploads().await?;
        system.overhead().await?;
        system.worker_memory().await
    })
}

/// Where the roles find their servers and data.
struct System {
    environment: Vec<(&'static str, String)>,
    directory: tempfile::TempDir,
}

impl System {
    /// A subcommand of the optimised command.
    fn command(&self, word: &str) -> Command {
        let mut command = Command::new(binary());
        command.arg(word).arg("--data-dir").arg(self.directory.path()).env_clear();
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

    /// One large upload over HTTP, beside what the store takes from the SDK itself.
    async fn large_upload(&self, garage: &Garage) -> Result<()> {
        let (api, store, video) = (self.api()?, client(garage), Bytes::from(padded(LARGE)?));
        let user = User::register(&api.base, "large").await?;
        let (mut through, mut whole, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TIMES {
            let started = Instant::now();
            store
                .put_object()
                .bucket(garage.bucket())
                .key("whole")
                .body(video.clone().into())
                .send()
                .await?;
            whole.push(started.elapsed());
            let started = Instant::now();
            in_parts(&store, garage.bucket(), &video).await?;
            parts.push(started.elapsed());
            let started = Instant::now();
            user.upload(&video, 1).await?;
            through.push(started.elapsed());
        }
        for key in ["whole", "parts"] {
            store.delete_object().bucket(garage.bucket()).key(key).send().await?;
        }
        let rate = |times: &mut Vec<Duration>| {
            let time = median(times).as_secs_f64();
            format!("{time:.2} s, {:.0} MB/s", LARGE as f64 / 1e6 / time)
        };
        println!("100 MB accepted by the API: {}", rate(&mut through));
        println!(
            "100 MB put by the SDK: {}; in parts of 8 MiB, four at once: {}",
            rate(&mut whole),
            rate(&mut parts)
        );
        println!("memory of the API at most: {}", megabytes(api.peak_memory()));
        let _worker = self.worker()?;
        user.all_done(TIMES).await?;
        user.remove_all().await
    }

    /// Many uploads at once through one API.
    async fn many_uploads(&self) -> Result<()> {
        let (api, video) = (self.api()?, Bytes::from(padded(SMALL)?));
        let user = User::register(&api.base, "many").await?;
        let started = Instant::now();
        let uploads: Vec<_> = (0..AT_ONCE).map(|_| user.upload(&video, 1)).collect();
        let accepted = futures_util::future::join_all(uploads).await;
        let took = started.elapsed();
        let refused: Vec<_> = accepted.iter().filter_map(|upload| upload.as_ref().err()).collect();
        println!(
            "{AT_ONCE} uploads of 20 MB at once: {:.1} s, refused: {}",
            took.as_secs_f64(),
            refused.len()
        );
        if let Some(refusal) = refused.first() {
            println!("the first refusal: {refusal}");
        }
        println!("memory of the API at most: {}", megabytes(api.peak_memory()));
        let _worker = self.worker()?;
        user.all_done(AT_ONCE - refused.len()).await?;
        println!(
            "all accepted ones done: {:.1} s after the start",
            started.elapsed().as_secs_f64()
        );
        user.remove_all().await
    }

    /// A long clip and a short one by the command alone, by a worker whose engine runs in a cell,
    /// and by one without cells, in turns.
    async fn overhead(&self) -> Result<()> {
        let api = self.api()?;
        let user = User::register(&api.base, "overhead").await?;
        for (name, clip) in [
            ("a minute of 1080p", benches::repeated(3)),
            ("two seconds of 1080p", benches::beginning(2)),
        ] {
            let video = Bytes::from(std::fs::read(&clip)?);
            let (mut alone, mut in_cells, mut without, mut wholes) =
                (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for _ in 0..TIMES {
                let started = Instant::now();
                let status = Command::new(binary())
                    .arg("extract")
                    .arg(&clip)
                    .args(["-o", "-"])
                    .stdout(Stdio::null())
                    .status()?;
                assert!(status.success());
                alone.push(started.elapsed());
                for (isolation, attempts) in [("cell", &mut in_cells), ("none", &mut without)] {
                    let _worker =
                        Role::start(self.command("worker").env("WORKER_ISOLATION", isolation))?;
                    let id =
                        user.upload(&video, 1).await?["job_id"].as_str().ok_or("an id")?.to_owned();
                    user.all_done(1).await?;
                    let (_, job) = user.get(&format!("/videos/{id}")).await?;
                    attempts.push(Duration::from_secs_f64(
                        job["processing_time_seconds"].as_f64().ok_or("a time")?,
                    ));
                    if isolation == "cell" {
                        wholes.push(
                            (time(&job, "completed_at")? - time(&job, "created_at")?).to_std()?,
                        );
                    }
                    user.remove_all().await?;
                }
            }
            let [alone, in_cells, without, wholes] =
                [&mut alone, &mut in_cells, &mut without, &mut wholes]
                    .map(|times| median(times).as_secs_f64());
            println!("{name} by `fiapx extract`, thrown away: {alone:.3} s");
            println!(
                "  by a worker, from and to S3: {in_cells:.3} s ({:+.1}%)",
                (in_cells / alone - 1.0) * 100.0
            );
            println!(
                "  without a cell: {without:.3} s, so a cell costs {:+.1} ms",
                (in_cells - without) * 1000.0
            );
            println!("  accepted to DONE: {wholes:.3} s ({:+.1}%)", (wholes / alone - 1.0) * 100.0);
        }
        Ok(())
    }

    /// What a worker needs for one video at a time, however long it is.
    async fn worker_memory(&self) -> Result<()> {
        let api = self.api()?;
        let user = User::register(&api.base, "memory").await?;
        for (minutes, times) in [(1, 3), (10, 30)] {
            let worker = self.worker()?;
            let clip = Bytes::from(std::fs::read(benches::repeated(times))?);
            let started = Instant::now();
            user.upload(&clip, 1).await?;
            user.all_done(1).await?;
            let (took, peak) = (started.elapsed().as_secs_f64(), worker.peak_memory());
            println!(
                "{minutes} min of 1080p: {took:.1} s, memory of the worker at most: {}",
                megabytes(peak)
            );
            user.remove_all().await?;
        }
        Ok(())
    }
}

/// The sample clip, made so long by a box that players skip (ISO/IEC 14496-12, 8.1.2).
fn padded(length: usize) -> Result<Vec<u8>> {
    let mut video =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/sample.mp4"))?;
    let room = length.checked_sub(video.len()).ok_or("the clip is longer")?;
    video.extend_from_slice(&u32::try_from(room)?.to_be_bytes());
    video.extend_from_slice(b"free");
    video.resize(length, 0);
    Ok(video)
}

/// The store, without anything of ours.
fn client(garage: &Garage) -> Client {
    let credentials =
        Credentials::new(garage.access_key(), garage.secret_key(), None, None, "the bench");
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

/// Upload as the SDK's users do who want it fast.
async fn in_parts(store: &Client, bucket: &str, video: &Bytes) -> Result<()> {
    const PART: usize = 8 << 20;
    let (key, begun) =
        ("parts", store.create_multipart_upload().bucket(bucket).key("parts").send().await?);
    let id = begun.upload_id().ok_or("an upload has an id")?;
    let parts = (0..video.len().div_ceil(PART)).map(|index| async move {
        let part = video.slice(index * PART..((index + 1) * PART).min(video.len()));
        let request =
            store.upload_part().bucket(bucket).key(key).upload_id(id).part_number(index as i32 + 1);
        let sent = request.body(ByteStream::from(part)).send().await?;
        let part = CompletedPart::builder().part_number(index as i32 + 1).set_e_tag(sent.e_tag);
        Ok::<_, Box<dyn std::error::Error>>(part.build())
    });
    let parts: Vec<_> = stream::iter(parts).buffered(4).try_collect().await?;
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    store
        .complete_multipart_upload()
        .bucket(bucket)
        .key(key)
        .upload_id(id)
        .multipart_upload(parts)
        .send()
        .await?;
    Ok(())
}

fn time(job: &Value, name: &str) -> Result<chrono::DateTime<chrono::Utc>> {
    Ok(job[name].as_str().ok_or("a time")?.parse()?)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}
