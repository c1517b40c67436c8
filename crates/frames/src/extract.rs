//! Runs the steps side by side: this thread demuxes, a pool decodes and encodes, another thread writes the archive.

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};

use ffmpeg_next as ff;
use rayon::Scope;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::av::{self, Decoder, Demuxer, ReadError, StreamInfo, Threads};
use crate::bitstream::{Classifier, Entry, Role};
use crate::convert::{Converter, Orientation};
use crate::decode::{Halt, Pass, Scene, SpanReport, Taken};
use crate::flow::{Flow, Stopped};
use crate::manifest::{DamagedRange, Engine, ImageInfo, MANIFEST_NAME, Manifest, MissingRange, SourceInfo, image_name};
use crate::plan::{Chunk, Facts, Plan, Planner};
use crate::png::{self, Compression};
use crate::select::{MICROSECONDS, Recipe};
use crate::source::{Opened, ReadFailure, Source, Watched};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Pictures in the archive.
    pub done: u64,
    /// Pictures that the container's duration promises, if it states one.
    pub expected: Option<u64>,
}

/// What an extraction gave.
#[derive(Debug, Clone, Serialize)]
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
    /// What a careful user should know, in words.
    pub warnings: Vec<String>,
}

/// Take pictures from `source` and write the archive to `sink`, which gets bytes in order from the first picture on.
///
/// `progress` is called on the writing thread after every picture.
///
/// # Errors
/// [`Error`] says what went wrong. The sink may then have got a part of an archive, which its owner has to throw away.
pub fn extract(
    source: impl Source,
    sink: impl Write + Send,
    options: &Options,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Report, Error> {
    let Opened { watched, failure, container, size, cut_off } = Watched::open(Box::new(source), options.stop.clone())?;
    let opened = Demuxer::open(watched, container, &options.limits);
    options.stop.check()?;
    let (demuxer, info) = opened.map_err(|error| failure.take().unwrap_or(error))?;

    let flow = Flow::new(options.threads.get());
    let scene = Scene { info: &info, recipe: &options.recipe, limits: &options.limits, stop: &options.stop };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads.get())
        .thread_name(|n| format!("frames-{n}"))
        .build()
        .map_err(|error| Error::OutOfMemory(format!("no threads can be started: {error}")))?;
    let (sender, receiver) = mpsc::channel();
    let studio = Studio { scene: &scene, options, flow: &flow, decoders: Mutex::default(), converters: Mutex::default() };

    let (read, written) = std::thread::scope(|threads| {
        let expected = info.duration_us.map(|us| options.recipe.slot(us, MICROSECONDS).max(1) as u64);
        let writer = Writer::new(&scene, &flow, Archive::new(sink));
        let writer = threads.spawn(move || {
            let mut writer = writer;
            for message in receiver {
                let done = writer.images.len();
                if let Err(error) = writer.take(message) {
                    writer.flow.fail(error);
                    break;
                }
                if writer.images.len() > done {
                    progress(Progress { done: writer.images.len() as u64, expected });
                }
            }
            writer
        });
        let read = pool.in_place_scope(|scope| {
            let reader = Reader { studio: &studio, scope, sender, next_span: 0, long: None };
            reader.read(demuxer, &failure, cut_off)
        });
        (read, writer.join())
    });
    let writer = written.map_err(|panic| std::panic::resume_unwind(panic))?;
    if let Some(error) = flow.failure() {
        return Err(failure.take().unwrap_or(error));
    }
    writer.finish(read, options, SourceInfo::new(&info, size))
}

/// What the reading thread found out.
#[derive(Default)]
struct Read {
    /// First slot after the video, by its packets.
    until: Option<i64>,
    /// The video ends before its container says so, and where it should end.
    broken_off: Option<i64>,
    warnings: Vec<String>,
}

enum Message {
    Image { span: u64, order: usize, image: Image },
    End { span: u64, images: usize, report: SpanReport },
}

