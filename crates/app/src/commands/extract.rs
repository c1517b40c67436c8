//! `fiapx extract`: one video to one archive.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};

use super::console::{print, print_error};
use super::existing;
use super::output::Output;
use super::video;
use crate::cli::{ExtractArguments, Progress};

/// Extract the frames of one video.
pub(super) fn run(arguments: &ExtractArguments) -> Result<()> {
    let path = &arguments.video;
    let name = arguments.output.clone().unwrap_or_else(|| default_output(path));
    if arguments.json && name == Path::new("-") {
        bail!("--json and the archive cannot both go to standard output: name a file with -o");
    }
    let mut options = arguments.engine.options()?;
    options.threads = threads(arguments.threads);

    let source = video::open(path)?;
    let may_replace = || arguments.force || existing::is_archive_of(&name, path, &options);
    let mut output = Output::open(&name, path, may_replace)?;
    let stop = options.stop.clone();
    ctrlc::set_handler(move || stop.cancel()).context("cannot install a signal handler")?;

    let started = Instant::now();
    let bar = progress_bar(arguments.progress);
    let result = frames::extract(source, output.writer(), &options, |progress| {
        bar.set_length(progress.expected.unwrap_or(progress.done).max(progress.done));
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    let report = result.map_err(|error| video::describe_error(path, &error))?;
    output.finish()?;

    let elapsed = started.elapsed().as_secs_f64();
    print_warnings(path, &report);
    if arguments.json {
        let mut line = serde_json::to_value(&report)?;
        line["elapsed_s"] = elapsed.into();
        return print(&line.to_string());
    }
    if name == Path::new("-") {
        return Ok(());
    }
    let (frames, size) = (report.frames, DecimalBytes(report.zip_bytes));
    print(&format!("{}: {frames} frames, {size}, {elapsed:.2} s", name.display()))
}

/// Return the number of threads for a requested number, which is at most the number of cores.
fn threads(requested: Option<NonZeroUsize>) -> NonZeroUsize {
    let cores = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let Some(requested) = requested else { return cores };
    if requested > cores {
        print_error(&format!(
            "fiapx: --threads {requested} is reduced to {cores}, the number of available cores"
        ));
    }
    requested.min(cores)
}

/// Return the name of the video with the suffix `.zip`, in the current directory.
fn default_output(video: &Path) -> PathBuf {
    Path::new(video.file_name().unwrap_or("frames".as_ref())).with_extension("zip")
}

fn progress_bar(progress: Progress) -> ProgressBar {
    let template = "{wide_bar} {pos}/{len} frames, {per_sec:.0}, {eta} left";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(None, progress.target()).with_style(style)
}

fn print_warnings(video: &Path, report: &frames::Report) {
    let video = video.display();
    for warning in &report.warnings {
        print_error(&format!("fiapx: {video}: warning: {warning}"));
    }
    if !report.complete {
        print_error(&format!(
            "fiapx: {video}: warning: the video is damaged: {} of {} frames were extracted; \
             manifest.json lists missing and damaged frames",
            report.frames, report.expected
        ));
    }
}
