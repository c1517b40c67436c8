//! Plans and times of the statements that the service repeats, on a large PostgreSQL database
//! (`make bench-database`).
//!
//! It fills a database of its own server with jobs, makes each call of the service several times,
//! and reads from the server's log what the statements cost. So the statements are those of the
//! code, and new ones are found without a change here.

// In dependency order: a module uses only modules above it.
mod fill;
mod plans;
mod calls;
mod load;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use database::claim::NextJob;
use database::renewal::Renewal;
use database::{Database, Rules};
use jobs::{Clock, JobId, UserId};
use servers::Postgres;
use uuid::Uuid;

use calls::{CALLS, PROCESSES, Subjects};
use fill::Sizes;
use plans::Log;
use report::{Measured, Report};

/// Measure the statements that the service repeats, on a large PostgreSQL database.
///
/// The exit status is 1 if a periodic statement takes too long or reads all jobs, or if the
/// periodic load of many processes is too large.
#[derive(Debug, Parser)]
#[command(name = "bench-database")]
struct Arguments {
    /// Number of jobs that wait or run.
    #[arg(long, default_value_t = 1_000_000)]
    live: u64,
    /// Number of jobs that have ended; about 0.6 kB each.
    #[arg(long, default_value_t = 10_000_000)]
    finished: u64,
    /// Number of users.
    #[arg(long, default_value_t = 10_000)]
    users: u64,
    /// Number of times that each call is made.
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
    /// Maximum duration of a periodic statement, in milliseconds.
    #[arg(long, default_value_t = 20.0)]
    limit_ms: f64,
    /// Maximum load of the server by the periodic calls of 100 processes of each role, in cores.
    #[arg(long, default_value_t = 1.0)]
    limit_cores: f64,
    /// File that receives the slowest plan of each statement.
    #[arg(long, value_name = "FILE")]
    plans: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let server = Postgres::start();
    let url = server.create_database();
    for setting in ["shared_buffers = '1GB'", "max_wal_size = '1GB'", "wal_level = minimal"] {
        server.execute(&url, &format!("ALTER SYSTEM SET {setting}"));
    }
    server.execute(&url, "ALTER SYSTEM SET max_wal_senders = 0");
    measure(server, &url, &arguments)
}

#[tokio::main]
async fn measure(mut server: Postgres, url: &str, arguments: &Arguments) -> Result<ExitCode> {
    server.stop(servers::postgres::ShutdownMode::Fast);
    server.start_again();
    let secret = url.into();
    let connect = || Database::postgres(&secret, Clock::default(), Rules::default());
    connect().await?.migrate().await?;
    let sizes =
        Sizes { live: arguments.live, finished: arguments.finished, users: arguments.users };
    check_disk(&server, sizes)?;
    let began = std::time::Instant::now();
    fill::fill(&server, url, sizes);
    println!(
        "{} live and {} finished jobs, filled in {:.0} s",
        sizes.live,
        sizes.finished,
        began.elapsed().as_secs_f64()
    );
    println!("{}", server.execute(url, TABLE_SIZES));
    let workers = subjects(&server, url, &connect().await?).await?;
    let databases = [connect().await?, connect().await?, connect().await?, connect().await?];
    let load = load::measure(&server, url, &databases, &workers).await?;
    drop(databases);

    plans::log_plans(&server, url);
    let mut log = Log::open(&server.log_path())?;
    let database = connect().await?;
    let mut report = Report::default();
    for call in CALLS {
        for repetition in 0..=arguments.repetitions {
            log.read()?;
            let result = (call.run)(&database, &workers[0]).await;
            // The first call plans its statements and reads their pages from the disk.
            if repetition > 0 || result.is_err() {
                let executed = log.read()?;
                report.add(Measured { call, executed, error: result.err() });
            }
        }
    }
    if let Some(file) = &arguments.plans {
        std::fs::write(file, report.plans()).context("cannot write the plans")?;
    }
    print!("{}", report.table());
    println!("the same, measured: {:.0} calls per second, {:.2} cores", load.calls, load.cores);
    let mut faults = report.faults(arguments.limit_ms);
    if load.cores > arguments.limit_cores {
        faults.push(format!("the periodic load uses {:.2} cores", load.cores));
    }
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Refuse to fill the disk of everybody else on the machine.
fn check_disk(server: &Postgres, sizes: Sizes) -> Result<()> {
    /// Rows and indexes of a job.
    const BYTES_PER_JOB: u64 = 600;
    /// Write-ahead log, and space for others.
    const BESIDES: u64 = 3_000_000_000;
    let log = server.log_path();
    let disk = nix::sys::statvfs::statvfs(log.parent().context("the log is in a directory")?)?;
    let free = disk.blocks_available() * disk.fragment_size();
    let needed = (sizes.live + sizes.finished) * BYTES_PER_JOB + BESIDES;
    ensure!(
        free >= needed,
        "{} has {} MB free, but {} MB are needed; choose fewer jobs with --finished, or another \
         disk with TMPDIR",
        log.display(),
        free / 1_000_000,
        needed / 1_000_000
    );
    Ok(())
}

/// Sizes of the largest tables, with their indexes.
const TABLE_SIZES: &str = "SELECT relname, pg_size_pretty(pg_table_size(relid)) AS rows, \
     pg_size_pretty(pg_indexes_size(relid)) AS indexes FROM pg_stat_user_tables \
     ORDER BY pg_total_relation_size(relid) DESC LIMIT 6";

/// Choose what the calls of each worker refer to, and claim jobs for all its slots.
async fn subjects(server: &Postgres, url: &str, database: &Database) -> Result<Vec<Subjects>> {
    /// Number of slots of a worker.
    const SLOTS: usize = 8;
    // The first ones that were not announced again: like in a queue, those that run were announced
    // before those that wait.
    let ids = server.execute(
        url,
        "SELECT id FROM jobs WHERE waiting_since < now() AND invited_at = created_at \
         ORDER BY waiting_since LIMIT 70000",
    );
    let ids = ids.lines().map(|line| Ok(JobId(line.parse()?)));
    let watched = ids.collect::<Result<Arc<[_]>>>()?;
    let user = server.execute(url, "SELECT min(id::text) FROM users");
    let user = UserId(user.trim().parse()?);
    let mut workers = Vec::new();
    for slots in watched.chunks(SLOTS).take(PROCESSES as usize) {
        let mut renewals = Vec::new();
        for id in slots {
            let NextJob::Claimed(claim) = database.claim(*id, "bench").await? else {
                bail!("no job waits");
            };
            renewals.push(Renewal { claim: *claim, done: 7, expected: Some(60) });
        }
        let (watched, process) = (Arc::clone(&watched), Uuid::now_v7());
        workers.push(Subjects { renewals, watched, user, process });
    }
    Ok(workers)
}
