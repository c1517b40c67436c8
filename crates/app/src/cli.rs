//! Command line of `fiapx`.

mod recipe_arguments;
mod progress_argument;
mod remote_arguments;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Result;
use clap::builder::TypedValueParser;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use jobs::{FailureCode, JobId};

pub use progress_argument::Progress;
pub use recipe_arguments::{Compression, EngineArguments, RecipeArguments, UsageError};
pub use remote_arguments::{
    AgainArguments, DownloadArguments, JobArguments, JobStatus, ListArguments, LoginArguments,
    RemoteArguments, RemoteCommand, UploadArguments, WatchArguments,
};

use crate::settings::{self, Needs, Overrides, Settings};
use crate::version;

/// Colours of help and errors on a terminal: those of cargo.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Extract frames from videos into ZIP archives.
#[derive(Debug, Parser)]
#[command(name = "fiapx", version = version::LONG_VERSION.as_str(), about, styles = STYLES)]
pub struct Cli {
    /// Subcommand to run.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands of `fiapx`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Extract the frames of videos into ZIP archives.
    Extract(ExtractArguments),
    /// Show the properties of a video, and the expected number of frames and archive size.
    Probe(ProbeArguments),
    /// Use a service: upload videos, follow their jobs and download the archives.
    Remote(RemoteArguments),
    /// Run the whole service in one process: page, HTTP interface, worker and notifier.
    Serve(ServeArguments),
    /// Run the HTTP interface alone, on shared servers.
    Api(ServeArguments),
    /// Run a worker alone, on shared servers.
    Worker(ConfiguredArguments),
    /// Run the sending of mails alone, on shared servers.
    Notifier(ConfiguredArguments),
    /// Update the database schema. Safe to run repeatedly.
    Migrate(ConfiguredArguments),
    /// Validate the settings and test the connection to every part.
    Check(CheckArguments),
    /// List failed jobs and queue them again.
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// List, disable, enable, sign out and delete users.
    #[command(subcommand)]
    Users(UsersCommand),
    /// Mark the file store as that of the database, and delete unknown files.
    #[command(subcommand)]
    Storage(StorageCommand),
    /// Print the OpenAPI document, or a request collection generated from it.
    Openapi(OpenapiArguments),
    /// Print a script that completes the arguments of this command in a shell.
    Completions(CompletionsArguments),
    /// Write the manual pages of this command to a directory.
    Man(ManArguments),
    /// Decode videos for a worker. Started by the worker only.
    #[command(hide = true)]
    Cell,
}

/// Arguments of `fiapx serve` and `fiapx api`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Address and port to listen on [default: 127.0.0.1:8000].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Sources of the settings.
    #[command(flatten)]
    pub configured: ConfiguredArguments,
}

impl ServeArguments {
    /// Load the settings with the secrets that the process needs.
    ///
    /// # Errors
    /// See [`settings::load`].
    pub fn settings(&self, needs: Needs) -> Result<Settings> {
        load(&self.configured, self.listen, needs)
    }
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
    /// Query the readiness of the process that runs with these settings, instead of the parts.
    #[arg(long, conflicts_with = "defaults")]
    pub ready: bool,
    /// Sources of the settings.
    #[command(flatten)]
    pub configured: ConfiguredArguments,
}

/// Subcommands of `fiapx jobs`. They may run while the service runs.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List failed jobs, most recent first, and count the dead letters in the broker.
    Failed(FailedArguments),
    /// Queue failed jobs again, after the cause of the failure has been fixed.
    Retry(RetryArguments),
    /// List jobs whose rows this version cannot read, and which maintenance leaves alone.
    Quarantined(ConfiguredArguments),
}

/// Arguments of `fiapx jobs failed`.
#[derive(Debug, Args)]
pub struct FailedArguments {
    /// List only jobs with this failure code.
    #[arg(long, value_name = "CODE", value_parser = code)]
    pub code: Option<FailureCode>,
    /// Maximum number of jobs to list.
    #[arg(long, value_name = "N", default_value = "100", value_parser = limit())]
    pub limit: u32,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
    /// Sources of the settings.
    #[command(flatten)]
    pub configured: ConfiguredArguments,
}

