//! Decodes the packets of one span and hands on the pictures that answer an instant.

use std::collections::VecDeque;

use ffmpeg_next as ff;

use crate::av::{DecodeError, Decoder, Picture, StreamInfo};
use crate::plan::{Chunk, Wanted};
use crate::select::{Instants, Selector};
use crate::spent::Spent;
use crate::time::{MICROSECONDS, rescale};
use crate::{Error, Limits, Stop};

/// What all spans of a video share.
pub(crate) struct Scene<'a> {
    pub info: &'a StreamInfo,
    pub instants: Instants,
    pub limits: &'a Limits,
    pub stop: &'a Stop,
    pub spent: &'a Spent,
}

impl Scene<'_> {
    pub(crate) fn slot(&self, time: i64) -> i64 {
        self.instants.tick(time, self.info.time_base)
    }

    /// The end of a video whose last picture has this time and duration, in units of the time base.
    ///
    /// The way through microseconds is that of the ffmpeg command (FFmpeg 5.1, fftools/ffmpeg.c,
    /// `process_input_packet` and `send_filter_eof`), which decides whether 10.5 seconds are ten
    /// images or eleven.
    pub(crate) fn end(&self, time: i64, duration: i64) -> i64 {
        let base = self.info.time_base;
        let shown = if duration > 0 {
            rescale(duration, base, MICROSECONDS)
        } else {
            self.info.frame_rate.map_or(0, |rate| 1_000_000 * rate.den / rate.num.max(1))
        };
        rescale(rescale(time, base, MICROSECONDS).saturating_add(shown), MICROSECONDS, base)
    }
}

/// A picture that is to be in the archive.
pub(crate) struct Taken {
    pub picture: Picture,
    /// Its time in units of the stream's time base, from the start of the video.
    pub time: i64,
    /// The instants that it answers.
    pub slots: Vec<i64>,
    /// Whether the decoder met errors in it, or in a picture that it may refer to.
    pub errors: bool,
}

/// What became of a span.
#[derive(Debug, Default)]
pub(crate) struct SpanReport {
    /// Its first slot, if a picture told.
    pub from: Option<i64>,
    /// The first slot after it, if the packets did not tell before.
    pub until: Option<i64>,
    /// Time of the first and the last error in it.
    pub damaged: Option<(i64, i64)>,
}

/// What a pass makes of what it did not expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rigor {
    /// It ends at any error, and at any picture that the timestamps did not promise.
    Exact,
    /// It ends at any error.
    Clean,
    /// It makes the best of what comes.
    Lenient,
}

/// Why a pass over a span was given up.
pub(crate) enum Halt {
    /// Not all is as the timestamps promised: the span has to be decoded again with nothing left
    /// out, from this slot on.
    Again(Option<i64>),
    /// Going on makes no sense.
    Stop(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Stop(error)
    }
}

/// One pass of a decoder over a span.
pub(crate) struct Pass<'a> {
    scene: &'a Scene<'a>,
    decoder: Decoder,
    selector: Selector<Shown>,
    wanted: VecDeque<Wanted>,
    /// Whether everything wanted has been announced so far.
    certain: bool,
    rigor: Rigor,
    /// An error was met, and pictures that come now may refer to what it spoiled.
    spoiled: bool,
    first: Option<Shown>,
    last: Option<(i64, i64)>,
    report: SpanReport,
}

struct Shown {
    picture: Picture,
    time: i64,
    slot: i64,
    errors: bool,
}

impl<'a> Pass<'a> {
    /// A pass that begins with slot `from`, or with that of the first picture.
    pub(crate) fn new(
        scene: &'a Scene<'a>,
        decoder: Decoder,
        from: Option<i64>,
        rigor: Rigor,
    ) -> Self {
        Self {
            scene,
            decoder,
            selector: Selector::new(from),
            wanted: VecDeque::new(),
            certain: true,
            rigor,
            spoiled: false,
            first: None,
            last: None,
            report: SpanReport { from, ..SpanReport::default() },
        }
    }

    /// Announce what is wanted of the packets that follow.
    pub(crate) fn expect(&mut self, chunk: &Chunk<ff::Packet>) {
        self.certain &= chunk.certain;
        self.wanted.extend(chunk.wanted.iter().cloned());
    }

    /// Decode one packet.
    pub(crate) fn feed(
        &mut self,
        packet: &ff::Packet,
        take: &mut impl FnMut(Taken) -> Result<(), Error>,
    ) -> Result<(), Halt> {
        self.scene.stop.check()?;
        let time =
            packet.pts().or(packet.dts()).map(|time| time.saturating_sub(self.scene.info.start));
        // The container knows of packets that are cut short; a decoder may pass over that in
        // silence.
        if packet.is_corrupt() {
            self.met(DecodeError::Damaged, time)?;
        }
        if let Err(error) = self.scene.spent.decoding.spend(|| self.decoder.send(packet)) {
            self.met(error, time)?;
        }
        self.pictures(take)
    }

    /// The decoder of a pass that is over, ready for another span.
    pub(crate) fn into_decoder(mut self) -> Decoder {
        self.decoder.reset();
        self.decoder
    }

