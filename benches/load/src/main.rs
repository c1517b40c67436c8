//! Load generator: uploads videos to a service at a rate, watches them, downloads their archives
//! and reports the outcome of each (`make load`).
//!
//! It uses only the public HTTP interface. Uploads start at scheduled times, independently of the
//! service (an open loop), and times are measured from the scheduled time, so a service that stalls
//! is not measured less often while it does (coordinated omission).

// In dependency order: a module uses only modules above it.
mod archive;
mod client;
mod schedule;
mod local_service;
mod upload;
mod run;
mod report;
mod abuse;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use url::Url;

use abuse::AbuseArguments;
use client::User;
use local_service::{LocalService, RAISED_LIMITS};
use report::Report;
use run::Run;
use schedule::{Arrivals, schedule};
use upload::Clip;

/// Upload videos to a service at a rate, watch them, download their archives, and account for every
/// one.
///
/// The exit status is 0 if every accepted video had the expected outcome, and 1 if one did not or
/// none was accepted.
#[derive(Debug, Parser)]
#[command(name = "load", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Base URL of the service, such as http://localhost:8000. The run creates users and videos
    /// there, and mails are sent to addresses at example.com. It has to run with
    /// `ACCOUNTS_CONFIRM=false`, because nobody confirms these addresses. Without a URL, a service
    /// is started for the duration of the run, on loopback and in an empty directory.
    #[arg(long)]
    url: Option<Url>,
    /// Program of the service that the run starts.
    #[arg(long, value_name = "FIAPX", default_value = "target/release/fiapx")]
    program: PathBuf,
    /// Setting of the service that the run starts, with its name in the environment.
    #[arg(long = "set", value_name = "NAME=VALUE", conflicts_with = "url")]
    settings: Vec<String>,
    /// Mean number of uploads per second.
    #[arg(long, value_name = "PER SECOND", default_value_t = 5.0)]
    rate: f64,
    /// Distribution of the uploads over time.
    #[arg(long, value_enum, default_value_t = Arrivals::Poisson)]
    arrivals: Arrivals,
    /// Seed of the schedule. The same seed repeats the same schedule.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of seconds during which uploads start.
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Number of users, who upload in turns.
    #[arg(long, default_value_t = 4)]
    users: usize,
    /// Videos to upload, in turns.
    #[arg(long, value_name = "FILE", num_args = 1.., default_value = "fixtures/sample.mp4")]
    clips: Vec<PathBuf>,
    /// Further videos to upload in turns, whose jobs have to fail.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    failing: Vec<PathBuf>,
    /// Number of seconds after the last upload within which everything has to finish.
    #[arg(long, value_name = "SECONDS", default_value_t = 120.0)]
    drain: f64,
    /// Print the report as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Another kind of run.
#[derive(Debug, Subcommand)]
enum Command {
    Abuse(AbuseArguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    raise_descriptor_limit();
    let result =
        tokio::runtime::Runtime::new().context("cannot start threads").and_then(|runtime| {
            runtime.block_on(async {
                match &arguments.command {
                    Some(Command::Abuse(arguments)) => abuse::run(arguments).await,
                    None => run_and_report(&arguments).await,
                }
            })
        });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Ignore a closed stderr.
            let _ = writeln!(std::io::stderr(), "load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Execute the run and print its report. Return whether every video is accounted for.
async fn run_and_report(arguments: &Arguments) -> Result<bool> {
    ensure!(arguments.rate > 0.0 && arguments.rate.is_finite(), "--rate must be above zero");
    ensure!(arguments.users > 0, "--users must be above zero");
    let duration = duration_of("--seconds", arguments.seconds)?;
    let drain = duration_of("--drain", arguments.drain)?;
    let succeeding = arguments.clips.iter().map(|path| Clip::read(path, false));
    let failing = arguments.failing.iter().map(|path| Clip::read(path, true));
    let clips = succeeding.chain(failing).collect::<Result<Vec<_>>>()?;
    // It runs until the end of this function.
    let local_service;
    let base: Arc<str> = if let Some(url) = &arguments.url {
        url.as_str().trim_end_matches('/').into()
    } else {
        local_service =
            LocalService::start(&arguments.program, &RAISED_LIMITS, &arguments.settings)?;
        local_service.base().into()
    };

    let http = client::http_client()?;
    let mut users = Vec::new();
    for number in 0..arguments.users {
        users.push(Arc::new(User::register(&http, &base, number).await?));
    }
    let schedule = schedule(arguments.arrivals, arguments.rate, duration, arguments.seed);
    eprintln!("uploading {} videos to {base} in {} s", schedule.len(), arguments.seconds);
    let report = Report::new(&Run { users, clips }.execute(&schedule, duration, drain).await);
    let output = if arguments.json { report.json().to_string() } else { report.table() };
    writeln!(std::io::stdout(), "{output}").context("cannot write to standard output")?;
    let problems = report.problems();
    for problem in &problems {
        eprintln!("load: {problem}");
    }
    Ok(problems.is_empty())
}

fn duration_of(argument: &str, seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .with_context(|| format!("{argument} must be a number of seconds, at least zero"))
}

/// Raise the limit of open descriptors of this process, and of a service that it starts, to the
/// system's maximum: each video in progress holds a connection.
fn raise_descriptor_limit() {
    if let Ok((_, hard_limit)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // With the lower limit, the report lists connections that could not be opened.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard_limit, hard_limit);
    }
}
