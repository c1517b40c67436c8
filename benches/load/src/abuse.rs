//! Fifty hostile users beside an honest one (`make abuse`).
//!
//! The service has its default limits, with one process for the API and the worker. Each user has
//! a network address of their own, 127.0.x.y. The honest user does what the page does: upload a
//! video, wait for it, look at all thumbnails, and download the archive.

// In dependency order.
mod outcomes;
mod raw;
mod attacks;
mod honest;

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::Args;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use crate::client::{self, User};
use crate::local_service::LocalService;
use attacks::{Attack, Attacker};
use honest::{Round, Step};
use outcomes::Outcomes;

/// Settings of the service. The honest user downloads more often than a person does.
const SETTINGS: [(&str, &str); 1] = [("LIMIT_DOWNLOADS_PER_MINUTE", "1000")];
/// Maximum rounds of the honest user, who must not reach the limit of jobs per hour.
const MAX_ROUNDS: u32 = 150;

/// Rounds of the honest user before the attack.
const ROUNDS_BEFORE: usize = 8;

/// Let hostile users attack a service, and measure how much longer an honest one waits.
///
/// The exit status is 0 if no step of the honest user takes more than three times as long, none
/// fails, and the memory of the service stays within its limit.
#[derive(Debug, Args)]
pub struct AbuseArguments {
    /// Program of the service that is attacked.
    #[arg(long, value_name = "FIAPX", default_value = "target/release/fiapx")]
    program: PathBuf,
    /// Setting of the service, with its name in the environment.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Number of seconds of the attack.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Number of hostile users.
    #[arg(long, default_value_t = 50)]
    users: usize,
    /// Attacks of the hostile users, in turns.
    #[arg(long, value_enum, num_args = 1.., default_values_t = Attack::ALL)]
    attacks: Vec<Attack>,
    /// Video of the honest user.
    #[arg(long, value_name = "FILE", default_value = "fixtures/sample.mp4")]
    clip: PathBuf,
    /// Maximum memory of the service without its cells, in megabytes: the limit of compose.yml.
    #[arg(long, default_value_t = 1000)]
    memory_mb: u64,
    /// Maximum ratio of the times during the attack and before it.
    #[arg(long, default_value_t = 3.0)]
    ratio: f64,
}

/// Time that a ratio of short times does not count: one scheduling of a busy machine.
const NOISE: Duration = Duration::from_millis(50);

/// Attack a service and print the report. Return whether the limits are kept.
pub async fn run(arguments: &AbuseArguments) -> Result<bool> {
    ensure!(!arguments.attacks.is_empty(), "--attacks names none");
    ensure!(arguments.seconds > 0, "--seconds must be above zero");
    let clip: Bytes = std::fs::read(&arguments.clip)
        .with_context(|| format!("cannot read {}", arguments.clip.display()))?
        .into();
    let service = LocalService::start(&arguments.program, &SETTINGS, &arguments.settings)?;
    let (base, target) = (Arc::<str>::from(service.base()), service.address()?);
    let honest = register(&base, address(0), 0).await?;

    let mut before = Vec::new();
    for _ in 0..ROUNDS_BEFORE {
        before.push(honest::round(&honest, &clip).await.context("before the attack")?);
    }
    let memory_before = service.memory()?;
    eprintln!("attacking with {} users for {} s", arguments.users, arguments.seconds);
    let outcomes = Arc::new(Outcomes::default());
    let (mut attackers, theirs) = (JoinSet::new(), runtime_of_attackers()?);
    for number in 1..=arguments.users {
        let attack = arguments.attacks[number % arguments.attacks.len()];
        let (address, base) = (address(number), Arc::clone(&base));
        let (outcomes, clip) = (Arc::clone(&outcomes), clip.clone());
        let work = async move {
            let user = register(&base, address, number).await?;
            Attacker { user, address, target, clip, outcomes }.prepare_and_run(attack).await
        };
        attackers.spawn_on(work, theirs.handle());
    }
    let duration = Duration::from_secs(arguments.seconds);
    let (end, mut pace) = (Instant::now() + duration, interval(duration / MAX_ROUNDS));
    let (mut during, mut failures) = (Vec::new(), Vec::new());
    while Instant::now() < end {
        pace.tick().await;
        match honest::round(&honest, &clip).await {
            Ok(round) => during.push(round),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    // An attacker that has ended did not attack.
    while let Some(ended) = attackers.try_join_next() {
        failures.push(format!("an attack ended: {:?}", ended.map(Result::err)));
    }
    attackers.shutdown().await;
    theirs.shutdown_background();
    let memory = service.memory()?;
    println!("{}", outcomes.table());
    println!("{}", table(&before, &during));
    println!(
        "memory of the service: {} MB before, at most {} MB, limit {} MB",
        memory_before / 1_000_000,
        memory / 1_000_000,
        arguments.memory_mb
    );
    let mut problems = failures;
    if memory > arguments.memory_mb * 1_000_000 {
        problems.push("the service used more memory than its limit".to_owned());
    }
    if during.is_empty() {
        problems.push("the honest user finished nothing during the attack".to_owned());
    }
    for step in Step::ALL {
        let (one, other) = (median(&before, step), median(&during, step));
        if other > one.mul_f64(arguments.ratio) + NOISE {
            problems.push(format!(
                "{} took more than {} times as long",
                step.name(),
                arguments.ratio
            ));
        }
    }
    for problem in &problems {
        eprintln!("abuse: {problem}");
    }
    Ok(problems.is_empty())
}

/// Threads for the attackers, whose own work would take place on other machines: it has the lowest
/// priority, and does not delay the honest user's.
fn runtime_of_attackers() -> Result<Runtime> {
    /// Lowest priority (sched(7)).
    const NICENESS: i32 = 19;
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.enable_all().on_thread_start(|| {
        // On Linux it applies to the calling thread only. Raising the value is always permitted.
        let _ = rustix::process::nice(NICENESS);
    });
    threads.build().context("cannot start threads for the attackers")
}

/// Loopback address of a user.
fn address(number: usize) -> IpAddr {
    Ipv4Addr::new(127, 0, 1 + (number / 250) as u8, 1 + (number % 250) as u8).into()
}

async fn register(base: &Arc<str>, address: IpAddr, number: usize) -> Result<Arc<User>> {
    let http = client::http_client_from(address)?;
    Ok(Arc::new(User::register(&http, base, number).await?))
}

fn sorted(rounds: &[Round], step: Step) -> Vec<Duration> {
    let mut times: Vec<Duration> = rounds.iter().map(|round| round.time(step)).collect();
    times.sort();
    times
}

fn median(rounds: &[Round], step: Step) -> Duration {
    let times = sorted(rounds, step);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Times of the honest user, in milliseconds.
fn table(before: &[Round], during: &[Round]) -> String {
    let mut table = format!(
        "{:<12}{:>10}{:>10}{:>10}{:>8}   ({} rounds before, {} during)",
        "honest user",
        "before",
        "during",
        "maximum",
        "ratio",
        before.len(),
        during.len()
    );
    for step in Step::ALL {
        let (one, other) = (median(before, step), median(during, step));
        let maximum = sorted(during, step).last().copied().unwrap_or_default();
        let ratio = other.as_secs_f64() / one.as_secs_f64();
        let milliseconds = [one, other, maximum].map(|time| time.as_millis());
        let [one, other, maximum] = milliseconds;
        // Writing to a string cannot fail.
        let _ =
            write!(table, "\n{:<12}{one:>8}ms{other:>8}ms{maximum:>8}ms{ratio:>8.1}", step.name());
    }
    table
}