/// A picture ready for the archive.
struct Image {
    png: Vec<u8>,
    crc: u32,
    sha256: String,
    time: i64,
    slots: Vec<i64>,
    width: u32,
    height: u32,
    key_frame: bool,
    interlaced: bool,
    errors: bool,
}

/// What the tasks of an extraction share: decoders and converters to use again, and the pace.
struct Studio<'a> {
    scene: &'a Scene<'a>,
    options: &'a Options,
    flow: &'a Flow,
    decoders: Mutex<Vec<Decoder>>,
    converters: Mutex<Vec<Converter>>,
}

/// Turns packets into spans and hands these to the pool.
struct Reader<'a, 'scope> {
    studio: &'scope Studio<'scope>,
    scope: &'a Scope<'scope>,
    sender: mpsc::Sender<Message>,
    next_span: u64,
    long: Option<mpsc::SyncSender<(Chunk<ff::Packet>, bool)>>,
}

impl<'scope> Reader<'_, 'scope> {
    fn read(mut self, mut demuxer: Demuxer, failure: &ReadFailure, cut_off: bool) -> Read {
        let result = self.read_all(&mut demuxer, failure, cut_off);
        self.studio.flow.all_read();
        match result {
            Ok(read) => read,
            Err(error) => {
                if let Some(error) = error {
                    self.studio.flow.fail(error);
                }
                Read::default()
            }
        }
    }

    /// `None` as an error says that another step has failed and has said so.
    fn read_all(&mut self, demuxer: &mut Demuxer, failure: &ReadFailure, cut_off: bool) -> Result<Read, Option<Error>> {
        let Studio { scene, options, .. } = *self.studio;
        let selective = options.decoding == Decoding::Selective;
        let mut planner = Planner::new(options.recipe.clone(), scene.info.time_base, selective);
        let mut preparation = Preparation::new(scene.info);
        let mut read = Read::default();
        let mut corrupt = 0_u64;
        let mut end = i64::MIN;
        let mut first_slot = None;
        loop {
            scene.stop.check()?;
            if self.studio.flow.has_failed() {
                return Err(None);
            }
            match demuxer.read() {
                Ok(mut packet) => {
                    let role = preparation.prepare(&mut packet);
                    let facts = facts(scene.info, if selective { role } else { Role::UNKNOWN }, &packet);
                    corrupt += u64::from(packet.is_corrupt());
                    if let Some(time) = facts.time.or(packet.dts().map(|time| time.saturating_sub(scene.info.start))) {
                        end = end.max(scene.end(time, facts.duration));
                        let slot = scene.slot(time);
                        let first = *first_slot.get_or_insert(slot);
                        let limit = options.limits.max_images;
                        if slot.saturating_sub(first) > limit as i64 {
                            return Err(Some(Error::TooLong { limit }));
                        }
                    }
                    planner.push(packet, facts);
                }
                Err(ReadError::End) => break,
                Err(ReadError::Damaged(reason)) => {
                    scene.stop.check()?;
                    if let Some(error) = failure.take() {
                        return Err(Some(error));
                    }
                    read.warnings.push(format!("the container breaks off: {reason}"));
                    read.broken_off = Some(i64::MIN);
                    break;
                }
            }
            self.hand_on(planner.take()).map_err(|Stopped| None)?;
        }
        scene.stop.check()?;
        if let Some(error) = failure.take() {
            return Err(Some(error));
        }
        read.until = planner.finish(|time, duration| scene.end(time, duration));
        self.hand_on(planner.take()).map_err(|Stopped| None)?;
        if corrupt > 0 {
            read.warnings.push(format!("packets cut short or damaged: {corrupt}"));
        }
        if cut_off {
            read.broken_off = Some(i64::MIN);
        }
        let shortfall = scene.info.shortfall(end, corrupt > 0 || read.broken_off.is_some());
        if let Some(promised) = shortfall {
            read.broken_off = Some(scene.recipe.slot(promised, MICROSECONDS));
        }
        Ok(read)
    }

    fn hand_on(&mut self, plans: Vec<Plan<ff::Packet>>) -> Result<(), Stopped> {
        for plan in plans {
            match plan {
                Plan::Whole { from, chunk } => {
                    let bytes = size(&chunk);
                    self.studio.flow.admit_span(bytes)?;
                    self.spawn(bytes, move |task| task.whole(from, &chunk));
                }
                Plan::Begin { from, chunk } => {
                    self.studio.flow.admit_span(0)?;
                    let (sender, chunks) = mpsc::sync_channel(1);
                    self.long = Some(sender);
                    self.spawn(0, move |task| task.long(from, chunk, &chunks));
                }
                Plan::Continue { chunk, last } => {
                    let Some(sender) = self.long.as_ref() else { continue };
                    // The other end is gone only after a failure.
                    sender.send((chunk, last)).map_err(|_| Stopped)?;
                    if last {
                        self.long = None;
                    }
                }
            }
        }
        Ok(())
    }

    fn spawn(&mut self, bytes: usize, work: impl FnOnce(&mut Task<'_, 'scope>) -> Result<SpanReport, Error> + Send + 'scope) {
        let (studio, sender, span) = (self.studio, self.sender.clone(), self.next_span);
        self.next_span += 1;
        self.scope.spawn(move |scope| {
            let working = studio.flow.work();
            let mut task = Task { studio, scope, sender, span, images: 0 };
            let result = if studio.flow.has_failed() { Ok(SpanReport::default()) } else { work(&mut task) };
            drop(working);
            studio.flow.span_decoded(bytes);
            match result {
                // The archive's thread is gone only after a failure.
                Ok(report) => drop(task.sender.send(Message::End { span, images: task.images, report })),
                Err(error) => studio.flow.fail(error),
            }
        });
    }
}

