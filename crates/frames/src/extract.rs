//! Extraction: runs the steps in parallel. The calling thread reads, a pool of threads decodes and
//! encodes, and another thread writes the archive.

use std::io::Write;
use std::sync::mpsc;

use jobs::recipe::Selection;
use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::archive::Archive;
use crate::av::{DemuxError, Demuxer, OpenedStream, StreamInfo};
use crate::context::StreamContext;
use crate::error::Error;
use crate::flow::{Failure, Flow};
use crate::limits::Stop;
use crate::mode::Mode;
use crate::options::{Decoding, Options, Progress, Report};
use crate::reader::{CONTRADICTORY_TIMES, Input, ReadSummary, Reader};
use crate::rendering::Renderer;
use crate::select::selector;
use crate::sheets::Sheets;
use crate::source::{GuardedReader, OpenedSource, SharedSource, Source};
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
    sink: impl Write + Send,
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
    let OpenedStream { mut demuxer, info } = open(reader)?;

    limits.check_recipe(recipe, info.duration_us, size)?;

    let threads = options.threads.get();
    let flow = &Flow::new(threads);
    let timing = Timing::default();
    let duration_us = if matches!(recipe.select, Selection::Count(_)) {
        let end = measure_duration(demuxer, &info, &source, stop)?;
        let reader = GuardedReader::reopen(&source, stop.clone(), &read_error)?;
        OpenedStream { demuxer, .. } = open(reader)?;
        Some(end)
    } else {
        info.duration_us
    };
    let selector = selector(recipe, info.source.time_base, duration_us);
    let selector = selector.as_ref();
    let context = StreamContext { info: &info, selector, limits, stop, timing: &timing };
    let renderer = Renderer::new(recipe, options.compression)?;
    let sheets = recipe.sheet.map(Sheets::new).transpose()?;
    let pool = start_threads(threads)?;
    // A stated duration may be nonsense.
    let expected = selector.expected_count().filter(|count| *count <= limits.max_frames);
    let form = ArchiveForm { recipe: recipe.clone(), compression: renderer.compression() };
    let mut writer = Writer::new(&context, flow, Archive::new(sink), form, sheets);
    let mut mode = Mode { planned: options.decoding == Decoding::Selective, damaged: false };

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
        let input = Input { demuxer, source: &source, read_error: read_error.clone() };
        let mut read = run(&resources, &pool, input, &mut writer, |done| {
            progress(Progress { done, expected });
        });
        mode = match flow.take_failure() {
            None => {
                let is_by_time = context.selector.instants().is_some();
                if options.decoding == Decoding::Selective && is_by_time && !mode.planned {
                    read.warnings.push(CONTRADICTORY_TIMES.to_owned());
                }
                return writer.finish(read);
            }
            Some(Failure::Error(error)) => return Err(read_error.take().unwrap_or(error)),
            Some(Failure::Restart(mode)) => mode,
        };
        writer.restart();
        let reader = GuardedReader::reopen(&source, stop.clone(), &read_error)?;
        OpenedStream { demuxer, .. } = open(reader)?;
    }
}

/// Duration of a video in microseconds, from its packets. If they end early because of truncation
/// or damage, the one that its container states.
fn measure_duration(
    mut demuxer: Demuxer,
    info: &StreamInfo,
    source: &SharedSource,
    stop: &Stop,
) -> Result<i64, Error> {
    let mut end = 0;
    let mut is_damaged = false;
    loop {
        stop.check()?;
        match demuxer.read() {
            Ok(packet) => {
                is_damaged |= packet.is_corrupt();
                let time = packet.presentation_time().or(packet.decoding_time());
                let time = time.map_or(end, |time| time.saturating_sub(info.start));
                end = end.max(info.end(time, packet.duration()));
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
