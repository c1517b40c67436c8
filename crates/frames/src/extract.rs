//! Extraction: runs the steps in parallel. The calling thread reads, a pool of threads decodes and
//! encodes, and another thread writes the archive.

use std::io::Write;
use std::sync::mpsc;

use jobs::Warning;
use jobs::recipe::Selection;
use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::archive::Archive;
use crate::av::{DemuxError, Demuxer, OpenedStream, StreamInfo};
use crate::context::StreamContext;
use crate::error::Error;
use crate::flow::{Failure, Flow};
use crate::guide::Guide;
use crate::limits::Stop;
use crate::mode::{Mode, Reading};
use crate::options::{Decoding, Options, Progress, Report};
use crate::reader::{Input, ReadSummary, Reader};
use crate::rendering::Renderer;
use crate::select::selector;
use crate::sheets::Sheets;
use crate::source::{GuardedReader, OpenedSource, ReadError, SharedSource, Source};
use crate::span::{SharedResources, WriterMessage};
use crate::time::{MICROSECONDS, rescale};
use crate::timing::Timing;
use crate::writer::{ArchiveForm, Writer};

/// Extract frames from `source` and write their archive to `sink`, in order, starting with the
/// first frame.
///
/// `progress` is called on the writing thread after every frame.
///
/// # Errors
/// Returns an [`Error`]. `sink` may then have received part of an archive, which the caller has to
/// discard.
pub fn extract(
    source: impl Source,
    mut sink: impl Write + Send,
    options: &Options,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Report, Error> {
    let Options { recipe, limits, stop, .. } = options;
    let OpenedSource { source, reader, read_error, container, size } =
        GuardedReader::open(Box::new(source), stop.clone())?;
    let open = |reader| {
        let opened = Demuxer::open(reader, container, size, limits);
        stop.check()?;
        opened.map_err(|error| read_error.take().unwrap_or(error))
    };
    let reopen = || open(GuardedReader::reopen(&source, stop.clone(), &read_error)?);
    let may_skip = options.decoding == Decoding::Selective && Guide::may_help(recipe);
    source.limit_read_ahead(may_skip);
    let OpenedStream { mut demuxer, info } = open(reader)?;
    limits.check_recipe(recipe, info.listed_duration_us(), size)?;
    let mut guide = None;
    if may_skip {
        guide = Guide::find(&mut demuxer, &info, &source, recipe, stop)?;
        stop.check()?;
        read_error.take().map_or(Ok(()), Err)?;
        if guide.is_none() {
            source.limit_read_ahead(false);
            OpenedStream { demuxer, .. } = reopen()?;
        }
    }
    let video = Video { info, source: source.clone(), read_error: read_error.clone() };
    let mut reading = if guide.is_some() { Reading::Parts } else { Reading::Whole };
    loop {
        let mut duration_us = video.info.duration_us;
        if let (Selection::Count(_), Some(guide)) = (&recipe.select, &guide) {
            duration_us = Some(guide.end.microseconds(&video.info));
        } else if let Selection::Count(_) = recipe.select {
            duration_us = Some(measure_duration(demuxer, &video, stop)?);
            OpenedStream { demuxer, .. } = reopen()?;
        }
        let outcome = extract_once(
            Start { demuxer, reading, guide: guide.take(), duration_us },
            &video,
            &reopen,
            &mut sink,
            options,
            &mut progress,
        )?;
        match outcome {
            Outcome::Done(report) => return Ok(report),
            Outcome::StartOver(whole) => reading = whole,
        }
        OpenedStream { demuxer, .. } = reopen()?;
    }
}

/// Video that is extracted.
struct Video {
    info: StreamInfo,
    source: SharedSource,
    read_error: ReadError,
}

/// State in which an extraction starts.
struct Start {
    demuxer: Demuxer,
    reading: Reading,
    guide: Option<Guide>,
    /// Duration of the video in microseconds, if it is known.
    duration_us: Option<i64>,
}

/// Result of an extraction.
enum Outcome {
    Done(Report),
    /// The instants may be others: nothing was written, and all has to be read.
    StartOver(Reading),
}

/// Extract frames. If they turn out to depend on something else than assumed, start again, and keep
/// those that were written.
fn extract_once<W: Write + Send>(
    start: Start,
    video: &Video,
    reopen: &dyn Fn() -> Result<OpenedStream, Error>,
    sink: &mut W,
    options: &Options,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<Outcome, Error> {
    let Options { recipe, limits, stop, .. } = options;
    let Video { info, source, read_error } = video;
    let Start { mut demuxer, reading, guide, duration_us } = start;
    let (threads, timing) = (options.threads.get(), Timing::default());
    let flow = &Flow::new(threads);
    let selector = selector(recipe, info.source.time_base, duration_us);
    let selector = selector.as_ref();
    let context = StreamContext { info, selector, limits, stop, timing: &timing };
    let renderer = Renderer::new(recipe, options.compression, options.previews.is_some())?;
    let sheets = recipe.sheet.map(Sheets::new).transpose()?;
    let pool = start_threads(threads)?;
    // A stated duration may be nonsense.
    let expected = selector.expected_count().filter(|count| *count <= limits.max_frames);
    let form = ArchiveForm { recipe: recipe.clone(), compression: renderer.compression() };
    let mut writer = Writer::new(&context, flow, Archive::new(sink), form, sheets)
        .with_previews(options.previews.clone());
    let planned = options.decoding != Decoding::Linear;
    let mut mode = Mode { reading, planned, damaged: false };

    loop {
        let resources = SharedResources {
            context: &context,
            renderer: &renderer,
            flow,
            mode,
            resume_at: writer.next_tick(),
            threads,
            decoders: Mutex::default(),
        };
        let guide = guide.as_ref().filter(|_| mode.reading == Reading::Parts);
        let input = Input { demuxer, guide, source, read_error: read_error.clone() };
        let mut read = run(&resources, &pool, input, &mut writer, |done| {
            progress(Progress { done, expected });
        });
        let next = match flow.take_failure() {
            None => {
                let is_by_time = selector.instants().is_some();
                read.warnings.extend(contradictions(planned && is_by_time, mode));
                return writer.finish(read, source.bytes_read()).map(Outcome::Done);
            }
            Some(Failure::Error(error)) => return Err(read_error.take().unwrap_or(error)),
            Some(Failure::Restart(mode)) => mode,
        };
        source.limit_read_ahead(next.reading == Reading::Parts);
        let depends_on_end = matches!(recipe.select, Selection::Count(_));
        if depends_on_end && next.reading != mode.reading && writer.frame_count() == 0 {
            return Ok(Outcome::StartOver(next.reading));
        }
        mode = next;
        writer.restart();
        OpenedStream { demuxer, .. } = reopen()?;
    }
}

/// Warnings about what made the extraction start again in this mode. `planned` is whether a plan
/// was made at first.
fn contradictions(planned: bool, mode: Mode) -> impl Iterator<Item = Warning> {
    let times = (planned && !mode.planned).then_some(Warning::TimesContradictory);
    let is_contradicted = mode.reading == Reading::WholeByContradiction;
    let index = is_contradicted.then_some(Warning::IndexContradictory);
    times.into_iter().chain(index)
}

/// Duration of a video in microseconds, from its packets. If they end early because of truncation
/// or damage, the one that its container states.
fn measure_duration(mut demuxer: Demuxer, video: &Video, stop: &Stop) -> Result<i64, Error> {
    let Video { info, source, .. } = video;
    let mut end = 0;
    let mut is_damaged = false;
    loop {
        stop.check()?;
        match demuxer.read() {
            Ok(packet) => {
                is_damaged |= packet.is_corrupt();
                let time = packet.presentation_time().or(packet.decoding_time());
                let time = time.map_or(end, |time| time.saturating_sub(info.start));
                end = end.max(info.display_end(time, packet.duration()));
            }
            Err(DemuxError::End) => break,
            Err(DemuxError::Damaged(_)) => {
                is_damaged = true;
                break;
            }
        }
    }
    // It must not read while the source is examined.
    drop(demuxer);
    is_damaged |= source.truncation()?.is_some();
    let stated = info.missing_end(end, is_damaged).filter(|_| is_damaged);
    Ok(stated.unwrap_or_else(|| rescale(end, info.source.time_base, MICROSECONDS)))
}

/// Start threads that decode and encode.
fn start_threads(number: usize) -> Result<ThreadPool, Error> {
    let builder = ThreadPoolBuilder::new().num_threads(number);
    let started = builder.thread_name(|n| format!("frames-{n}")).build();
    started.map_err(|error| Error::OutOfMemory(format!("no threads can be started: {error}")))
}

/// Run all steps until the video is read or one of them fails. `progress` is called with the number
/// of frames that are written.
fn run<W: Write + Send>(
    resources: &SharedResources<'_>,
    pool: &ThreadPool,
    input: Input<'_>,
    writer: &mut Writer<'_, W>,
    progress: impl FnMut(u64) + Send,
) -> ReadSummary {
    let (sender, messages) = mpsc::channel();
    let (read, written) = std::thread::scope(|scope| {
        let writing = scope.spawn(|| write_frames(writer, resources.flow, messages, progress));
        let read = pool.in_place_scope(|scope| Reader::new(resources, scope, sender).read(input));
        (read, writing.join())
    });
    written.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    read
}

/// Write frames until the last sender of messages is dropped or an error occurs.
fn write_frames<W: Write>(
    writer: &mut Writer<'_, W>,
    flow: &Flow,
    messages: mpsc::Receiver<WriterMessage>,
    mut progress: impl FnMut(u64),
) {
    let _guard = flow.abort_on_panic();
    for message in messages {
        let before = writer.frame_count();
        if let Err(error) = writer.handle(message) {
            flow.fail(error);
            break;
        }
        if writer.frame_count() > before {
            progress(writer.frame_count());
        }
    }
}
