//! Runs the steps side by side: this thread reads, a pool decodes and encodes, another thread
//! writes the archive.

use std::io::Write;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::mpsc;

use serde::{Deserialize, Serialize};

use crate::archive::Writer;
use crate::av::Demuxer;
use crate::decode::Scene;
use crate::flow::Flow;
use crate::manifest::SourceInfo;
use crate::png::Compression;
use crate::read::Reader;
use crate::select::{MICROSECONDS, Recipe};
use crate::source::{Opened, Source, Watched};
use crate::span::Studio;
use crate::spent::Spent;
use crate::zip::Archive;
use crate::{Error, Limits, Stop};

/// How an extraction is to be done.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which pictures.
    pub recipe: Recipe,
    /// How small.
    pub compression: Compression,
    /// How far the video may go.
    pub limits: Limits,
    /// How many threads decode and encode. The archive is the same for any number.
    pub threads: NonZeroUsize,
    /// How to stop it.
    pub stop: Stop,
    /// How much is decoded.
    pub decoding: Decoding,
}

impl Default for Options {
    /// One picture a second, fast, on all cores that this process may use.
    fn default() -> Self {
        Self {
            recipe: Recipe::default(),
            compression: Compression::default(),
            limits: Limits::default(),
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            stop: Stop::default(),
            decoding: Decoding::default(),
        }
    }
}

/// How much of a video is decoded. The pictures are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decoding {
    /// What the wanted pictures need.
    #[default]
    Selective,
    /// Everything, in order. This is what the selective way is held against.
    Linear,
}

/// How far an extraction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Pictures in the archive.
    pub done: u64,
    /// Pictures that the container's duration promises, if it states one.
    pub expected: Option<u64>,
}

/// What an extraction gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Pictures in the archive.
    pub frames: u64,
    /// Pictures that the video promises.
    pub expected: u64,
    /// Whether every one of them is there and decoded without an error.
    pub complete: bool,
    /// Duration of the video in seconds, as its container states it.
    pub duration_s: Option<f64>,
    /// Bytes of the archive.
    pub zip_bytes: u64,
    /// Seconds that threads spent in the decoder, all together.
    pub decode_s: f64,
    /// Seconds that threads spent on converting and compressing pictures, all together.
    pub encode_s: f64,
    /// What a careful user should know, in words.
    pub warnings: Vec<String>,
}

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
    let scene = Scene {
        info: &info,
        recipe: &options.recipe,
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
        let expected =
            info.duration_us.map(|us| options.recipe.slot(us, MICROSECONDS).max(1) as u64);
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
    writer.finish(read, options, SourceInfo::new(&info, size))
}