/// Arguments of `fiapx jobs retry`.
#[derive(Debug, Args)]
pub struct RetryArguments {
    /// Ids of the jobs.
    #[arg(value_name = "JOB_ID", required_unless_present = "code")]
    pub ids: Vec<JobId>,
    /// Queue all jobs with this failure code whose videos are still stored.
    #[arg(long, value_name = "CODE", value_parser = code, conflicts_with = "ids")]
    pub code: Option<FailureCode>,
    /// Sources of the settings.
    #[command(flatten)]
    pub configured: ConfiguredArguments,
}

/// Subcommands of `fiapx users`. They may run while the service runs.
#[derive(Debug, Subcommand)]
pub enum UsersCommand {
    /// List all users in the order of their registration.
    List(ListUsersArguments),
    /// Disable a user: sessions end, and the user cannot log in.
    Disable(UserArguments),
    /// Enable a disabled user.
    Enable(UserArguments),
    /// End all sessions of a user, who can log in again. API keys stay valid.
    SignOut(UserArguments),
    /// Delete all API keys of a user, who can create others.
    DeleteKeys(UserArguments),
    /// Turn the second factor of a user off, who has lost it with all recovery codes.
    RemoveSecondFactor(UserArguments),
    /// Delete a user with all jobs and files. Running jobs are stopped. This cannot be undone.
    Delete(UserArguments),
}

/// Arguments of `fiapx users list`.
#[derive(Debug, Args)]
pub struct ListUsersArguments {
    /// Print one line of JSON for each user.
    #[arg(long)]
    pub json: bool,
    /// Sources of the settings.
    #[command(flatten)]
    pub configured: ConfiguredArguments,
}

/// Arguments of the subcommands of `fiapx users` for one user.
#[derive(Debug, Args)]
pub struct UserArguments {
    /// Address that the user registered with.
    #[arg(value_name = "EMAIL")]
    pub email: String,
    /// Sources of the settings.
    #[command(flatten)]
    pub configured: ConfiguredArguments,
}

/// Subcommands of `fiapx storage`. They may run while the service runs.
#[derive(Debug, Subcommand)]
pub enum StorageCommand {
    /// Declare that the file store belongs to the database. The sweep deletes files only where this
    /// is known, and a service with a new store declares it by itself.
    Adopt(AdoptArguments),
    /// Delete the files that no job refers to and that are older than a day, as the service does
    /// every hour.
    Sweep(SweepArguments),
}

/// Arguments of `fiapx storage adopt`.
#[derive(Debug, Args)]
pub struct AdoptArguments {
    /// Also adopt a store of whose files the database knows none.
    #[arg(short, long)]
    pub force: bool,
    /// Sources of the settings.
    #[command(flatten)]
    pub configured: ConfiguredArguments,
}

/// Arguments of `fiapx storage sweep`.
#[derive(Debug, Args)]
pub struct SweepArguments {
    /// Also delete if more than a tenth of the files are unknown.
    #[arg(long)]
    pub delete_unknown: bool,
    /// Sources of the settings.
    #[command(flatten)]
    pub configured: ConfiguredArguments,
}

/// Arguments of `fiapx openapi`.
#[derive(Debug, Args)]
pub struct OpenapiArguments {
    /// Output format.
    #[arg(long, value_enum, default_value_t = DocumentFormat::Json)]
    pub format: DocumentFormat,
}

/// Arguments of `fiapx completions`.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// Shell that reads the script.
    #[arg(value_enum)]
    pub shell: CompletedShell,
}

/// Shells with completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompletedShell {
    /// `source <(fiapx completions bash)`
    Bash,
    /// `source <(fiapx completions zsh)`, after `compinit`
    Zsh,
    /// `fiapx completions fish | source`
    Fish,
}

