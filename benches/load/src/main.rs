//! Sends videos to a service at a rate, watches them, fetches their archives, and accounts for
//! every one: `make load`.
//!
//! It knows the service by its public HTTP interface alone. Arrivals come as they were planned,
//! whatever the service does (an open loop), and what they take is measured from the planned moment
//! on, so that a service that stands still is not measured less often for it (coordinated
//! omission).

mod archive;
mod client;
mod drive;
mod own;
mod plan;
mod report;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use url::Url;

use client::User;
use drive::{Clip, Drive};
use own::Own;
use plan::Arrivals;
use report::Report;

/// Send videos to a service at a rate, watch them, fetch their archives, and account for every one.
///
/// The exit status is 0 when every accepted video came to its right end, and 1 when one did not, or
/// none was accepted.
#[derive(Debug, Parser)]
#[command(name = "load")]
struct Arguments {
    /// The service, such as http://localhost:8000. It gets new users, their videos, and has mails
    /// sent to addresses at example.com. Without it, one is started for the time of the run, on
    /// loopback and in an empty directory.
    #[arg(long)]
    url: Option<Url>,
    /// The command that the run's own service is started from.
    #[arg(long, value_name = "FIAPX", default_value = "target/release/fiapx")]
    program: PathBuf,
    /// A setting of the run's own service, by its name in the environment.
    #[arg(long = "set", value_name = "NAME=VALUE", conflicts_with = "url")]
    settings: Vec<String>,
    /// Uploads a second.
    #[arg(long, value_name = "PER SECOND", default_value_t = 5.0)]
    rate: f64,
    /// How uploads follow each other.
    #[arg(long, value_enum, default_value_t = Arrivals::Poisson)]
    arrivals: Arrivals,
    /// Repeats the same arrivals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For how many seconds uploads begin.
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// How many users take turns at uploading.
    #[arg(long, default_value_t = 4)]
    users: usize,
    /// Videos to send, in turns.
    #[arg(long, value_name = "FILE", num_args = 1.., default_value = "fixtures/sample.mp4")]
    clips: Vec<PathBuf>,
    /// Videos to send in turns with these, which have to fail.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    failing: Vec<PathBuf>,
    /// Seconds after the last upload's beginning within which everything has to be over.
    #[arg(long, value_name = "SECONDS", default_value_t = 120.0)]
    drain: f64,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = tokio::runtime::Runtime::new()
        .context("cannot start threads")
        .and_then(|runtime| runtime.block_on(run(&arguments)));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Whoever closed the error output does not want to know.
            let _ = writeln!(std::io::stderr(), "load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Gives whether every video is accounted for.
async fn run(arguments: &Arguments) -> Result<bool> {
    ensure!(arguments.rate > 0.0 && arguments.rate.is_finite(), "--rate has to be above zero");
    ensure!(arguments.users > 0, "--users has to be above zero");
    let [seconds, drain] =
        [("--seconds", arguments.seconds), ("--drain", arguments.drain)].map(|(name, seconds)| {
            Duration::try_from_secs_f64(seconds)
                .with_context(|| format!("{name} has to be a number of seconds"))
        });
    let (seconds, drain) = (seconds?, drain?);
    let good = arguments.clips.iter().map(|path| Clip::read(path, false));
    let failing = arguments.failing.iter().map(|path| Clip::read(path, true));
    let clips = good.chain(failing).collect::<Result<Vec<_>>>()?;
    many_connections();
    let own = if arguments.url.is_none() {
        Some(Own::start(&arguments.program, &arguments.settings)?)
    } else {
        None
    };
    let base = arguments
        .url
        .as_ref()
        .map_or_else(|| own.as_ref().map(|own| own.base().to_owned()), |url| Some(url.to_string()));
    let base: Arc<str> = base.context("there is a service")?.trim_end_matches('/').into();

    let http = client::http()?;
    let mut users = Vec::new();
    for number in 0..arguments.users {
        users.push(Arc::new(User::register(&http, &base, number).await?));
    }
    let plan = plan::moments(arguments.arrivals, arguments.rate, seconds, arguments.seed);
    eprintln!("sending {} videos to {base} in {} s", plan.len(), arguments.seconds);
    let drive = Drive { users, clips };
    let report = Report::of(&drive.run(&plan, seconds, drain).await);
    let line = if arguments.json { report.json().to_string() } else { report.table() };
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")?;
    for complaint in report.complaints() {
        eprintln!("load: {complaint}");
    }
    Ok(report.complaints().is_empty())
}

/// Let this process, and a service that it starts, have as many connections as the system allows:
/// each video that waits has one.
fn many_connections() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // With fewer the run still begins, and tells of each connection that could not be made.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}
