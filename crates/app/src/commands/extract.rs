//! `fiapx extract`: each video to one archive.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Instant;

use anyhow::{Result, bail};
use indicatif::{DecimalBytes, ProgressBar, ProgressState, ProgressStyle};
use jobs::{Language, Warning};

use super::console::{print, print_error};
use super::existing;
use super::output::Output;
use super::signals::Interruption;
use super::video;
use crate::cli::{ExtractArguments, Progress, UsageError};

/// Extract the frames of each video. A video that fails is reported, and the others are continued
/// with.
pub(super) fn run(arguments: &ExtractArguments) -> Result<()> {
    let archives = archives(&arguments.videos, arguments.output.as_deref())?;
    if arguments.json && archives.iter().any(|name| name == Path::new("-")) {
        bail!("--json and the archive cannot both go to standard output: name a file with -o");
    }
    let mut options = arguments.engine.options()?;
    options.threads = threads(arguments.threads);
    let stop = options.stop.clone();
    let interruption = Interruption::watch(move || stop.cancel())?;

    let videos = &arguments.videos;
    let mut failed = 0;
    for (video, archive) in videos.iter().zip(&archives) {
        let extracted = extract(video, archive, arguments, &options);
        let Err(error) = extracted else { continue };
        if let Some(interrupted) = interruption.signal() {
            return Err(anyhow::Error::new(interrupted).context(video.display().to_string()));
        }
        if videos.len() == 1 {
            return Err(error);
        }
        print_error(&format!("fiapx: {error:#}"));
        failed += 1;
    }
    if failed > 0 {
        bail!("{failed} of {} videos failed", videos.len());
    }
    Ok(())
}

/// Return the name of the archive of each video: `output` for a single one, otherwise that of the
/// video.
fn archives(videos: &[PathBuf], output: Option<&Path>) -> Result<Vec<PathBuf>, UsageError> {
    let Some(output) = output else {
        let archives: Vec<_> = videos.iter().map(|video| default_output(video)).collect();
        check_distinct(videos, &archives)?;
        return Ok(archives);
    };
    if videos.len() > 1 {
        return Err(UsageError::new(
            "-o names the archive of one video: leave it out, and each archive is named after its \
             video",
        ));
    }
    Ok(vec![output.to_owned()])
}

/// Check that no two videos have the same archive.
fn check_distinct(videos: &[PathBuf], archives: &[PathBuf]) -> Result<(), UsageError> {
    let mut video_of = HashMap::new();
    for (video, archive) in videos.iter().zip(archives) {
        if let Some(other) = video_of.insert(archive, video) {
            return Err(UsageError::new(format!(
                "{} and {} would both become {}: extract them one at a time, and name the archives \
                 with -o",
                other.display(),
                video.display(),
                archive.display()
            )));
        }
    }
    Ok(())
}

/// Extract the frames of one video to the archive `name`, and print the result.
fn extract(
    path: &Path,
    name: &Path,
    arguments: &ExtractArguments,
    options: &frames::Options,
) -> Result<()> {
    let source = video::open(path)?;
    let may_replace = || arguments.force || existing::is_archive_of(name, path, options);
    let mut output = Output::open(name, path, may_replace)?;

    let started = Instant::now();
    let bar = progress_bar(arguments.progress);
    let result = frames::extract(source, output.writer(), options, |progress| {
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
        line["warnings"] = report.warnings.iter().map(in_english).collect();
        line["video"] = path.to_string_lossy().into();
        line["archive"] = name.to_string_lossy().into();
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
    // What follows a colon in a template is a style: a number would be a colour.
    let template = "{wide_bar} {pos}/{len} frames, {rate}, {eta} left";
    let rate = |state: &ProgressState, text: &mut dyn fmt::Write| {
        // The text of a bar is written to memory, which does not fail.
        let _ = write!(text, "{:.0} frames/s", state.per_sec());
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(None, progress.target()).with_style(style.with_key("rate", rate))
}

/// Text of a warning in the language of the command.
fn in_english(warning: &Warning) -> String {
    warning.text(Language::En)
}

fn print_warnings(video: &Path, report: &frames::Report) {
    let video = video.display();
    for warning in &report.warnings {
        let warning = in_english(warning);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_named_after_their_videos() {
        let named = |videos: &[&str], output: Option<&str>| {
            let videos: Vec<PathBuf> = videos.iter().map(PathBuf::from).collect();
            let named = archives(&videos, output.map(Path::new));
            let text = |path: &PathBuf| path.display().to_string();
            named.map(|names| names.iter().map(text).collect::<Vec<_>>())
        };
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let two = named(&["a/one.mp4", "two.of.mine.mkv"], None).expect("two names");
        assert_eq!(two, names(&["one.zip", "two.of.mine.zip"]));
        let one = named(&["a/one.mp4"], Some("b/other.zip")).expect("a name");
        assert_eq!(one, names(&["b/other.zip"]));
        for (videos, output, message) in [
            (["a/one.mp4", "b/one.mov"], None, "would both become one.zip"),
            (["one.mp4", "two.mp4"], Some("both.zip"), "-o names the archive of one video"),
            (["one.mp4", "two.mp4"], Some("-"), "-o names the archive of one video"),
        ] {
            let error = named(&videos, output).expect_err("no names");
            assert!(error.to_string().contains(message), "{error}");
        }
    }
}