/// Arguments of `fiapx man`.
#[derive(Debug, Args)]
pub struct ManArguments {
    /// Directory, such as ~/.local/share/man/man1. It is created if it does not exist.
    #[arg(value_name = "DIRECTORY")]
    pub directory: PathBuf,
}

/// Output formats of `fiapx openapi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DocumentFormat {
    /// The OpenAPI document.
    Json,
    /// A Postman collection, version 2.1.
    Postman,
    /// An .http file for the REST Client extension of Visual Studio Code.
    Http,
}

/// Sources of the settings. The environment overrides the file, and flags override both.
#[derive(Debug, Args)]
pub struct ConfiguredArguments {
    /// Configuration file in TOML; `fiapx check --defaults` prints one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory for the data of embedded parts [default: ./data].
    #[arg(long, value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
}

impl ConfiguredArguments {
    /// Load the settings.
    ///
    /// # Errors
    /// See [`settings::load`].
    pub fn settings(&self) -> Result<Settings> {
        self.settings_for(Needs::ALL)
    }

    /// Load the settings with some of the secrets only.
    ///
    /// # Errors
    /// See [`settings::load`].
    pub fn settings_for(&self, needs: Needs) -> Result<Settings> {
        load(self, None, needs)
    }
}

/// Load the settings from the configuration file, the environment of the process, and the flags.
fn load(
    configured: &ConfiguredArguments,
    listen: Option<SocketAddr>,
    needs: Needs,
) -> Result<Settings> {
    let overrides = Overrides { listen, data_dir: configured.data_dir.clone() };
    let variable = |name: &str| std::env::var(name).ok();
    settings::load_for(needs, configured.config.as_deref(), variable, overrides)
}

/// Arguments of `fiapx extract`.
#[derive(Debug, Args)]
pub struct ExtractArguments {
    /// Video files: .mp4 .mov .mkv .webm .avi .wmv .flv
    ///
    /// Each gets an archive of its own, one after the other. If one fails, the others are continued
    /// with.
    #[arg(value_name = "VIDEO", required = true)]
    pub videos: Vec<PathBuf>,
    /// Archive to write, of a single video; `-` is standard output [default: name of the video with
    /// .zip, in the current directory].
    ///
    /// An existing file is replaced only if it is empty, or an archive of the same video: one that
    /// fiapx wrote from a file with the same size in bytes, container, codec, width and height. It
    /// is kept if the extraction fails.
    #[arg(short, long, value_name = "OUT.zip")]
    pub output: Option<PathBuf>,
    /// Replace any existing file.
    #[arg(short, long)]
    pub force: bool,
    /// Frame selection and compression.
    #[command(flatten)]
    pub engine: EngineArguments,
    /// Number of threads [default: number of cores]. A higher number than that of the available
    /// cores is reduced to it.
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Print the result as one line of JSON, for each video.
    #[arg(long)]
    pub json: bool,
    /// When to show a progress bar.
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    pub progress: Progress,
}

/// Arguments of `fiapx probe`.
#[derive(Debug, Args)]
pub struct ProbeArguments {
    /// Video file.
    pub video: PathBuf,
    /// Frame selection and compression.
    #[command(flatten)]
    pub engine: EngineArguments,
    /// Print the result as one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Parser of a limit, which is at least 1.
fn limit() -> impl TypedValueParser<Value = u32> {
    clap::value_parser!(u32).range(1..)
}

/// Parse the name of a failure code.
fn code(name: &str) -> Result<FailureCode, String> {
    let known = || FailureCode::ALL.iter().map(|code| code.name()).collect::<Vec<_>>().join(", ");
    name.parse().map_err(|unknown| format!("{unknown}: the codes are {}", known()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Format the help of a command and of all its subcommands.
    fn help(command: &mut clap::Command) -> String {
        let name = command.get_bin_name().unwrap_or("fiapx").to_owned();
        let own = format!("$ {name} --help\n{}", command.render_long_help());
        let subcommands = command.get_subcommands_mut().map(help);
        [own].into_iter().chain(subcommands).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn documents_every_command() {
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        insta::assert_snapshot!("help", help(&mut command));
    }
}
