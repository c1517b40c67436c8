//! Rendering of a selected frame: from its decoded pixels to its file, and to what the writer needs
//! to know about it.

use jobs::manifest::{Compression, Orientation};
use jobs::recipe::{Recipe, Skip};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::av::{Frame, Scaler};
use crate::context::StreamContext;
use crate::convert::{Converted, Converter, Target};
use crate::decode::SelectedFrame;
use crate::encode::{Encoder, encoder};
use crate::error::Error;
use crate::fit::Fit;
use crate::previews::Previews;
use crate::select::Measure;
use crate::sheets::{TILE_FORMATS, tile_fit};
use crate::thumbprint::Thumbprint;

/// Renders the frames of one video, on several threads at once.
pub(crate) struct Renderer {
    encoder: Box<dyn Encoder>,
    /// Size of the frames in the archive.
    fit: Fit,
    /// Size of the tiles of contact sheets, if these are requested.
    tile_fit: Option<Fit>,
    previews: Option<Previews>,
    skip: Skip,
    /// Tools that are not in use.
    tools: Mutex<Vec<Tools>>,
}

/// What rendering sets up for one frame and uses again for the next.
#[derive(Default)]
struct Tools {
    converter: Converter,
    tile_converter: Converter,
    preview_converter: Converter,
    thumbprint_scaler: Scaler,
}

/// Frame ready for the archive.
pub(crate) struct RenderedFrame {
    /// Empty if the frame is blank and blank frames are left out.
    pub file: Vec<u8>,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Timestamp in units of the stream's time base, from the start of the video.
    pub time: i64,
    /// Ticks for which the frame is selected.
    pub ticks: Vec<i64>,
    /// Measure of its content that decided.
    pub measure: Option<Measure>,
    pub width: u32,
    pub height: u32,
    /// Rotation that was applied.
    pub rotation: Orientation,
    pub key_frame: bool,
    pub interlaced: bool,
    pub has_errors: bool,
    /// Small copy, if frames are left out by their content.
    pub thumbprint: Option<Thumbprint>,
    /// Copy for a contact sheet, if these are requested.
    pub tile: Option<Frame>,
    /// Small JPEG, if one was due.
    pub preview: Option<Vec<u8>>,
}

impl RenderedFrame {
    /// Size in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        let tile = self.tile.as_ref().map_or(0, |tile| {
            tile.planes().iter().map(|plane| plane.layout.row_bytes() * plane.layout.height).sum()
        });
        let thumbprint = self.thumbprint.as_ref().map_or(0, Thumbprint::size);
        let preview = self.preview.as_ref().map_or(0, Vec::len);
        self.file.len() + tile + thumbprint + preview
    }
}

impl Renderer {
    /// # Errors
    /// [`Error::EncoderUnavailable`].
    pub(crate) fn new(
        recipe: &Recipe,
        compression: Compression,
        with_previews: bool,
    ) -> Result<Self, Error> {
        Ok(Self {
            encoder: encoder(&recipe.image, compression)?,
            fit: Fit::new(&recipe.image),
            tile_fit: recipe.sheet.map(tile_fit),
            previews: with_previews.then(Previews::new).flatten(),
            skip: recipe.skip,
            tools: Mutex::default(),
        })
    }

    /// Compression of the files, if their format has a choice.
    pub(crate) fn compression(&self) -> Option<Compression> {
        self.encoder.compression()
    }

    /// # Errors
    /// Those of conversion and encoding.
    pub(crate) fn render(
        &self,
        context: &StreamContext<'_>,
        selected: SelectedFrame,
    ) -> Result<RenderedFrame, Error> {
        let mut tools = self.tools.lock().pop().unwrap_or_default();
        let rendered = self.render_with(&mut tools, context, selected);
        self.tools.lock().push(tools);
        rendered
    }

    fn render_with(
        &self,
        tools: &mut Tools,
        context: &StreamContext<'_>,
        selected: SelectedFrame,
    ) -> Result<RenderedFrame, Error> {
        let SelectedFrame { frame, time, ticks, measure, has_errors } = selected;
        let (key_frame, interlaced) = (frame.is_key(), frame.is_interlaced());
        let rotation = frame.orientation().unwrap_or(context.info.source.rotation);
        let thumbprint = (!self.skip.is_none())
            .then(|| Thumbprint::of(&frame, &mut tools.thumbprint_scaler))
            .transpose()?;
        let is_blank = self.skip.blank && thumbprint.as_ref().is_some_and(Thumbprint::is_blank);
        let mut rendered = RenderedFrame {
            file: Vec::new(),
            sha256: String::new(),
            time,
            ticks,
            measure,
            width: 0,
            height: 0,
            rotation,
            key_frame,
            interlaced,
            has_errors,
            thumbprint,
            tile: None,
            preview: None,
        };
        if is_blank {
            return Ok(rendered);
        }
        let aspect = context.info.displayed_aspect(&frame, rotation);
        let limits = context.limits;
        if let Some(fit) = self.tile_fit {
            let shared = frame.try_share()?;
            let target = Target { formats: TILE_FORMATS, fit, limits };
            let tile = tools.tile_converter.convert(shared, rotation, aspect, target)?;
            rendered.tile = Some(tile.frame);
        }
        if let Some(previews) = &self.previews {
            let (converter, shape) = (&mut tools.preview_converter, (rotation, aspect));
            rendered.preview = previews.of(&frame, converter, shape, limits);
        }
        let target = Target { formats: self.encoder.pixel_formats(), fit: self.fit, limits };
        let Converted { frame, aspect } =
            tools.converter.convert(frame, rotation, aspect, target)?;
        rendered.file = self.encoder.encode(&frame, aspect)?;
        rendered.sha256 = hex::encode(Sha256::digest(&rendered.file));
        (rendered.width, rendered.height) = (frame.width(), frame.height());
        Ok(rendered)
    }
}
