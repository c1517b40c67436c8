//! Writer: puts the encoded frames in order and writes the archive with its manifest.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Write;

use jobs::Recipe;
use jobs::manifest::{
    Compression, DamagedRange, FrameEntry, MANIFEST_NAME, MANIFEST_VERSION, Manifest, Orientation,
};

use crate::archive::Archive;
use crate::context::StreamContext;
use crate::decode::{Damage, SpanReport};
use crate::error::Error;
use crate::flow::Flow;
use crate::manifest::engine;
use crate::options::Report;
use crate::reader::ReadSummary;
use crate::select::{Coverage, Numbering};
use crate::span::{EncodedFrame, FramePosition, WriterMessage};

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
    /// Frames that arrived before their turn.
    early_frames: BTreeMap<FramePosition, EncodedFrame>,
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
    ) -> Self {
        let max_count = form.recipe.max_frames.map(|max| u64::from(max.get()));
        Self {
            context,
            flow,
            archive,
            form,
            frames: Vec::new(),
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

    /// Start again with the first span. Frames that were written are kept.
    pub(crate) fn restart(&mut self) {
        self.early_frames.clear();
        self.ended_spans.clear();
        self.next = FramePosition { span: 0, order: 0 };
        self.numbering.restart();
        if let (Some(instants), true) = (self.context.selector.instants(), self.frames.is_empty()) {
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
                self.early_frames.insert(position, frame);
            }
            WriterMessage::SpanEnd { span, frame_count, report } => {
                self.ended_spans.insert(span, EndedSpan { frame_count, report });
            }
        }
        loop {
            if let Some(frame) = self.early_frames.remove(&self.next) {
                self.next.order += 1;
                self.write(&frame)?;
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
    fn write(&mut self, frame: &EncodedFrame) -> Result<(), Error> {
        let seconds = self.context.info.source.time_base.as_f64() * frame.time as f64;
        self.interlaced |= frame.interlaced;
        self.rotation_changes |= *self.rotation.get_or_insert(frame.rotation) != frame.rotation;
        let length = frame.file.len() as u64;
        for tick in &frame.ticks {
            let Some(number) = self.numbering.number(*tick)? else { continue };
            let limit = self.context.limits.max_archive_bytes;
            if self.archive.size() + length > limit {
                return Err(Error::ArchiveTooLarge { limit });
            }
            let name = number.entry_name(seconds, self.form.recipe.image.format().suffix());
            let offset = self.archive.add(&name, &frame.file).map_err(Error::Write)?;
            self.frames.push(FrameEntry {
                number: number.number,
                name,
                instant_s: number.instant_s,
                timestamp: frame.time,
                timestamp_s: seconds,
                width: frame.width,
                height: frame.height,
                key_frame: frame.key_frame,
                decode_errors: frame.has_errors,
                sha256: frame.sha256.clone(),
                offset,
                length,
            });
        }
        self.flow.frame_written(frame.file.len());
        Ok(())
    }

    /// Write the manifest and the directory of the archive.
    pub(crate) fn finish(mut self, read: ReadSummary) -> Result<Report, Error> {
        let mut manifest = self.manifest(read)?;
        manifest.frames = std::mem::take(&mut self.frames);
        let document = serde_json::to_vec(&manifest).map_err(|error| Error::Write(error.into()))?;
        self.archive.add(MANIFEST_NAME, &document).map_err(Error::Write)?;
        let timing = self.context.timing;
        let report = Report {
            frames: manifest.written,
            expected: manifest.expected,
            complete: manifest.complete,
            duration_s: manifest.source.duration_s,
            zip_bytes: self.archive.finish().map_err(Error::Write)?,
            decode_s: timing.decoding.total().as_secs_f64(),
            encode_s: timing.encoding.total().as_secs_f64(),
            warnings: manifest.warnings,
        };
        Ok(report)
    }

    /// Manifest without the list of frames.
    fn manifest(&self, read: ReadSummary) -> Result<Manifest, Error> {
        let ends = [read.until, read.stated_until];
        let Some(Coverage { expected, missing }) = self.numbering.coverage(ends) else {
            let (instants, unit) = (self.context.selector.instants(), self.context.time_base());
            let is_empty = instants.is_some_and(|instants| instants.select_nothing(read.end, unit));
            return Err(if is_empty {
                Error::NothingSelected { end_s: self.context.info.seconds(read.end) }
            } else {
                Error::NothingDecodable
            });
        };
        let late_times = read.late_times(self.context);
        let omitted = self
            .context
            .selector
            .instants()
            .map_or(0, |instants| instants.omitted_count(read.end, self.context.time_base()));
        let mut source = self.context.info.source.clone();
        source.interlaced = self.interlaced;
        source.rotation = self.rotation.unwrap_or(source.rotation);
        let mut warnings = read.warnings;
        warnings.extend(late_times);
        if self.rotation_changes {
            warnings.push(
                "the orientation changes during the video; each frame is rotated by its own"
                    .to_owned(),
            );
        }
        if source.rotation == Orientation::Skewed {
            warnings.push(
                "the video is to be rotated by an angle that is not a multiple of 90 degrees; \
                 the frames are stored without rotation"
                    .to_owned(),
            );
        }
        let seconds = |time: i64| time as f64 * source.time_base.as_f64();
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
            missing,
            damaged,
            warnings,
            frames: Vec::new(),
        })
    }
}
