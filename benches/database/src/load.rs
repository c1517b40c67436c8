//! Periodic load of many processes, measured as processor time of the server.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use database::Database;
use futures_util::future::try_join_all;
use servers::Postgres;
use tokio::time::{MissedTickBehavior, interval_at};

use crate::calls::{CALLS, Call, Subjects};

/// Duration of the measurement.
const LASTING: Duration = Duration::from_mins(1);

/// What the periodic calls of many processes cost.
#[derive(Debug)]
pub struct Load {
    /// Calls per second.
    pub calls: f64,
    /// Processors that the server used, including parsing and commits.
    pub cores: f64,
}

/// Make all periodic calls as often as [`PROCESSES`](crate::calls::PROCESSES) processes of each
/// role. `subjects` are those of each worker.
///
/// # Errors
/// A call fails.
pub async fn measure(
    server: &Postgres,
    url: &str,
    databases: &[Database],
    subjects: &[Subjects],
) -> Result<Load> {
    /// Calls per second that are made one after the other.
    const MAX_RATE: f64 = 20.0;
    let mut loops = Vec::new();
    for call in CALLS {
        let Some(rate) = call.repeated.per_second() else { continue };
        let count = (rate / MAX_RATE).ceil();
        let period = Duration::from_secs_f64(count / rate);
        for number in 0..count as u32 {
            let start = period.mul_f64((f64::from(number) + 0.5) / count);
            let database = &databases[loops.len() % databases.len()];
            loops.push(repeat(call, start, period, database, subjects));
        }
    }
    let (before, began) = (processor_time(server, url)?, Instant::now());
    let calls: u64 = try_join_all(loops).await?.into_iter().sum();
    let seconds = began.elapsed().as_secs_f64();
    let used = processor_time(server, url)? - before;
    Ok(Load { calls: calls as f64 / seconds, cores: used / seconds })
}

/// Repeat a call and return how often it was made.
async fn repeat(
    call: &Call,
    start: Duration,
    period: Duration,
    database: &Database,
    subjects: &[Subjects],
) -> Result<u64> {
    let began = tokio::time::Instant::now();
    let mut ticks = interval_at(began + start, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut count = 0;
    for worker in subjects.iter().cycle() {
        let end = tokio::time::sleep_until(began + LASTING);
        tokio::select! {
            _ = ticks.tick() => {}
            () = end => break,
        }
        (call.run)(database, worker).await.with_context(|| call.name.to_owned())?;
        count += 1;
    }
    Ok(count)
}

/// Processor time of all processes of the server so far, in seconds.
fn processor_time(server: &Postgres, url: &str) -> Result<f64> {
    /// Unit of the times in proc(5).
    const TICKS_PER_SECOND: f64 = 100.0;
    let file = server.execute(url, "SELECT pg_read_file('postmaster.pid')");
    let parent = file.lines().next().context("the file begins with the process id")?.trim();
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc")? {
        // Other processes may end meanwhile.
        let Ok(status) = std::fs::read_to_string(entry?.path().join("stat")) else { continue };
        let Some((id, rest)) = status.split_once(" (") else { continue };
        let Some((_, rest)) = rest.rsplit_once(") ") else { continue };
        // From the third on: state, parent, and from the 14th on: times in user and system mode,
        // and those of children that have ended.
        let fields: Vec<&str> = rest.split(' ').collect();
        let times = if id == parent {
            &fields[11..15]
        } else if fields[1] == parent {
            &fields[11..13]
        } else {
            continue;
        };
        ticks += times.iter().map(|field| field.parse().unwrap_or(0)).sum::<u64>();
    }
    Ok(ticks as f64 / TICKS_PER_SECOND)
}
