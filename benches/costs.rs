//! What one video costs each part of a service on PostgreSQL, RabbitMQ, S3 and Redis: processor
//! time, statements, bytes and requests. Run it with `make bench-servers`.
//!
//! Everything is counted by the servers themselves or by the kernel, over many videos, less what
//! the same processes do meanwhile when there are none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use benches::binary;
use benches::client::{Result, User};
use benches::role::Role;
use bytes::Bytes;
use servers::postgres::ShutdownMode;
use servers::{Garage, Postgres, RabbitMq, Redis};

/// For how long nothing is asked of the service, to see what it does anyway.
const IDLE: Duration = Duration::from_secs(20);
/// Clock ticks a second in /proc (proc(5); the same on all architectures that Linux still has).
const TICKS: f64 = 100.0;
/// Marks the statements of this program.
const OBSERVER: &str = "/* observer */";

fn main() -> Result<()> {
    // `cargo test --benches` asks for no measurement.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let (mut postgres, rabbitmq, garage, redis) =
        (Postgres::start(), RabbitMq::start(), Garage::start(), Redis::start());
    let database = postgres.create_database();
    ask(&database, "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")?;
    postgres.stop(ShutdownMode::Fast);
    postgres.start_again();
    ask(&database, "CREATE EXTENSION pg_stat_statements")?;
    let data = tempfile::tempdir()?;
    let environment = servers::environment(
        database.clone(),
        rabbitmq.url(),
        redis.url(),
        &garage,
        garage.bucket(),
    );
    let command = |words: &[&str]| {
        let mut command = Command::new(binary());
        command
            .args(words)
            .arg("--data-dir")
            .arg(data.path())
            .env_clear()
            .envs(environment.clone());
        command
    };
    assert!(command(&["migrate"]).status()?.success());
    let api = Role::start(&mut command(&["api", "--listen", "127.0.0.1:0"]))?;
    let _rest =
        [Role::start(&mut command(&["worker"]))?, Role::start(&mut command(&["notifier"]))?];
    let runtime = tokio::runtime::Runtime::new()?;
    let user = runtime.block_on(User::register(&api.base, "costs"))?;

    let observer = Observer { database, garage };
    let before = observer.look()?;
    std::thread::sleep(IDLE);
    let mut idle = observer.look()?.less(&before).over(IDLE.as_secs_f64());
    println!("an API, a worker and a notifier with nothing to do, a second:\n{}", idle.told());
    // Checkpoints and vacuums come when they come.
    idle.0.retain(|name, _| !name.starts_with("bytes"));
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/sample.mp4");
    for (what, clip, videos) in
        [("a clip of ten pictures", sample, 300), ("a minute of 1080p", benches::repeated(3), 10)]
    {
        let bytes = Bytes::from(std::fs::read(&clip)?);
        let (before, started) = (observer.look()?, Instant::now());
        for _ in 0..videos {
            runtime.block_on(user.upload(&bytes, 1))?;
        }
        observer.until_quiet()?;
        let took = started.elapsed().as_secs_f64();
        let cost = observer
            .look()?
            .less(&before)
            .less(&idle.clone().over(1.0 / took))
            .over(f64::from(videos));
        println!(
            "{what} ({:.2} MB), each of {videos} in {took:.1} s:\n{}",
            bytes.len() as f64 / 1e6,
            cost.told()
        );
    }
    Ok(())
}

/// Figures by their names.
#[derive(Clone)]
struct Figures(BTreeMap<String, f64>);

impl Figures {
    fn less(mut self, others: &Self) -> Self {
        for (name, other) in &others.0 {
            *self.0.entry(name.clone()).or_default() -= other;
        }
        self
    }

    fn over(mut self, divisor: f64) -> Self {
        self.0.values_mut().for_each(|figure| *figure /= divisor);
        self
    }

