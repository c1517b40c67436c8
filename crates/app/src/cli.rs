//! What can be said on the command line.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jobs::Recipe;
use jobs::recipe::{Interval, Selection};
use jobs::{FailureCode, JobId};

/// Turn videos into ZIP archives of their pictures.
#[derive(Debug, Parser)]
#[command(name = "fiapx", version = app::version::WORDS.as_str(), about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Turn one video into one archive, here and now.
    Extract(ExtractArguments),
    /// Tell what a video is and how large its archive would be.
    Probe(ProbeArguments),
    /// Run the whole service in this process: accounts, uploads, processing, downloads, mails.
    Serve(ServeArguments),
    /// Run the HTTP interface alone, on parts that other processes share.
    Api(ServeArguments),
    /// Run a worker alone, on parts that other processes share.
    Worker(ConfiguredArguments),
    /// Run the sending of mails alone, on parts that other processes share.
    Notifier(ConfiguredArguments),
    /// Bring the database's schema up to date. Safe to run twice.
    Migrate(ConfiguredArguments),
    /// Reach every configured part and say what is wrong.
    Check(CheckArguments),
    /// Look at jobs that failed, and put them back.
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Print the OpenAPI document, or a collection of requests for API clients that is made of it.
    Openapi(OpenapiArguments),
    /// Decode for a worker, which starts this and talks to it.
    #[command(hide = true)]
    Cell,
}

/// Arguments of `fiapx serve` and `fiapx api`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Where the service listens; 127.0.0.1:8000 by default.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where settings come from.
    #[command(flatten)]
    pub configured: ConfiguredArguments,
}

impl From<ConfiguredArguments> for ServeArguments {
    fn from(configured: ConfiguredArguments) -> Self {
        Self { listen: None, configured }
    }
}

/// Arguments of `fiapx check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Print all settings with their defaults, as a configuration file.
    #[arg(long)]
    pub defaults: bool,
    /// Ask the process that runs by these settings whether it is ready, instead of the parts.
    #[arg(long, conflicts_with = "defaults")]
    pub ready: bool,
    /// Where settings come from.
    #[command(flatten)]
    pub configured: ConfiguredArguments,
}

/// What operators do with jobs. The service may run meanwhile.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List the jobs that failed for good, the last first, and count the dead letters that the
    /// broker keeps.
    Failed(FailedArguments),
    /// Put jobs that failed back before the workers, once what they failed of is mended.
    Retry(RetryArguments),
}

/// Arguments of `fiapx jobs failed`.
#[derive(Debug, Args)]
pub struct FailedArguments {
    /// Only those that failed by this code.
    #[arg(long, value_name = "CODE", value_parser = code)]
    pub code: Option<FailureCode>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
    /// Where settings come from.
    #[command(flatten)]
    pub configured: ConfiguredArguments,
}

/// Arguments of `fiapx jobs retry`.
#[derive(Debug, Args)]
pub struct RetryArguments {
    /// The jobs.
    #[arg(value_name = "JOB_ID", required_unless_present = "code")]
    pub ids: Vec<JobId>,
    /// All that failed by this code and whose videos are still kept.
    #[arg(long, value_name = "CODE", value_parser = code, conflicts_with = "ids")]
    pub code: Option<FailureCode>,
    /// Where settings come from.
    #[command(flatten)]
    pub configured: ConfiguredArguments,
}

/// Arguments of `fiapx openapi`.
#[derive(Debug, Args)]
pub struct OpenapiArguments {
    /// In which form.
    #[arg(long, value_enum, default_value_t = DocumentFormat::Json)]
    pub format: DocumentFormat,
}

/// Forms of the OpenAPI document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DocumentFormat {
    /// The document itself.
    Json,
    /// A Postman collection, version 2.1.
    Postman,
    /// An .http file for REST Client of Visual Studio Code.
    Http,
}

/// Where settings come from: this file, then the environment, then flags.
#[derive(Debug, Args)]
pub struct ConfiguredArguments {
    /// A configuration file; `fiapx check --defaults` prints one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the embedded parts keep their data; ./data by default.
    #[arg(long, value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
}

/// Arguments of `fiapx extract`.
#[derive(Debug, Args)]
pub struct ExtractArguments {
    /// The video: .mp4 .mov .mkv .webm .avi .wmv .flv
    pub video: PathBuf,
    /// Where the archive goes; `-` is standard output. By default the video's name with .zip, in
    /// the current directory.
    #[arg(short, long, value_name = "OUT.zip")]
    pub output: Option<PathBuf>,
    /// Which pictures.
    #[command(flatten)]
    pub choice: Choice,
    /// Threads to work with; all cores by default.
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Print the result as one line of JSON.
    #[arg(long)]
    pub json: bool,
    /// Whether to show a progress bar.
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    pub progress: Progress,
}

/// Arguments of `fiapx probe`.
#[derive(Debug, Args)]
pub struct ProbeArguments {
    /// The video.
    pub video: PathBuf,
    /// Which pictures.
    #[command(flatten)]
    pub choice: Choice,
    /// Print the result as one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which pictures, and how small.
#[derive(Debug, Args)]
pub struct Choice {
    /// Seconds from picture to picture: 1, 0.5, 1/3.
    #[arg(long, default_value = "1", value_name = "SECONDS")]
    pub every: Interval,
    /// How hard to work on small archives; the pixels are the same.
    #[arg(long, value_enum, default_value_t = Compression::Fast)]
    pub compression: Compression,
}

impl Choice {
    /// The choice in the engine's terms.
    pub fn options(&self) -> frames::Options {
        frames::Options {
            recipe: Recipe { select: Selection::Every(self.every), ..Recipe::default() },
            compression: match self.compression {
                Compression::Fast => jobs::manifest::Compression::Fast,
                Compression::Balanced => jobs::manifest::Compression::Balanced,
                Compression::Small => jobs::manifest::Compression::Small,
            },
            ..frames::Options::default()
        }
    }
}

/// How hard to work on small archives.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Compression {
    /// Fast, and smaller than zlib's default on film.
    Fast,
    /// An eighth smaller on film, at twice the time.
    Balanced,
    /// A few percent smaller again, at six times the time.
    Small,
}

/// Whether to show a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// On a terminal.
    Auto,
    /// Not at all.
    Never,
}

/// A failure code by its name.
fn code(name: &str) -> Result<FailureCode, String> {
    let known = || FailureCode::ALL.iter().map(|code| code.name()).collect::<Vec<_>>().join(", ");
    name.parse().map_err(|unknown| format!("{unknown}: there are {}", known()))
}
