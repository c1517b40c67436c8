//! Puts the pictures in order and writes the archive with its manifest.

use std::collections::BTreeMap;
use std::io::Write;

use jobs::manifest::{
    DamagedRange, FrameEntry, MANIFEST_NAME, MANIFEST_VERSION, Manifest, MissingRange, Orientation,
    Source,
};

use crate::Error;
use crate::decode::{Scene, SpanReport};
use crate::flow::Flow;
use crate::manifest::{engine, image_name};
use crate::options::{Options, Report};
use crate::read::Read;
use crate::span::{Image, Message};
use crate::zip::Archive;

/// Puts pictures in order and writes them.
pub(crate) struct Writer<'a, W> {
    scene: &'a Scene<'a>,
    flow: &'a Flow,
    archive: Archive<W>,
    images: Vec<FrameEntry>,
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
    pub(crate) fn new(scene: &'a Scene<'a>, flow: &'a Flow, archive: Archive<W>) -> Self {
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

    /// Take what a task tells; write what has its turn by it.
    pub(crate) fn take(&mut self, message: Message) -> Result<(), Error> {
        match message {
            Message::Begin { from } => self.first_slot = from,
            Message::Image { span, order, image } => {
                self.early.insert((span, order), image);
            }
            Message::End { span, images, report } => {
                self.ended.insert(span, (images, report));
            }
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

    /// How many pictures are in the archive.
    pub(crate) fn written(&self) -> u64 {
        self.images.len() as u64
    }

    fn write(&mut self, image: &Image) -> Result<(), Error> {
        let first = *self.first_slot.get_or_insert(image.slots[0]);
        let seconds = self.scene.info.time_base.as_f64() * image.time as f64;
        self.interlaced |= image.interlaced;
        for slot in &image.slots {
            // Slots rise from the first on, whatever a damaged stream pretends; one that is
            // answered stays answered.
            if *slot < first || self.slots.last().is_some_and(|last| last >= slot) {
                continue;
            }
            let number = slot.saturating_sub(first) as u64 + 1;
            if number > self.scene.limits.max_frames {
                return Err(Error::TooLong { limit: self.scene.limits.max_frames });
            }
            let name = image_name(number, seconds);
            let limit = self.scene.limits.max_archive_bytes;
            if self.archive.bytes() + image.png.len() as u64 > limit {
                return Err(Error::ArchiveTooLarge { limit });
            }
            let offset =
                self.archive.add(name.clone(), image.crc, &image.png).map_err(Error::Write)?;
            self.slots.push(*slot);
            self.images.push(FrameEntry {
                number,
                name,
                instant_s: self.scene.instants.instant(*slot),
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
    pub(crate) fn finish(
        mut self,
        read: Read,
        options: &Options,
        mut source: Source,
    ) -> Result<Report, Error> {
        let Some(first) = self.first_slot.filter(|_| !self.images.is_empty()) else {
            return Err(Error::NothingDecodable);
        };
        let written = self.images.len() as u64;
        let answered = self.slots.last().map_or(first, |slot| slot + 1);
        let until =
            [read.until, self.until, read.promised].into_iter().flatten().fold(answered, i64::max);
        let limit = first.saturating_add(options.limits.max_frames as i64);
        let missing = self.missing(first, until.min(limit));
        let expected = (until.min(limit) - first) as u64;
        let mut warnings = read.warnings;
        if source.rotation == Orientation::Skewed {
            warnings.push("the pictures are to be turned by an angle that is no quarter turn; they are left as stored".to_owned());
        }
        source.interlaced = self.interlaced;
        let base = self.scene.info.time_base.as_f64();
        let damaged: Vec<DamagedRange> = self
            .damaged
            .iter()
            .map(|(from, to)| DamagedRange { from_s: *from as f64 * base, to_s: *to as f64 * base })
            .collect();
        let complete = missing.is_empty()
            && damaged.is_empty()
            && !read.broken_off
            && read.damaged_packets == 0;
        let manifest = Manifest {
            manifest_version: MANIFEST_VERSION,
            engine: engine(),
            recipe: options.recipe.clone(),
            compression: options.compression,
            complete,
            expected,
            written,
            missing,
            damaged,
            warnings,
            frames: self.images,
            source,
        };
        let document = serde_json::to_vec(&manifest).map_err(|error| Error::Write(error.into()))?;
        self.archive
            .add(MANIFEST_NAME.to_owned(), crc32fast::hash(&document), &document)
            .map_err(Error::Write)?;
        let zip_bytes = self.archive.finish().map_err(Error::Write)?;
        let duration_s = manifest.source.duration_s;
        let spent = self.scene.spent;
        let (decode_s, encode_s) =
            (spent.decoding.total().as_secs_f64(), spent.encoding.total().as_secs_f64());
        Ok(Report {
            frames: written,
            expected,
            complete,
            duration_s,
            zip_bytes,
            decode_s,
            encode_s,
            warnings: manifest.warnings,
        })
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
                    from_s: self.scene.instants.instant(next),
                    to_s: self.scene.instants.instant(slot - 1),
                });
            }
            next = next.max(slot + 1);
        }
        missing
    }
}