    fn told(&self) -> String {
        let lines = self
            .0
            .iter()
            .filter(|(_, figure)| figure.abs() >= 0.0005)
            .map(|(name, figure)| format!("{figure:14.3}  {name}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

struct Observer {
    database: String,
    garage: Garage,
}

impl Observer {
    /// Everything that is counted, so far.
    fn look(&self) -> Result<Figures> {
        let mut figures = processor_seconds()?;
        let counted = ask(
            &self.database,
            &format!(
                "SELECT 'statements ' || lower(substring(query FROM '^\\w+(?: INTO \"\\w+\")?')), sum(calls) FROM pg_stat_statements \
                 WHERE query NOT LIKE '%observer%' GROUP BY 1 \
                 UNION ALL SELECT 'bytes of rows and indexes: ' || relname, pg_total_relation_size(relid) FROM pg_stat_user_tables \
                 UNION ALL SELECT 'bytes of write-ahead log', pg_current_wal_lsn() - '0/0' {OBSERVER}"
            ),
        )?;
        for line in counted.lines() {
            let (name, figure) = line.split_once('|').ok_or("a name and a figure")?;
            figures.insert(name.to_owned(), figure.parse()?);
        }
        // Lines such as `... INFO garage_api_common::generic_server: 127.0.0.1:40000 (key GK...)
        // PUT /bucket/key?partNumber=1&...`.
        for line in self.garage.log().lines() {
            let mut words = line
                .split_whitespace()
                .skip_while(|word| !["GET", "PUT", "POST", "DELETE", "HEAD"].contains(word));
            let (Some(method), Some(target)) = (words.next(), words.next()) else { continue };
            let query = target.split_once('?').map(|(_, query)| query).unwrap_or_default();
            let kind = query
                .split('&')
                .filter_map(|part| part.split('=').next())
                .collect::<Vec<_>>()
                .join(" ");
            *figures
                .entry(format!("requests to S3: {method} {kind}").trim_end().to_owned())
                .or_default() += 1.0;
        }
        Ok(Figures(figures))
    }

    /// Wait until every job is over, every outcome told and every message handed out; asking once a
    /// second is cheap.
    fn until_quiet(&self) -> Result<()> {
        let left = format!(
            "SELECT (SELECT count(*) FROM jobs WHERE status NOT IN ('DONE', 'FAILED')) \
             + (SELECT count(*) FROM jobs) - (SELECT count(*) FROM notifications WHERE sent_at IS NOT NULL) {OBSERVER}"
        );
        while ask(&self.database, &left)?.trim() != "0" {
            std::thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    }
}

/// Ask PostgreSQL; lines of columns with bars between them.
fn ask(database: &str, statement: &str) -> Result<String> {
    let answer = Command::new("psql")
        .args(["--no-psqlrc", "--tuples-only", "--no-align", "--command", statement, database])
        .output()?;
    if !answer.status.success() {
        return Err(String::from_utf8_lossy(&answer.stderr).into_owned().into());
    }
    Ok(String::from_utf8(answer.stdout)?)
}

/// Processor seconds that each program which this one has started has used so far, with its
/// children that have ended (proc(5)).
fn processor_seconds() -> Result<BTreeMap<String, f64>> {
    let mut processes = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Ok(number) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let path = |name: &str| -> PathBuf { entry.path().join(name) };
        // One that has ended meanwhile counts for its parent.
        let (Ok(stat), Ok(words)) =
            (std::fs::read_to_string(path("stat")), std::fs::read_to_string(path("cmdline")))
        else {
            continue;
        };
        let Some((name, fields)) =
            stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") "))
        else {
            continue;
        };
        let fields: Vec<f64> =
            fields.split(' ').map(|field| field.parse().unwrap_or_default()).collect();
        let role = if name == "fiapx" { words.split('\0').nth(1).unwrap_or_default() } else { "" };
        processes.insert(
            number,
            (
                fields[1] as u32,
                format!("{name} {role}"),
                fields[11..15].iter().sum::<f64>() / TICKS,
            ),
        );
    }
    let mut seconds = BTreeMap::new();
    for (number, (_, name, used)) in &processes {
        let mut ancestors = std::iter::successors(Some(*number), |number| {
            processes.get(number).map(|(parent, ..)| *parent)
        });
        if *number != std::process::id() && ancestors.any(|ancestor| ancestor == std::process::id())
        {
            *seconds.entry(format!("processor seconds: {}", name.trim_end())).or_default() += used;
        }
    }
    Ok(seconds)
}