    /// The span has ended at slot `until`, or where its last picture ends.
    pub(crate) fn finish(
        &mut self,
        until: Option<i64>,
        first_picture: bool,
        take: &mut impl FnMut(Taken) -> Result<(), Error>,
    ) -> Result<SpanReport, Halt> {
        self.scene.spent.decoding.spend(|| self.decoder.drain());
        self.pictures(take)?;
        let end = until.or_else(|| {
            self.last.map(|(time, duration)| self.scene.slot(self.scene.end(time, duration)))
        });
        if let Some(end) = end {
            if let Some((shown, slots)) = self.selector.finish(end) {
                self.answer(shown, slots, take)?;
            } else if let Some(Shown { picture, time, slot, errors }) = self.first.take()
                && (first_picture || (until.is_none() && end <= slot))
            {
                take(Taken { picture, time, slots: vec![slot], errors })?;
                self.report.until = Some(slot + 1);
            }
        }
        if self.rigor == Rigor::Exact && !self.wanted.is_empty() {
            return Err(Halt::Again(self.selector.next()));
        }
        self.report.until = self.report.until.or(end);
        Ok(std::mem::take(&mut self.report))
    }

    fn pictures(&mut self, take: &mut impl FnMut(Taken) -> Result<(), Error>) -> Result<(), Halt> {
        loop {
            match self.scene.spent.decoding.spend(|| self.decoder.receive()) {
                Ok(Some(picture)) => self.shown(picture, take)?,
                Ok(None) => return Ok(()),
                Err(error) => self.met(error, None)?,
            }
            self.scene.stop.check()?;
        }
    }

    fn shown(
        &mut self,
        picture: Picture,
        take: &mut impl FnMut(Taken) -> Result<(), Error>,
    ) -> Result<(), Halt> {
        let Some(time) = picture.timestamp().map(|time| time.saturating_sub(self.scene.info.start))
        else {
            return Ok(());
        };
        self.scene.limits.check_frame(picture.width(), picture.height())?;
        if picture.has_errors() {
            self.met(DecodeError::Damaged, Some(time))?;
        }
        // A picture that decodes without an error may still show what it took over from one that
        // did not. A key frame takes nothing over, but those of H.264 and HEVC that are met within
        // a span are mere recovery points.
        let recovers =
            picture.is_key() && !matches!(self.scene.info.codec.as_str(), "h264" | "hevc");
        self.spoiled &= !recovers || picture.has_errors();
        let errors = self.spoiled;
        let slot = self.scene.slot(time);
        self.report.from.get_or_insert(slot);
        if self.last.is_none() {
            self.first = picture.share().map(|picture| Shown { picture, time, slot, errors });
        }
        self.last = Some((time, picture.duration()));
        match self.selector.push(slot, Shown { picture, time, slot, errors }) {
            Some((shown, slots)) => self.answer(shown, slots, take),
            None => Ok(()),
        }
    }

    /// `shown` is the last picture before the instants of `slots`.
    fn answer(
        &mut self,
        shown: Shown,
        slots: std::ops::Range<i64>,
        take: &mut impl FnMut(Taken) -> Result<(), Error>,
    ) -> Result<(), Halt> {
        self.first = None;
        if self.rigor == Rigor::Exact {
            if self.wanted.front() != Some(&Wanted { slots: slots.clone(), time: shown.time }) {
                return Err(Halt::Again(Some(slots.start)));
            }
            self.wanted.pop_front();
        }
        let max_frames = self.scene.limits.max_frames;
        if slots.end.saturating_sub(slots.start) as u64 > max_frames {
            return Err(Error::TooLong { limit: max_frames }.into());
        }
        let Shown { picture, time, slot, errors } = shown;
        let slots: Vec<i64> = slots
            .filter(|n| self.rigor == Rigor::Exact || self.stands_for(*n, time, slot))
            .collect();
        if !slots.is_empty() {
            take(Taken { picture, time, slots, errors })?;
        }
        Ok(())
    }

    /// Whether a picture may answer instant `n` although there may have been later ones that are
    /// lost: it may if it is the one that was promised, or lies in the same second, so that nobody
    /// gets an old picture for a new one.
    fn stands_for(&mut self, n: i64, time: i64, slot: i64) -> bool {
        while self.wanted.front().is_some_and(|wanted| wanted.slots.end <= n) {
            self.wanted.pop_front();
        }
        let promised = self
            .wanted
            .front()
            .is_some_and(|wanted| wanted.slots.contains(&n) && wanted.time == time);
        promised || slot == n || (!self.certain && self.report.damaged.is_none())
    }

    fn met(&mut self, error: DecodeError, time: Option<i64>) -> Result<(), Halt> {
        match error {
            DecodeError::Fatal(error) => Err(Halt::Stop(error)),
            DecodeError::Damaged if self.rigor != Rigor::Lenient => {
                Err(Halt::Again(self.selector.next()))
            }
            DecodeError::Damaged => {
                self.spoiled = true;
                // Frame threads tell an error late and without its packet's time; that adds nothing
                // to what is known already.
                if let Some(time) = time
                    .or(self.last.filter(|_| self.report.damaged.is_none()).map(|(time, _)| time))
                {
                    let (from, to) = self.report.damaged.unwrap_or((time, time));
                    self.report.damaged = Some((from.min(time), to.max(time)));
                } else {
                    self.report.damaged.get_or_insert((0, 0));
                }
                Ok(())
            }
        }
    }
}
