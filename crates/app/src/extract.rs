//! `fiapx extract`: one video to one archive.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::{ExtractArguments, Progress};
use crate::output::Output;
use crate::video;

/// Extract the pictures of one video.
pub fn run(arguments: &ExtractArguments) -> Result<()> {
    let path = &arguments.video;
    let name = arguments.output.clone().unwrap_or_else(|| default_output(path));
    if arguments.json && name == Path::new("-") {
        bail!("--json and the archive cannot both go to standard output: name a file with -o");
    }
    let mut options = arguments.choice.options();
    options.threads = arguments.threads.unwrap_or(options.threads);

    let source = video::open(path)?;
    let mut output = Output::open(&name, path)?;
    let stop = options.stop.clone();
    ctrlc::set_handler(move || stop.cancel()).context("cannot listen for signals")?;

    let started = Instant::now();
    let bar = progress_bar(arguments.progress);
    let result = frames::extract(source, output.writer(), &options, |progress| {
        bar.set_length(progress.expected.unwrap_or(progress.done).max(progress.done));
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    let report = result.map_err(|error| video::explain(path, &error))?;
    output.finish()?;

    let elapsed = started.elapsed().as_secs_f64();
    for warning in &report.warnings {
        eprintln_quietly(&format!("fiapx: {}: warning: {warning}", path.display()));
    }
    if !report.complete {
        let missing = format!(
            "{} of {} pictures; the manifest names what is missing or damaged",
            report.frames, report.expected
        );
        eprintln_quietly(&format!(
            "fiapx: {}: warning: the video is damaged: {missing}",
            path.display()
        ));
    }
    if arguments.json {
        let mut line = serde_json::to_value(&report)?;
        line["elapsed_s"] = elapsed.into();
        return print(&line.to_string());
    }
    if name == Path::new("-") {
        return Ok(());
    }
    let (frames, size) = (report.frames, HumanBytes(report.zip_bytes));
    print(&format!("{}: {frames} pictures, {size}, {elapsed:.2} s", name.display()))
}

/// The video's name with another suffix, in the current directory.
fn default_output(video: &Path) -> PathBuf {
    Path::new(video.file_name().unwrap_or("frames".as_ref())).with_extension("zip")
}

fn progress_bar(progress: Progress) -> ProgressBar {
    let target = match progress {
        Progress::Auto => ProgressDrawTarget::stderr(),
        Progress::Never => ProgressDrawTarget::hidden(),
    };
    let form = "{wide_bar} {pos}/{len} pictures, {per_sec:.0}, {eta} left";
    let style = ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(None, target).with_style(style)
}

fn print(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}

/// A closed error output must not turn a finished archive into a failure.
fn eprintln_quietly(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
