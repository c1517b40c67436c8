//! Cost of one video for each part of a service on PostgreSQL, RabbitMQ, S3 and Redis: processor
//! time, SQL statements, bytes and requests. Run with `make bench-servers`.
//!
//! The servers and the kernel count everything, over many videos. What the same processes use while
//! idle is subtracted.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use benches::binary;
use benches::client::{Result, User};
use benches::role::Role;
use bytes::Bytes;
use servers::postgres::ShutdownMode;
use servers::{Garage, Postgres, RabbitMq, Redis};

/// Duration of the measurement of the idle service.
const IDLE: Duration = Duration::from_secs(20);
/// Clock ticks per second in /proc (`USER_HZ`, proc(5); 100 on all architectures of Linux).
const TICKS_PER_SECOND: f64 = 100.0;
/// Comment that marks the SQL statements of this program.
const OBSERVER: &str = "/* observer */";

fn main() -> Result<()> {
    // `cargo test --benches` runs this without the argument and must not measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let (mut postgres, rabbitmq, garage, redis) =
        (Postgres::start(), RabbitMq::start(), Garage::start(), Redis::start());
    let database = postgres.create_database();
    query(&database, "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")?;
    postgres.stop(ShutdownMode::Fast);
    postgres.start_again();
    query(&database, "CREATE EXTENSION pg_stat_statements")?;
    let data = tempfile::tempdir()?;
    let environment = servers::environment(
        database.clone(),
        rabbitmq.url(),
        redis.url(),
        &garage,
        garage.bucket(),
    );
    let command = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(data.path())
            .env_clear()
            .envs(environment.clone());
        command
    };
    assert!(command(&["migrate"]).status()?.success());
    let api = Role::start(&mut command(&["api", "--listen", "127.0.0.1:0"]))?;
    let _other_roles =
        [Role::start(&mut command(&["worker"]))?, Role::start(&mut command(&["notifier"]))?];
    let runtime = tokio::runtime::Runtime::new()?;
    let user = runtime.block_on(User::register(&api.base, "costs"))?;
    Measurement { observer: Observer { database, garage }, runtime, user }.run()
}

/// A running service and what observes it.
struct Measurement {
    observer: Observer,
    runtime: tokio::runtime::Runtime,
    user: User,
}

impl Measurement {
    /// Measure the idle service, then the cost of small and large videos, and print both.
    fn run(&self) -> Result<()> {
        let mut idle = self.measure_idle()?;
        println!("API, worker and notifier while idle, per second:\n{}", idle.table());
        // Checkpoints and vacuums run at any time.
        idle.0.retain(|name, _| !name.starts_with("bytes"));
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/sample.mp4");
        self.measure_videos("a clip of ten frames", &sample, 300, &idle)?;
        self.measure_videos("a minute of 1080p", &benches::repeated(3), 10, &idle)
    }

    /// Counts of the idle service per second.
    fn measure_idle(&self) -> Result<Counts> {
        let before = self.observer.counts()?;
        std::thread::sleep(IDLE);
        Ok(self.observer.counts()?.minus(&before).divided_by(IDLE.as_secs_f64()))
    }

    /// Upload a clip `videos` times and print the counts of one upload.
    fn measure_videos(&self, name: &str, clip: &Path, videos: u32, idle: &Counts) -> Result<()> {
        let clip = Bytes::from(std::fs::read(clip)?);
        let (before, started) = (self.observer.counts()?, Instant::now());
        for _ in 0..videos {
            self.runtime.block_on(self.user.upload(&clip, 1))?;
        }
        self.observer.wait_until_finished()?;
        let seconds = started.elapsed().as_secs_f64();
        let costs = self
            .observer
            .counts()?
            .minus(&before)
            .minus(&idle.clone().divided_by(1.0 / seconds))
            .divided_by(f64::from(videos));
        let megabytes = clip.len() as f64 / 1e6;
        println!(
            "{name} ({megabytes:.2} MB), each of {videos} in {seconds:.1} s:\n{}",
            costs.table()
        );
        Ok(())
    }
}

/// Counts by name.
#[derive(Clone)]
struct Counts(BTreeMap<String, f64>);

impl Counts {
    fn minus(mut self, other: &Self) -> Self {
        for (name, count) in &other.0 {
            *self.0.entry(name.clone()).or_default() -= count;
        }
        self
    }

    fn divided_by(mut self, divisor: f64) -> Self {
        self.0.values_mut().for_each(|count| *count /= divisor);
        self
    }

