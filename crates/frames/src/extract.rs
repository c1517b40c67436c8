//! Extraction: runs the steps in parallel. The calling thread reads, a pool of threads decodes and
//! encodes, and another thread writes the archive.

use std::io::Write;
use std::sync::mpsc;

use parking_lot::Mutex;

use crate::archive::Archive;
use crate::av::{Demuxer, OpenedStream};
use crate::context::StreamContext;
use crate::encode::encoder;
use crate::error::Error;
use crate::flow::Flow;
use crate::options::{Options, Progress, Report};
use crate::reader::{Input, Reader};
use crate::select::selector;
use crate::source::{GuardedReader, OpenedSource, Source};
use crate::span::{SharedResources, WriterMessage};
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
    progress: impl FnMut(Progress) + Send,
) -> Result<Report, Error> {
    let OpenedSource { reader, read_error, container, size, truncated } =
        GuardedReader::open(Box::new(source), options.stop.clone())?;
    let opened = Demuxer::open(reader, container, size, &options.limits);
    options.stop.check()?;
    let OpenedStream { demuxer, info } =
        opened.map_err(|error| read_error.take().unwrap_or(error))?;

    let threads = options.threads.get();
    let flow = &Flow::new(threads);
    let timing = Timing::default();
    let Options { recipe, decoding, .. } = options;
    let selector = selector(&recipe.select, *decoding, info.source.time_base, info.duration_us);
    let context = StreamContext {
        info: &info,
        selector: selector.as_ref(),
        limits: &options.limits,
        stop: &options.stop,
        timing: &timing,
    };
    let encoder = encoder(&options.recipe.image, options.compression);
    let resources = SharedResources {
        context: &context,
        encoder: encoder.as_ref(),
        flow,
        threads,
        decoders: Mutex::default(),
        converters: Mutex::default(),
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|n| format!("frames-{n}"))
        .build()
        .map_err(|error| Error::OutOfMemory(format!("no threads can be started: {error}")))?;
    let (sender, messages) = mpsc::channel();
    let expected = selector.expected_count();
    let form = ArchiveForm { recipe: options.recipe.clone(), compression: encoder.compression() };
    let writer = Writer::new(&context, flow, Archive::new(sink), form);

    let (read, written) = std::thread::scope(|scope| {
        let writing = scope.spawn(move || write_frames(writer, flow, messages, expected, progress));
        let input = Input { demuxer, read_error: read_error.clone(), truncated };
        let read = pool.in_place_scope(|scope| Reader::new(&resources, scope, sender).read(input));
        (read, writing.join())
    });
    let writer = written.map_err(|panic| std::panic::resume_unwind(panic))?;
    if let Some(error) = flow.take_error() {
        return Err(read_error.take().unwrap_or(error));
    }
    writer.finish(read)
}

/// Write frames until the last sender of messages is dropped or an error occurs.
fn write_frames<'a, W: Write>(
    mut writer: Writer<'a, W>,
    flow: &Flow,
    messages: mpsc::Receiver<WriterMessage>,
    expected: Option<u64>,
    mut progress: impl FnMut(Progress),
) -> Writer<'a, W> {
    let _guard = flow.abort_on_panic();
    for message in messages {
        let before = writer.frame_count();
        if let Err(error) = writer.handle(message) {
            flow.fail(error);
            break;
        }
        if writer.frame_count() > before {
            progress(Progress { done: writer.frame_count(), expected });
        }
    }
    writer
}