/// Bytes of a chunk's packets.
fn size(chunk: &Chunk<ff::Packet>) -> usize {
    chunk.packets.iter().map(|planned| planned.packet.size()).sum()
}

fn facts(info: &StreamInfo, role: Role, packet: &ff::Packet) -> Facts {
    Facts {
        role,
        time: packet.pts().map(|time| time.saturating_sub(info.start)),
        duration: packet.duration().max(0),
        size: packet.size(),
        hidden: av::is_hidden(packet),
    }
}

/// Makes packets fit for a decoder that has not seen those before them.
struct Preparation {
    classifier: Classifier,
    /// Configuration that replaced the stream's own on the way.
    extradata: Option<Vec<u8>>,
}

impl Preparation {
    fn new(info: &StreamInfo) -> Self {
        Self { classifier: Classifier::new(info), extradata: None }
    }

    fn prepare(&mut self, packet: &mut ff::Packet) -> Role {
        let changed = packet
            .side_data()
            .find(|data| data.kind() == ff::packet::side_data::Type::NewExtraData)
            .map(|data| data.data().to_vec());
        let sets = self.classifier.parameter_sets();
        let role = self.classifier.role(packet);
        if role.entry != Entry::None {
            if !sets.is_empty()
                && let Some(data) = packet.data()
            {
                let whole = [&sets, data].concat();
                *packet = av::with_data(packet, &whole);
            }
            if let (None, Some(extradata)) = (&changed, &self.extradata) {
                av::set_extradata(packet, extradata);
            }
        }
        self.extradata = changed.or(self.extradata.take());
        role
    }
}

/// The work on one span.
struct Task<'a, 'scope> {
    studio: &'scope Studio<'scope>,
    scope: &'a Scope<'scope>,
    sender: mpsc::Sender<Message>,
    span: u64,
    images: usize,
}

