//! `fiapx probe`: properties of a video and a forecast of its archive.

use anyhow::Result;
use indicatif::DecimalBytes;

use super::console::print;
use super::video;
use crate::cli::ProbeArguments;

/// Describe one video.
pub(super) fn run(arguments: &ProbeArguments) -> Result<()> {
    let path = &arguments.video;
    let options = arguments.engine.options()?;
    let source = video::open(path)?;
    let forecast =
        frames::probe(source, &options).map_err(|error| video::describe_error(path, &error))?;
    if arguments.json {
        return print(&serde_json::to_string(&forecast)?);
    }
    let video = &forecast.source;
    let duration =
        video.duration_s.map_or("unknown duration".to_owned(), |seconds| format!("{seconds:.2} s"));
    let frames =
        forecast.frames.map_or("unknown number of".to_owned(), |frames| frames.to_string());
    let size = forecast
        .zip_bytes
        .map_or("unknown size".to_owned(), |bytes| format!("about {}", DecimalBytes(bytes)));
    print(&format!(
        "{}: {} in {}, {}x{} {}, {duration}\n{frames} frames, {size}",
        path.display(),
        video.codec,
        video.container,
        video.width,
        video.height,
        video.pixel_format,
    ))
}
