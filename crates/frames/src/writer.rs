//! Writer: puts the encoded frames in order and writes the archive with its manifest.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Write;

use jobs::manifest::{
    Compression, DamagedRange, FrameEntry, MANIFEST_NAME, MANIFEST_VERSION, Manifest, Orientation,
    ReadPart, SheetEntry, SkippedFrame,
};
use jobs::{Language, Recipe, Warning};

use crate::archive::Archive;
use crate::context::StreamContext;
use crate::decode::{Damage, SpanReport};
use crate::error::Error;
use crate::flow::Flow;
use crate::left_out::LeftOut;
use crate::manifest::engine;
use crate::options::{Preview, PreviewSink, Report};
use crate::reader::ReadSummary;
use crate::rendering::RenderedFrame;
use crate::route::Part;
use crate::select::{Coverage, FrameNumber, Measure, Numbering};
use crate::sheets::{LIST_NAME, SheetFile, Sheets};
use crate::span::{FramePosition, WriterMessage};

/// Form of the frames in an archive, as its manifest states it.
pub(crate) struct ArchiveForm {
    pub recipe: Recipe,
    /// Compression, if the file format has a choice.
    pub compression: Option<Compression>,
}

/// Span that has ended.
struct EndedSpan {
    frame_count: usize,
    report: SpanReport,
}

/// Writer of one archive.
pub(crate) struct Writer<'a, W> {
    context: &'a StreamContext<'a>,
    flow: &'a Flow,
    archive: Archive<W>,
    form: ArchiveForm,
    frames: Vec<FrameEntry>,
    left_out: LeftOut,
    skipped: Vec<SkippedFrame>,
    sheets: Option<Sheets>,
    sheet_entries: Vec<SheetEntry>,
    previews: Option<PreviewSink>,
    /// Frames that arrived before their turn.
    early_frames: BTreeMap<FramePosition, RenderedFrame>,
    /// Spans that ended before their turn.
    ended_spans: BTreeMap<u64, EndedSpan>,
    /// Position of the frame that is written next.
    next: FramePosition,
    numbering: Numbering<'a>,
    damage: Vec<Damage>,
    interlaced: bool,
    /// Rotation of the first frame.
    rotation: Option<Orientation>,
    /// Whether another frame has another rotation.
    rotation_changes: bool,
}

impl<'a, W: Write> Writer<'a, W> {
    pub(crate) fn new(
        context: &'a StreamContext<'a>,
        flow: &'a Flow,
        archive: Archive<W>,
        form: ArchiveForm,
        sheets: Option<Sheets>,
    ) -> Self {
        let max_count = form.recipe.max_frames.map(|max| u64::from(max.get()));
        Self {
            context,
            flow,
            archive,
            frames: Vec::new(),
            left_out: LeftOut::new(form.recipe.skip),
            skipped: Vec::new(),
            sheets,
            sheet_entries: Vec::new(),
            previews: None,
            form,
            early_frames: BTreeMap::new(),
            ended_spans: BTreeMap::new(),
            next: FramePosition { span: 0, order: 0 },
            numbering: Numbering::new(context.selector, context.limits, max_count),
            damage: Vec::new(),
            interlaced: false,
            rotation: None,
            rotation_changes: false,
        }
    }

    /// Send the previews of frames that are written.
    pub(crate) fn with_previews(self, previews: Option<PreviewSink>) -> Self {
        Self { previews, ..self }
    }

    /// Start again with the first span. Frames that were written are kept.
    pub(crate) fn restart(&mut self) {
        self.early_frames.clear();
        self.ended_spans.clear();
        self.next = FramePosition { span: 0, order: 0 };
        self.numbering.restart();
        self.left_out.restart();
        let is_empty = self.numbering.next_tick().is_none();
        if let (Some(instants), true) = (self.context.selector.instants(), is_empty) {
            instants.restart();
        }
        self.damage.clear();
    }

    /// First tick without a frame, if frames were written.
    pub(crate) fn next_tick(&self) -> Option<i64> {
        self.numbering.next_tick()
    }

    /// Handle a message, and write all frames that are next in order.
    pub(crate) fn handle(&mut self, message: WriterMessage) -> Result<(), Error> {
        match message {
            WriterMessage::Start { from } => self.numbering.start_at(from),
            WriterMessage::Frame { position, frame } => {
                self.flow.frame_received(frame.size());
                self.early_frames.insert(position, frame);
            }
            WriterMessage::SpanEnd { span, frame_count, report } => {
                self.ended_spans.insert(span, EndedSpan { frame_count, report });
            }
        }
        loop {
            if let Some(frame) = self.early_frames.remove(&self.next) {
                self.next.order += 1;
                self.write(frame)?;
            } else if let Entry::Occupied(ended) = self.ended_spans.entry(self.next.span)
                && ended.get().frame_count == self.next.order
            {
                let SpanReport { from, until, damage } = ended.remove().report;
                self.numbering.start_at(from);
                self.numbering.end_at(until);
                self.damage.extend(damage);
                self.next = FramePosition { span: self.next.span + 1, order: 0 };
                self.flow.set_current_span(self.next.span);
            } else {
                return Ok(());
            }
        }
    }

