//! Writer: puts the encoded frames in order and writes the archive with its manifest.

use std::collections::BTreeMap;
use std::io::Write;

use jobs::Recipe;
use jobs::manifest::{
    Compression, DamagedRange, FrameEntry, MANIFEST_NAME, MANIFEST_VERSION, Manifest, MissingRange,
    Orientation, Source,
};

use crate::archive::Archive;
use crate::context::StreamContext;
use crate::decode::SpanReport;
use crate::error::Error;
use crate::flow::Flow;
use crate::manifest::{engine, entry_name};
use crate::options::Report;
use crate::reader::ReadSummary;
use crate::span::{EncodedFrame, WriterMessage};

/// Facts about an extraction that the manifest states in addition to the frames.
pub(crate) struct ManifestInput {
    pub recipe: Recipe,
    pub compression: Compression,
    pub source: Source,
}

/// Writer of one archive.
pub(crate) struct Writer<'a, W> {
    context: &'a StreamContext<'a>,
    flow: &'a Flow,
    archive: Archive<W>,
    /// Suffix of the frames' entries.
    suffix: &'static str,
    frames: Vec<FrameEntry>,
    /// Frames that arrived before their turn.
    early_frames: BTreeMap<(u64, usize), EncodedFrame>,
    /// Number of frames, and report, of spans that ended before their turn.
    ended_spans: BTreeMap<u64, (usize, SpanReport)>,
    /// Span whose frames are written next.
    span: u64,
    /// Number of frames of this span that are written.
    order: usize,
    /// First tick of the video.
    first_tick: Option<i64>,
    /// First tick after the video, according to its frames.
    until: Option<i64>,
    damaged: Vec<(i64, i64)>,
    /// Ticks of the frames in the archive.
    ticks: Vec<i64>,
    interlaced: bool,
}

impl<'a, W: Write> Writer<'a, W> {
    pub(crate) fn new(
        context: &'a StreamContext<'a>,
        flow: &'a Flow,
        archive: Archive<W>,
        suffix: &'static str,
    ) -> Self {
        Self {
            context,
            flow,
            archive,
            suffix,
            frames: Vec::new(),
            early_frames: BTreeMap::new(),
            ended_spans: BTreeMap::new(),
            span: 0,
            order: 0,
            first_tick: None,
            until: None,
            damaged: Vec::new(),
            ticks: Vec::new(),
            interlaced: false,
        }
    }

    /// Handle a message, and write all frames that are next in order.
    pub(crate) fn handle(&mut self, message: WriterMessage) -> Result<(), Error> {
        match message {
            WriterMessage::Start { from } => self.first_tick = from,
            WriterMessage::Frame { span, order, frame } => {
                self.early_frames.insert((span, order), frame);
            }
            WriterMessage::SpanEnd { span, frame_count, report } => {
                self.ended_spans.insert(span, (frame_count, report));
            }
        }
        loop {
            if let Some(frame) = self.early_frames.remove(&(self.span, self.order)) {
                self.order += 1;
                self.write(&frame)?;
            } else if self
                .ended_spans
                .get(&self.span)
                .is_some_and(|(count, _)| *count == self.order)
            {
                if let Some((_, report)) = self.ended_spans.remove(&self.span) {
                    self.first_tick = self.first_tick.or(report.from);
                    self.until = report.until.or(self.until);
                    self.damaged.extend(report.damaged);
                }
                self.span += 1;
                self.order = 0;
                self.flow.set_current_span(self.span);
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
        let first = *self.first_tick.get_or_insert(frame.ticks[0]);
        let seconds = self.context.info.time_base.as_f64() * frame.time as f64;
        self.interlaced |= frame.interlaced;
        let length = frame.file.len() as u64;
        for tick in &frame.ticks {
            // In a damaged stream ticks may repeat. The first frame for a tick is kept.
            if *tick < first || self.ticks.last().is_some_and(|last| last >= tick) {
                continue;
            }
            let number = tick.saturating_sub(first) as u64 + 1;
            if number > self.context.limits.max_frames {
                return Err(Error::TooLong { limit: self.context.limits.max_frames });
            }
            let limit = self.context.limits.max_archive_bytes;
            if self.archive.size() + length > limit {
                return Err(Error::ArchiveTooLarge { limit });
            }
            let name = entry_name(number, seconds, self.suffix);
            let offset = self.archive.add(&name, &frame.file).map_err(Error::Write)?;
            self.ticks.push(*tick);
            self.frames.push(FrameEntry {
                number,
                name,
                instant_s: self.context.instants.instant(*tick),
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
    pub(crate) fn finish(
        mut self,
        read: ReadSummary,
        input: ManifestInput,
    ) -> Result<Report, Error> {
        let mut manifest = self.manifest(read, input)?;
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
    fn manifest(&self, read: ReadSummary, input: ManifestInput) -> Result<Manifest, Error> {
        let Some(first) = self.first_tick.filter(|_| !self.frames.is_empty()) else {
            return Err(Error::NothingDecodable);
        };
        let written_until = self.ticks.last().map_or(first, |tick| tick + 1);
        let until = [read.until, self.until, read.stated_until]
            .into_iter()
            .flatten()
            .fold(written_until, i64::max);
        let until = until.min(first.saturating_add(self.context.limits.max_frames as i64));
        let missing = self.missing(first, until);
        let mut warnings = read.warnings;
        if input.source.rotation == Orientation::Skewed {
            warnings.push(
                "the video is to be rotated by an angle that is not a multiple of 90 degrees; \
                 the frames are stored without rotation"
                    .to_owned(),
            );
        }
        let base = self.context.info.time_base.as_f64();
        let damaged: Vec<_> = self
            .damaged
            .iter()
            .map(|(from, to)| DamagedRange { from_s: *from as f64 * base, to_s: *to as f64 * base })
            .collect();
        Ok(Manifest {
            manifest_version: MANIFEST_VERSION,
            engine: engine(),
            source: Source { interlaced: self.interlaced, ..input.source },
            recipe: input.recipe,
            compression: input.compression,
            complete: missing.is_empty()
                && damaged.is_empty()
                && !read.truncated
                && read.damaged_packets == 0,
            expected: (until - first) as u64,
            written: self.frame_count(),
            missing,
            damaged,
            warnings,
            frames: Vec::new(),
        })
    }

    /// Ranges of ticks from `first` to `until` without a frame.
    fn missing(&self, first: i64, until: i64) -> Vec<MissingRange> {
        let mut missing = Vec::new();
        let mut next = first;
        for tick in self.ticks.iter().copied().chain([until]) {
            if tick > next {
                missing.push(MissingRange {
                    first_number: (next - first) as u64 + 1,
                    last_number: (tick - first) as u64,
                    from_s: self.context.instants.instant(next),
                    to_s: self.context.instants.instant(tick - 1),
                });
            }
            next = next.max(tick + 1);
        }
        missing
    }
}
