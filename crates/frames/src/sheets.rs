//! Contact sheets: small copies of the frames in rows, and a list of what is where for players.

use std::fmt::Write;

use jobs::recipe::{Quality, Sheet};

use crate::av::{Frame, PixelFormat, Plane, Scaler};
use crate::encode::{Encoder, jpeg_encoder};
use crate::error::Error;
use crate::fit::{Fit, Size};

/// Name of the WebVTT file in the archive.
pub(crate) const LIST_NAME: &str = "sheets.vtt";

/// Pixel format of the copies, which are called tiles.
pub(crate) const TILE_FORMATS: &[PixelFormat] = &[PixelFormat::AV_PIX_FMT_RGB24];

/// Maximum number of tiles of a sheet.
const MAX_TILES: usize = 100;
/// Maximum height of a sheet and number of its pixels, so that browsers show it and 48 MB hold it.
const MAX_HEIGHT: u32 = 16_000;
const MAX_PIXELS: u32 = 16_000_000;

/// Limits into which a frame is fitted as a tile: twice as high as wide at most.
pub(crate) fn tile_fit(sheet: Sheet) -> Fit {
    Fit::within(sheet.tile_width(), 2 * sheet.tile_width())
}

/// File for the archive.
pub(crate) struct SheetFile {
    pub name: String,
    pub bytes: Vec<u8>,
    pub size: Size,
    /// Number of tiles.
    pub tiles: u64,
}

/// Composes the contact sheets of one archive.
pub(crate) struct Sheets {
    columns: usize,
    encoder: Box<dyn Encoder>,
    scaler: Scaler,
    /// Size of a tile: that of the first frame's.
    tile: Option<Size>,
    /// Tiles of the current sheet.
    tiles: Vec<Frame>,
    /// Number of finished sheets.
    finished: u64,
    cues: Vec<Cue>,
}

/// Time from which a tile is shown.
struct Cue {
    seconds: f64,
    sheet: u64,
    /// Position of the tile in its sheet.
    index: usize,
}

impl Sheets {
    /// # Errors
    /// [`Error::EncoderUnavailable`].
    pub(crate) fn new(sheet: Sheet) -> Result<Self, Error> {
        Ok(Self {
            columns: sheet.columns().into(),
            encoder: jpeg_encoder(Quality::DEFAULT)?,
            scaler: Scaler::default(),
            tile: None,
            tiles: Vec::new(),
            finished: 0,
            cues: Vec::new(),
        })
    }

    /// Add the tile of the frame at a time in seconds. Return the sheet that it completes, if any.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(crate) fn add(&mut self, tile: Frame, seconds: f64) -> Result<Option<SheetFile>, Error> {
        let size = *self.tile.get_or_insert(tile.size());
        let tile = self.fitted(tile, size)?;
        self.cues.push(Cue { seconds, sheet: self.finished + 1, index: self.tiles.len() });
        self.tiles.push(tile);
        if self.tiles.len() < self.columns * self.rows(size) {
            return Ok(None);
        }
        self.finish_sheet()
    }

    /// End the frames. Return the last sheet, if it is not empty.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(crate) fn finish_sheet(&mut self) -> Result<Option<SheetFile>, Error> {
        let Some(tile) = self.tile.filter(|_| !self.tiles.is_empty()) else { return Ok(None) };
        let tiles = std::mem::take(&mut self.tiles);
        let columns = self.columns.min(tiles.len());
        let size = Size {
            width: tile.width * columns as u32,
            height: tile.height * tiles.len().div_ceil(self.columns) as u32,
        };
        let sheet = compose(&tiles, tile, size)?;
        self.finished += 1;
        Ok(Some(SheetFile {
            name: format!("sheet_{:05}.jpg", self.finished),
            bytes: self.encoder.encode(&sheet, None)?,
            size,
            tiles: tiles.len() as u64,
        }))
    }

    /// List of the tiles by time, up to the end of the video in seconds, in WebVTT (W3C WebVTT,
    /// section 4). Players show the part of an image that a media fragment names (W3C Media
    /// Fragments 1.0, section 4.2.2).
    pub(crate) fn list(&self, end: f64) -> String {
        let mut list = "WEBVTT\n".to_owned();
        let Some(Size { width, height }) = self.tile else { return list };
        let starts = self.cues.iter().map(|cue| cue.seconds).skip(1).chain([end]);
        let mut from = 0;
        for (cue, until) in self.cues.iter().zip(starts) {
            let until = milliseconds(until);
            // The frame may stand for several instants, or be the last one.
            if until <= from {
                continue;
            }
            let (x, y) = (cue.index % self.columns, cue.index / self.columns);
            let (x, y) = (x as u32 * width, y as u32 * height);
            let (start, end) = (clock(from), clock(until));
            // Writing to a string does not fail.
            let _ = write!(
                list,
                "\n{start} --> {end}\nsheet_{:05}.jpg#xywh={x},{y},{width},{height}\n",
                cue.sheet
            );
            from = until;
        }
        list
    }

    /// Number of rows of a full sheet.
    fn rows(&self, tile: Size) -> usize {
        let by_height = MAX_HEIGHT / tile.height;
        let by_pixels = MAX_PIXELS / (tile.width * self.columns as u32) / tile.height;
        (MAX_TILES / self.columns).min(by_height.min(by_pixels) as usize).max(1)
    }

    /// Scale a tile that is larger than the others.
    fn fitted(&mut self, tile: Frame, limit: Size) -> Result<Frame, Error> {
        let fit = Fit::within(limit.width as u16, limit.height as u16);
        let size = fit.size(tile.size(), None);
        if size == tile.size() {
            return Ok(tile);
        }
        self.scaler.convert(&tile, tile.format(), size)
    }
}

/// Picture with tiles in rows, each in the middle of its place, on black.
fn compose(tiles: &[Frame], tile: Size, size: Size) -> Result<Frame, Error> {
    const STEP: usize = 3;
    let mut sheet = Frame::blank(TILE_FORMATS[0], size.width, size.height)
        .ok_or_else(|| Error::OutOfMemory("a contact sheet cannot be composed".into()))?;
    let columns = (size.width / tile.width) as usize;
    let rows: Vec<Vec<&[u8]>> =
        tiles.iter().map(|tile| tile.planes().iter().flat_map(Plane::rows).collect()).collect();
    let (place_width, place_height) = (tile.width as usize, tile.height as usize);
    sheet.write_rows(|_, y, row| {
        row.fill(0);
        for (x, place) in row.chunks_exact_mut(place_width * STEP).enumerate() {
            let Some(rows) = rows.get(y / place_height * columns + x) else { return };
            let top = (place_height - rows.len()) / 2;
            let Some(source) = (y % place_height).checked_sub(top).and_then(|y| rows.get(y)) else {
                continue;
            };
            let left = (place_width - source.len() / STEP) / 2 * STEP;
            place[left..left + source.len()].copy_from_slice(source);
        }
    });
    Ok(sheet)
}

/// Time in whole milliseconds, at least 0.
fn milliseconds(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1000.0).round() as u64
}

/// Timestamp in the form of WebVTT.
fn clock(ms: u64) -> String {
    let (s, m, h) = (ms / 1000 % 60, ms / 60_000 % 60, ms / 3_600_000);
    format!("{h:02}:{m:02}:{s:02}.{:03}", ms % 1000)
}