    /// Number of frames in the archive.
    pub(crate) fn frame_count(&self) -> u64 {
        self.frames.len() as u64
    }

    /// Write a frame once for each of its ticks.
    fn write(&mut self, mut frame: RenderedFrame) -> Result<(), Error> {
        let size = frame.size();
        self.interlaced |= frame.interlaced;
        self.rotation_changes |= *self.rotation.get_or_insert(frame.rotation) != frame.rotation;
        for tick in std::mem::take(&mut frame.ticks) {
            if self.numbering.is_taken(tick) {
                continue;
            }
            let thumbprint = frame.thumbprint.as_ref();
            if let Some(reason) = self.left_out.reason(thumbprint) {
                let number = self.numbering.leave_out(tick)?;
                self.skipped.extend(number.map(|number| SkippedFrame {
                    number: number.number,
                    instant_s: number.instant_s,
                    timestamp: frame.time,
                    timestamp_s: self.seconds(frame.time),
                    reason,
                }));
                continue;
            }
            let Some(number) = self.numbering.number(tick)? else {
                self.left_out.omitted(thumbprint);
                continue;
            };
            self.left_out.archived(thumbprint);
            let seconds = self.seconds(frame.time);
            let name = number.entry_name(seconds, self.form.recipe.image.format().suffix());
            let offset = self.add(&name, &frame.file)?;
            self.frames.push(entry(&frame, &number, name, seconds, offset));
            if let (Some(sink), Some(jpeg)) = (&self.previews, frame.preview.take()) {
                sink.send(Preview { number: number.number, timestamp_s: seconds, jpeg });
            }
            if let (Some(sheets), Some(tile)) = (&mut self.sheets, &frame.tile) {
                let sheet = sheets.add(tile.try_share()?, seconds)?;
                self.add_sheet(sheet)?;
            }
        }
        self.flow.frame_written(size);
        Ok(())
    }

    /// Timestamp in seconds.
    fn seconds(&self, time: i64) -> f64 {
        self.context.time_base().as_f64() * time as f64
    }

    /// Add a file to the archive. Return its offset.
    fn add(&mut self, name: &str, file: &[u8]) -> Result<u64, Error> {
        let limit = self.context.limits.max_archive_bytes;
        if self.archive.size() + file.len() as u64 > limit {
            return Err(Error::ArchiveTooLarge { limit });
        }
        self.archive.add(name, file).map_err(Error::Write)
    }

    fn add_sheet(&mut self, sheet: Option<SheetFile>) -> Result<(), Error> {
        let Some(SheetFile { name, bytes, size, tiles }) = sheet else { return Ok(()) };
        let offset = self.add(&name, &bytes)?;
        self.sheet_entries.push(SheetEntry {
            name,
            width: size.width,
            height: size.height,
            tiles,
            offset,
            length: bytes.len() as u64,
        });
        Ok(())
    }

    /// Add the last contact sheet, and the list of all. Return its name.
    fn finish_sheets(&mut self, end: i64) -> Result<Option<String>, Error> {
        let end = self.context.info.seconds(end);
        let Some(mut sheets) = self.sheets.take() else { return Ok(None) };
        let last = sheets.finish_sheet()?;
        self.add_sheet(last)?;
        self.add(LIST_NAME, sheets.list(end).as_bytes())?;
        Ok(Some(LIST_NAME.to_owned()))
    }

    /// Write the manifest and the directory of the archive. `read_bytes` is the number of bytes
    /// that were read of the video.
    pub(crate) fn finish(mut self, read: ReadSummary, read_bytes: u64) -> Result<Report, Error> {
        let end = read.end;
        let warnings = self.warnings(&read);
        let mut manifest = self.manifest(read)?;
        manifest.warnings = warnings.iter().map(|warning| warning.text(Language::En)).collect();
        manifest.webvtt = self.finish_sheets(end)?;
        manifest.frames = std::mem::take(&mut self.frames);
        manifest.skipped = std::mem::take(&mut self.skipped);
        manifest.sheets = std::mem::take(&mut self.sheet_entries);
        let document = serde_json::to_vec(&manifest).map_err(|error| Error::Write(error.into()))?;
        self.archive.add(MANIFEST_NAME, &document).map_err(Error::Write)?;
        let timing = self.context.timing;
        let report = Report {
            frames: manifest.written,
            expected: manifest.expected,
            complete: manifest.complete,
            skipped: manifest.skipped.len() as u64,
            omitted: manifest.omitted,
            duration_s: manifest.source.duration_s,
            zip_bytes: self.archive.finish().map_err(Error::Write)?,
            bytes_read: read_bytes,
            decode_s: timing.decoding.total().as_secs_f64(),
            encode_s: timing.encoding.total().as_secs_f64(),
            warnings,
        };
        Ok(report)
    }