impl Task<'_, '_> {
    /// Decode a span that is all there: first only what is needed, and if anything is not as promised, again in full.
    fn whole(&mut self, from: Option<i64>, chunk: &Chunk<ff::Packet>) -> Result<SpanReport, Error> {
        let scene = self.studio.scene;
        let mut resume = from;
        if chunk.certain {
            let decoder = self.studio.decoder(self.threads_for(chunk))?;
            let mut pass = Pass::new(scene, decoder, from, true);
            let kept = chunk.packets.iter().filter(|planned| planned.keep).map(|planned| &planned.packet);
            let result = self.run(&mut pass, chunk, kept);
            self.studio.put_back(pass.into_decoder());
            match result {
                Ok(report) => return Ok(report),
                Err(Halt::Again(slot)) => resume = slot.or(from),
                Err(Halt::Stop(error)) => return Err(error),
            }
        }
        let mut pass = Pass::new(scene, self.studio.decoder(self.thorough())?, resume, false);
        let result = self.run(&mut pass, chunk, chunk.packets.iter().map(|planned| &planned.packet));
        self.studio.put_back(pass.into_decoder());
        match result {
            Ok(report) => Ok(SpanReport { from: from.or(report.from), ..report }),
            Err(Halt::Stop(error)) => Err(error),
            Err(Halt::Again(_)) => unreachable!("only a strict pass asks for another"),
        }
    }

    fn run<'p>(
        &mut self,
        pass: &mut Pass<'_>,
        chunk: &Chunk<ff::Packet>,
        packets: impl Iterator<Item = &'p ff::Packet>,
    ) -> Result<SpanReport, Halt> {
        pass.expect(chunk);
        for packet in packets {
            pass.feed(packet, &mut |taken| self.take(taken))?;
        }
        pass.finish(chunk.until, chunk.first_picture, &mut |taken| self.take(taken))
    }

    /// Decode a span as its packets are read, in order with one decoder.
    fn long(
        &mut self,
        from: Option<i64>,
        first: Chunk<ff::Packet>,
        chunks: &mpsc::Receiver<(Chunk<ff::Packet>, bool)>,
    ) -> Result<SpanReport, Error> {
        let mut pass = Pass::new(self.studio.scene, self.studio.decoder(self.thorough())?, from, false);
        let (mut chunk, mut last) = (first, false);
        let result = loop {
            pass.expect(&chunk);
            let mut kept = chunk.packets.iter().filter(|planned| planned.keep);
            if let Err(halt) = kept.try_for_each(|planned| pass.feed(&planned.packet, &mut |taken| self.take(taken))) {
                break Err(halt);
            }
            if last {
                break pass.finish(chunk.until, false, &mut |taken| self.take(taken));
            }
            // The reader goes away in mid-span only after a failure, which it has told.
            let Ok(next) = chunks.recv() else { return Ok(SpanReport::default()) };
            (chunk, last) = next;
        };
        self.studio.put_back(pass.into_decoder());
        match result {
            Ok(report) => Ok(report),
            Err(Halt::Stop(error)) => Err(error),
            Err(Halt::Again(_)) => unreachable!("only a strict pass asks for another"),
        }
    }

    /// Spans decode side by side, each on one thread, which beats libav's frame threads; but the last ones share the cores.
    fn threads_for(&self, chunk: &Chunk<ff::Packet>) -> Threads {
        const WORTH_THREADS: usize = 16;
        let threads = self.studio.options.threads.get();
        let kept = chunk.packets.iter().filter(|planned| planned.keep).count();
        match self.studio.flow.spans_left() {
            Some(left) if left <= threads && kept >= WORTH_THREADS && threads > 1 => {
                Threads::Frames(threads.min((2 * threads).div_ceil(left.max(1))))
            }
            _ => Threads::One,
        }
    }

    /// Damaged pictures are concealed otherwise with frame threads than without, as the ffmpeg command's are; so where damage may
    /// show there are always some, and the archive is the same on every machine.
    fn thorough(&self) -> Threads {
        Threads::Frames(self.studio.options.threads.get().max(2))
    }

    /// Convert and encode a picture here, while it is warm, or on a thread that has nothing else to do.
    fn take(&mut self, taken: Taken) -> Result<(), Error> {
        let Task { studio, span, .. } = *self;
        let order = self.images;
        self.images += 1;
        if studio.flow.admit_picture(span).is_err() {
            return Err(Error::Cancelled);
        }
        let sender = self.sender.clone();
        if studio.flow.has_idle_thread() {
            self.scope.spawn(move |_| {
                let _working = studio.flow.work();
                if let Err(error) = studio.encode(taken, span, order, &sender) {
                    studio.flow.fail(error);
                }
            });
            return Ok(());
        }
        studio.encode(taken, span, order, &sender)
    }
}

