//! Arguments of `fiapx remote`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jobs::JobId;
use remote::Server;

use super::progress_argument::Progress;
use super::recipe_arguments::RecipeArguments;

/// End of the help of `fiapx remote`.
const ENVIRONMENT: &str = "\
Environment:
  FIAPX_API_KEY    Key to use instead of the stored one
  FIAPX_URL        URL of the service, unless --server is given
  XDG_CONFIG_HOME  Directory below which `login` stores keys [default: ~/.config]
  SSL_CERT_FILE    Certificates that are trusted instead of those of the system

Exit status:
  0    Success
  1    Failure, also of the processing of a video that was waited for
  2    Wrong usage
  3    The service cannot be reached, or reports a passing failure: try again later
  4    No API key, or one that is invalid, has expired or lacks a scope: log in
  130  Interrupted by Ctrl-C. Jobs continue, and downloads can be continued";

/// Subcommands of `fiapx remote`.
#[derive(Debug, Args)]
#[command(after_help = ENVIRONMENT, subcommand_required = true, arg_required_else_help = true)]
pub struct RemoteArguments {
    /// URL of the service [default: FIAPX_URL, else the one that was logged in to last].
    #[arg(long, value_name = "URL", global = true)]
    pub server: Option<Server>,
    /// Print one line of JSON for each result.
    #[arg(long, global = true)]
    pub json: bool,
    /// When to show progress bars.
    #[arg(long, value_enum, default_value_t = Progress::Auto, global = true)]
    pub progress: Progress,
    /// Subcommand to run.
    #[command(subcommand)]
    pub command: RemoteCommand,
}

/// Subcommands of `fiapx remote`.
#[derive(Debug, Subcommand)]
pub enum RemoteCommand {
    /// Create an API key with e-mail address and password, and store it for the other commands.
    ///
    /// Input that is not from a terminal is read by lines: e-mail address (unless --email is
    /// given), password, and the codes of the second factor, if the account has one. The key
    /// permits reading and writing videos, and is stored in a file that only you can read.
    Login(LoginArguments),
    /// Delete the stored API key, at the service as well.
    Logout,
    /// Upload videos, and optionally wait for their archives and download them.
    Upload(UploadArguments),
    /// Follow jobs until they are finished.
    Watch(WatchArguments),
    /// List the newest jobs.
    List(ListArguments),
    /// Show jobs.
    Show(JobArguments),
    /// Download archives. An interrupted download is continued by the same command.
    Download(DownloadArguments),
    /// Process the stored videos of jobs again, with another recipe or the same one.
    Again(AgainArguments),
    /// Cancel jobs that are not finished.
    Cancel(JobArguments),
    /// Delete finished jobs with their videos and archives.
    Delete(JobArguments),
}

/// Arguments of `fiapx remote login`.
#[derive(Debug, Args)]
pub struct LoginArguments {
    /// E-mail address of the account.
    #[arg(long, value_name = "EMAIL")]
    pub email: Option<String>,
}

/// Arguments of `fiapx remote upload`.
#[derive(Debug, Args)]
pub struct UploadArguments {
    /// Video files: .mp4 .mov .mkv .webm .avi .wmv .flv
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Wait until the jobs are finished.
    #[arg(long)]
    pub wait: bool,
    /// Wait, and download the archives into this directory.
    #[arg(long, value_name = "DIRECTORY")]
    pub download: Option<PathBuf>,
    /// Replace existing files when downloading.
    #[arg(short, long, requires = "download")]
    pub force: bool,
    /// Frame selection.
    #[command(flatten)]
    pub recipe: RecipeArguments,
}

/// Arguments of `fiapx remote watch`.
#[derive(Debug, Args)]
pub struct WatchArguments {
    /// Ids of the jobs [default: all that are not finished].
    #[arg(value_name = "JOB_ID")]
    pub ids: Vec<JobId>,
}

/// States of jobs, as the service names them.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum JobStatus {
    /// Waiting for a worker.
    Queued,
    /// Being processed, or waiting for another attempt.
    Processing,
    /// The archive is available.
    Done,
    /// Processing failed.
    Failed,
    /// Cancelled by the user.
    Cancelled,
    /// The archive was deleted at the end of its retention period.
    Expired,
}

impl JobStatus {
    /// Name in the HTTP API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Processing => "PROCESSING",
            Self::Done => "DONE",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Expired => "EXPIRED",
        }
    }
}

/// Arguments of `fiapx remote list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Maximum number of jobs to list.
    #[arg(long, value_name = "N", default_value = "20")]
    pub limit: NonZeroUsize,
    /// List only jobs in this state.
    #[arg(long, value_enum)]
    pub status: Option<JobStatus>,
}

/// Arguments of commands for jobs.
#[derive(Debug, Args)]
pub struct JobArguments {
    /// Ids of the jobs.
    #[arg(required = true, value_name = "JOB_ID")]
    pub ids: Vec<JobId>,
}

/// Arguments of `fiapx remote download`.
#[derive(Debug, Args)]
pub struct DownloadArguments {
    /// Ids of the jobs.
    #[arg(required = true, value_name = "JOB_ID")]
    pub ids: Vec<JobId>,
    /// File, for one archive, or an existing directory [default: name of the video with .zip, in
    /// the current directory].
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Replace existing files.
    #[arg(short, long)]
    pub force: bool,
}

/// Arguments of `fiapx remote again`.
#[derive(Debug, Args)]
pub struct AgainArguments {
    /// Ids of jobs of the videos.
    #[arg(required = true, value_name = "JOB_ID")]
    pub ids: Vec<JobId>,
    /// Frame selection.
    #[command(flatten)]
    pub recipe: RecipeArguments,
}