    fn table(&self) -> String {
        let lines = self
            .0
            .iter()
            .filter(|(_, count)| count.abs() >= 0.0005)
            .map(|(name, count)| format!("{count:14.3}  {name}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Reads the counters of the servers and the kernel.
struct Observer {
    database: String,
    garage: Garage,
}

impl Observer {
    /// All counts so far.
    fn counts(&self) -> Result<Counts> {
        let mut counts = processor_seconds()?;
        let statements = format!(
            "SELECT 'statements ' || lower(substring(query FROM '^\\w+(?: INTO \"\\w+\")?')), \
             sum(calls) FROM pg_stat_statements WHERE query NOT LIKE '%observer%' GROUP BY 1 \
             UNION ALL SELECT 'bytes of rows and indexes: ' || relname, \
             pg_total_relation_size(relid) FROM pg_stat_user_tables \
             UNION ALL SELECT 'bytes of write-ahead log', pg_current_wal_lsn() - '0/0' {OBSERVER}"
        );
        for line in query(&self.database, &statements)?.lines() {
            let (name, count) = line.split_once('|').ok_or("psql printed no second column")?;
            counts.insert(name.to_owned(), count.parse()?);
        }
        for name in self.garage.log().lines().filter_map(request_name) {
            *counts.entry(name).or_default() += 1.0;
        }
        Ok(Counts(counts))
    }

    /// Wait until every job is finished and every mail is sent.
    fn wait_until_finished(&self) -> Result<()> {
        let unfinished = format!(
            "SELECT (SELECT count(*) FROM jobs WHERE status NOT IN ('DONE', 'FAILED')) \
             + (SELECT count(*) FROM jobs) \
             - (SELECT count(*) FROM notifications WHERE sent_at IS NOT NULL) {OBSERVER}"
        );
        while query(&self.database, &unfinished)?.trim() != "0" {
            // One query per second hardly changes the result.
            std::thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    }
}

/// Name of the request that a line of Garage's log is about: its method and the names of its query
/// parameters. Such a line is `... INFO garage_api_common::generic_server: 127.0.0.1:40000
/// (key GK...) PUT /bucket/key?partNumber=1&...`.
fn request_name(line: &str) -> Option<String> {
    const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "HEAD"];
    let mut words = line.split_whitespace().skip_while(|word| !METHODS.contains(word));
    let (method, target) = (words.next()?, words.next()?);
    let query = target.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let parameters: Vec<&str> =
        query.split('&').filter_map(|parameter| parameter.split('=').next()).collect();
    let name = format!("requests to S3: {method} {}", parameters.join(" "));
    Some(name.trim_end().to_owned())
}

/// Run an SQL statement in PostgreSQL. Returns one line per row, with columns separated by `|`.
fn query(database: &str, statement: &str) -> Result<String> {
    let output = Command::new("psql")
        .args(["--no-psqlrc", "--tuples-only", "--no-align", "--command", statement, database])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A running process.
struct Process {
    parent: u32,
    /// Name of the program, and the subcommand of `fiapx`.
    name: String,
    /// Processor time that it and its exited children have used.
    seconds: f64,
}

/// Processor time that the programs started by this one have used so far, by program (proc(5)).
fn processor_seconds() -> Result<BTreeMap<String, f64>> {
    let mut processes = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        // The time of a process that has exited in the meantime is part of its parent's.
        if let Some(process) = read_process(&entry.path()) {
            processes.insert(id, process);
        }
    }
    let mut seconds = BTreeMap::new();
    let own_id = std::process::id();
    for (id, process) in &processes {
        let mut ancestors =
            std::iter::successors(Some(*id), |id| processes.get(id).map(|process| process.parent));
        if *id != own_id && ancestors.any(|ancestor| ancestor == own_id) {
            *seconds.entry(format!("processor seconds: {}", process.name)).or_default() +=
                process.seconds;
        }
    }
    Ok(seconds)
}

/// Read a process from its directory in /proc.
fn read_process(directory: &Path) -> Option<Process> {
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).ok();
    let (stat, command_line) = (read("stat")?, read("cmdline")?);
    // The name is in parentheses and may itself contain some.
    let (name, fields) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") "))?;
    let fields: Vec<f64> =
        fields.split(' ').map(|field| field.parse().unwrap_or_default()).collect();
    let role = command_line.split('\0').nth(1).filter(|_| name == "fiapx").unwrap_or_default();
    Some(Process {
        parent: *fields.get(1)? as u32,
        name: format!("{name} {role}").trim_end().to_owned(),
        // utime, stime, cutime and cstime.
        seconds: fields.get(11..15)?.iter().sum::<f64>() / TICKS_PER_SECOND,
    })
}