impl Studio<'_> {
    /// A decoder that was put back, or a new one.
    fn decoder(&self, threads: Threads) -> Result<Decoder, Error> {
        let mut decoders = self.decoders.lock().unwrap_or_else(PoisonError::into_inner);
        let found = decoders.iter().position(|decoder| decoder.threads() == threads);
        match found {
            Some(index) => Ok(decoders.swap_remove(index)),
            None => Decoder::open(self.scene.info, threads, self.scene.limits),
        }
    }

    fn put_back(&self, decoder: Decoder) {
        self.decoders.lock().unwrap_or_else(PoisonError::into_inner).push(decoder);
    }

    fn encode(&self, taken: Taken, span: u64, order: usize, sender: &mpsc::Sender<Message>) -> Result<(), Error> {
        if self.flow.has_failed() {
            return Ok(());
        }
        let Taken { picture, time, slots, errors } = taken;
        let (key_frame, interlaced) = (picture.is_key(), picture.is_interlaced());
        let orientation = self.scene.info.orientation;
        let aspect = self.scene.info.sample_aspect.or(picture.sample_aspect());
        let aspect = aspect.map(|aspect| orientation.turn_aspect(aspect));
        let mut converter = self.converters.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let converted = converter.convert(picture, orientation);
        self.converters.lock().unwrap_or_else(PoisonError::into_inner).push(converter);
        let picture = converted?;
        let png = png::encode(&picture, aspect, self.options.compression)?;
        let image = Image {
            crc: crc32fast::hash(&png),
            sha256: hex(&Sha256::digest(&png)),
            png,
            time,
            slots,
            width: picture.width(),
            height: picture.height(),
            key_frame,
            interlaced,
            errors,
        };
        self.flow.encoded(image.png.len());
        // The archive's thread is gone only after a failure.
        let _ = sender.send(Message::Image { span, order, image });
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts pictures in order and writes them.
struct Writer<'a, W> {
    scene: &'a Scene<'a>,
    flow: &'a Flow,
    archive: Archive<W>,
    images: Vec<ImageInfo>,
    /// Pictures that came before their turn, and spans that ended before theirs.
    early: BTreeMap<(u64, usize), Image>,
    ended: BTreeMap<u64, (usize, SpanReport)>,
    /// The span whose turn it is, and how many pictures of it are written.
    span: u64,
    order: usize,
    first_slot: Option<i64>,
    until: Option<i64>,
    damaged: Vec<(i64, i64)>,
    slots: Vec<i64>,
    interlaced: bool,
}

impl<'a, W: Write> Writer<'a, W> {
    fn new(scene: &'a Scene<'a>, flow: &'a Flow, archive: Archive<W>) -> Self {
        Self {
            scene,
            flow,
            archive,
            images: Vec::new(),
            early: BTreeMap::new(),
            ended: BTreeMap::new(),
            span: 0,
            order: 0,
            first_slot: None,
            until: None,
            damaged: Vec::new(),
            slots: Vec::new(),
            interlaced: false,
        }
    }

    fn take(&mut self, message: Message) -> Result<(), Error> {
        match message {
            Message::Image { span, order, image } => drop(self.early.insert((span, order), image)),
            Message::End { span, images, report } => drop(self.ended.insert(span, (images, report))),
        }
        loop {
            if let Some(image) = self.early.remove(&(self.span, self.order)) {
                self.order += 1;
                self.write(&image)?;
            } else if self.ended.get(&self.span).is_some_and(|(images, _)| *images == self.order) {
                if let Some((_, report)) = self.ended.remove(&self.span) {
                    self.first_slot = self.first_slot.or(report.from);
                    self.until = report.until.or(self.until);
                    self.damaged.extend(report.damaged);
                }
                self.span += 1;
                self.order = 0;
                self.flow.writing(self.span);
            } else {
                return Ok(());
            }
        }
    }