    /// Facts that affect the use of the archive.
    fn warnings(&self, read: &ReadSummary) -> Vec<Warning> {
        let mut warnings = read.warnings.clone();
        warnings.extend(read.late_times(self.context));
        if self.rotation_changes {
            warnings.push(Warning::OrientationChanges);
        }
        if self.orientation() == Orientation::Skewed {
            warnings.push(Warning::OrientationSkewed);
        }
        warnings
    }

    /// Orientation of the first frame.
    fn orientation(&self) -> Orientation {
        self.rotation.unwrap_or(self.context.info.source.rotation)
    }

    /// Manifest without the lists of frames and warnings.
    fn manifest(&self, read: ReadSummary) -> Result<Manifest, Error> {
        let ends = [read.until, read.stated_until];
        let coverage = self.numbering.coverage(ends).filter(|_| !self.frames.is_empty());
        let Some(Coverage { expected, missing }) = coverage else {
            return Err(self.nothing_selected(&read));
        };
        let omitted = self.omitted_count(read.end);
        let mut source = self.context.info.source.clone();
        source.interlaced = self.interlaced;
        source.rotation = self.orientation();
        let seconds = |time: i64| time as f64 * source.time_base.as_f64();
        let read_part =
            |part: Part| ReadPart { from_s: seconds(part.from), to_s: seconds(part.to) };
        let read_parts = read.parts.map(|parts| parts.into_iter().map(read_part).collect());
        let damaged: Vec<_> = self
            .damage
            .iter()
            .map(|damage| DamagedRange { from_s: seconds(damage.from), to_s: seconds(damage.to) })
            .collect();
        Ok(Manifest {
            manifest_version: MANIFEST_VERSION,
            engine: engine(),
            source,
            recipe: Some(self.form.recipe.clone()),
            compression: self.form.compression,
            complete: missing.is_empty()
                && damaged.is_empty()
                && !read.truncated
                && read.damaged_packets == 0,
            expected,
            written: self.frame_count(),
            omitted,
            read: read_parts,
            missing,
            damaged,
            warnings: Vec::new(),
            skipped: Vec::new(),
            sheets: Vec::new(),
            webvtt: None,
            selected: None,
            frames: Vec::new(),
        })
    }

    /// Number of frames that only the maximum number leaves out of a video with this end.
    fn omitted_count(&self, end: i64) -> u64 {
        let instants = self.context.selector.instants();
        let planned =
            instants.map(|instants| instants.omitted_count(end, self.context.time_base()));
        planned.unwrap_or(0) + self.numbering.omitted_count()
    }

    /// Reason why there are no frames: the video is damaged, or the recipe selects none.
    fn nothing_selected(&self, read: &ReadSummary) -> Error {
        let is_intact = self.damage.is_empty() && !read.truncated && read.damaged_packets == 0;
        let is_empty = match self.context.selector.instants() {
            // Without any packet, no instant could have a frame.
            Some(_) if read.end == i64::MIN => false,
            Some(instants) => instants.select_nothing(read.end, self.context.time_base()),
            None => is_intact && read.end > 0,
        };
        let left_out = self.skipped.len() as u64;
        if is_empty || left_out > 0 {
            Error::NothingSelected { end_s: self.context.info.seconds(read.end), left_out }
        } else {
            Error::NothingDecodable
        }
    }
}

/// Entry of a frame in the manifest.
fn entry(
    frame: &RenderedFrame,
    number: &FrameNumber,
    name: String,
    seconds: f64,
    offset: u64,
) -> FrameEntry {
    let (scene_score, sharpness) = match frame.measure {
        Some(Measure::SceneScore(score)) => (Some(score), None),
        Some(Measure::Sharpness(sharpness)) => (None, Some(sharpness)),
        None => (None, None),
    };
    FrameEntry {
        number: number.number,
        name,
        instant_s: number.instant_s,
        scene_score,
        sharpness,
        timestamp: frame.time,
        timestamp_s: seconds,
        width: frame.width,
        height: frame.height,
        key_frame: frame.key_frame,
        decode_errors: frame.has_errors,
        sha256: frame.sha256.clone(),
        offset,
        length: frame.file.len() as u64,
    }
}
