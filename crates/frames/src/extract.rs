//! Runs the steps side by side: this thread reads, a pool decodes and encodes, another thread
//! writes the archive.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc;

use crate::archive::Writer;
use crate::av::Demuxer;
use crate::decode::Scene;
use crate::flow::Flow;
use crate::manifest;
use crate::read::Reader;
use crate::select::Instants;
use crate::source::{Opened, Source, Watched};
use crate::span::Studio;
use crate::spent::Spent;
use crate::zip::Archive;
use crate::{Error, Options, Progress, Report};

/// Take pictures from `source` and write the archive to `sink`, which gets bytes in order from the
/// first picture on.
///
/// `progress` is called on the writing thread after every picture.
///
/// # Errors
/// [`Error`] says what went wrong. The sink may then have got a part of an archive, which its owner
/// has to throw away.
pub fn extract(
    source: impl Source,
    sink: impl Write + Send,
    options: &Options,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Report, Error> {
    let Opened { watched, failure, container, size, cut_off } =
        Watched::open(Box::new(source), options.stop.clone())?;
    let opened = Demuxer::open(watched, container, &options.limits);
    options.stop.check()?;
    let (demuxer, info) = opened.map_err(|error| failure.take().unwrap_or(error))?;

    let flow = Flow::new(options.threads.get());
    let spent = Spent::default();
    let instants = Instants::of(&options.recipe.select);
    let scene = Scene {
        info: &info,
        instants,
        limits: &options.limits,
        stop: &options.stop,
        spent: &spent,
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads.get())
        .thread_name(|n| format!("frames-{n}"))
        .build()
        .map_err(|error| Error::OutOfMemory(format!("no threads can be started: {error}")))?;
    let (sender, receiver) = mpsc::channel();
    let studio = Studio {
        scene: &scene,
        options,
        flow: &flow,
        decoders: Mutex::default(),
        converters: Mutex::default(),
    };

    let (read, written) = std::thread::scope(|threads| {
        let expected = info.duration_us.map(|us| instants.frame_count(us));
        let (scene, flow) = (&scene, &flow);
        let writer = Writer::new(scene, flow, Archive::new(sink));
        let writer = threads.spawn(move || {
            let _watch = flow.watch();
            let mut writer = writer;
            for message in receiver {
                let done = writer.written();
                if let Err(error) = writer.take(message) {
                    flow.fail(error);
                    break;
                }
                if writer.written() > done {
                    progress(Progress { done: writer.written(), expected });
                }
            }
            writer
        });
        let read = pool.in_place_scope(|scope| {
            Reader::new(&studio, scope, sender).read(demuxer, &failure, cut_off)
        });
        (read, writer.join())
    });
    let writer = written.map_err(|panic| std::panic::resume_unwind(panic))?;
    if let Some(error) = flow.failure() {
        return Err(failure.take().unwrap_or(error));
    }
    writer.finish(read, options, manifest::source(&info, size))
}