    fn write(&mut self, image: &Image) -> Result<(), Error> {
        let first = *self.first_slot.get_or_insert(image.slots[0]);
        let seconds = self.scene.info.time_base.as_f64() * image.time as f64;
        self.interlaced |= image.interlaced;
        for slot in &image.slots {
            // Slots rise, whatever a damaged stream pretends; one that is answered stays answered.
            if self.slots.last().is_some_and(|last| last >= slot) {
                continue;
            }
            let number = (slot - first) as u64 + 1;
            if number > self.scene.limits.max_images {
                return Err(Error::TooLong { limit: self.scene.limits.max_images });
            }
            let name = image_name(number, seconds);
            let offset = self.archive.add(name.clone(), image.crc, &image.png).map_err(Error::Write)?;
            self.slots.push(*slot);
            self.images.push(ImageInfo {
                number,
                name,
                instant_s: self.scene.recipe.instant(*slot),
                timestamp: image.time,
                timestamp_s: seconds,
                width: image.width,
                height: image.height,
                key_frame: image.key_frame,
                decode_errors: image.errors,
                sha256: image.sha256.clone(),
                offset,
                length: image.png.len() as u64,
            });
        }
        self.flow.written(image.png.len());
        Ok(())
    }

    /// Write the manifest and the directory.
    fn finish(mut self, read: Read, options: &Options, mut source: SourceInfo) -> Result<Report, Error> {
        let Some(first) = self.first_slot.filter(|_| !self.images.is_empty()) else {
            return Err(Error::NothingDecodable);
        };
        let written = self.images.len() as u64;
        let answered = self.slots.last().map_or(first, |slot| slot + 1);
        let until = [read.until, self.until, read.broken_off].into_iter().flatten().fold(answered, i64::max);
        let limit = first.saturating_add(options.limits.max_images as i64);
        let missing = self.missing(first, until.min(limit));
        let expected = (until.min(limit) - first) as u64;
        let mut warnings = read.warnings;
        if read.broken_off.is_some() {
            warnings.push("the video ends before its container says that it should".to_owned());
        }
        if source.rotation == Orientation::Skewed {
            warnings.push("the pictures are to be turned by an angle that is no quarter turn; they are left as stored".to_owned());
        }
        source.interlaced = self.interlaced;
        let base = self.scene.info.time_base.as_f64();
        let damaged: Vec<DamagedRange> =
            self.damaged.iter().map(|(from, to)| DamagedRange { from_s: *from as f64 * base, to_s: *to as f64 * base }).collect();
        let complete = missing.is_empty() && damaged.is_empty() && read.broken_off.is_none();
        let manifest = Manifest {
            manifest_version: 1,
            engine: Engine::this(),
            recipe: options.recipe.clone(),
            compression: options.compression,
            complete,
            expected,
            written,
            missing,
            damaged,
            warnings,
            images: self.images,
            source,
        };
        let document = serde_json::to_vec_pretty(&manifest).map_err(|error| Error::Write(error.into()))?;
        self.archive.add(MANIFEST_NAME.to_owned(), crc32fast::hash(&document), &document).map_err(Error::Write)?;
        let zip_bytes = self.archive.finish().map_err(Error::Write)?;
        let duration_s = manifest.source.duration_s;
        Ok(Report { frames: written, expected, complete, duration_s, zip_bytes, warnings: manifest.warnings })
    }

    /// The slots from `first` to `until` that have no picture.
    fn missing(&self, first: i64, until: i64) -> Vec<MissingRange> {
        let mut missing = Vec::new();
        let mut next = first;
        for slot in self.slots.iter().copied().chain([until]) {
            if slot > next {
                missing.push(MissingRange {
                    first_number: (next - first) as u64 + 1,
                    last_number: (slot - first) as u64,
                    from_s: self.scene.recipe.instant(next),
                    to_s: self.scene.recipe.instant(slot - 1),
                });
            }
            next = next.max(slot + 1);
        }
        missing
    }
}
