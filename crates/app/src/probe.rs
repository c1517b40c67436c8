//! `fiapx probe`: what a video is, and what its archive would be.

use std::io::Write;

use anyhow::{Context, Result};
use indicatif::HumanBytes;

use crate::cli::ProbeArguments;
use crate::video;

/// Describe one video.
pub fn run(arguments: &ProbeArguments) -> Result<()> {
    let path = &arguments.video;
    let source = video::open(path)?;
    let forecast = frames::probe(source, &arguments.choice.options())
        .map_err(|error| video::explain(path, &error))?;
    let mut output = std::io::stdout();
    let written = if arguments.json {
        writeln!(output, "{}", serde_json::to_string(&forecast)?)
    } else {
        let video = &forecast.source;
        let duration = video
            .duration_s
            .map_or("of unknown duration".to_owned(), |seconds| format!("{seconds:.2} s"));
        let frames =
            forecast.frames.map_or("an unknown number of".to_owned(), |frames| frames.to_string());
        let size = forecast
            .zip_bytes
            .map_or("unknown size".to_owned(), |bytes| format!("about {}", HumanBytes(bytes)));
        writeln!(
            output,
            "{}: {} in {}, {}x{} {}, {duration}\n{frames} pictures, {size}",
            path.display(),
            video.codec,
            video.container,
            video.width,
            video.height,
            video.pixel_format,
        )
    };
    written.context("cannot write to standard output")
}
