//! Archives and PNG files, read by libraries that `frames` does not write them with.

use std::io::{Cursor, Read};

use serde_json::Value;

use super::checks::expect_equal;

/// Content of an archive.
#[derive(Debug)]
pub struct Archive {
    /// The file itself.
    pub bytes: Vec<u8>,
    /// Names and contents of the entries except the manifest, in their order.
    pub frames: Vec<(String, Vec<u8>)>,
    /// The manifest, which has to be the last entry.
    pub manifest: Value,
}

impl Archive {
    /// Read all entries.
    pub fn read(bytes: Vec<u8>) -> Result<Self, String> {
        let mut archive =
            zip::ZipArchive::new(Cursor::new(&bytes)).map_err(|error| error.to_string())?;
        let mut frames = Vec::new();
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(|error| error.to_string())?;
            let name = entry.name().map_err(|error| error.to_string())?.into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(|error| format!("{name}: {error}"))?;
            frames.push((name, content));
        }
        let (name, manifest) = frames.pop().ok_or("the archive is empty")?;
        expect_equal("last entry", name.as_str(), "manifest.json")?;
        let manifest = serde_json::from_slice(&manifest).map_err(|error| error.to_string())?;
        Ok(Self { bytes, frames, manifest })
    }

    /// The manifest's descriptions of the frames.
    pub fn frame_entries(&self) -> &[Value] {
        self.manifest["frames"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Return an error unless the PNG frames have these pixels, one frame after another.
    pub fn expect_pixels(&self, expected: &[u8]) -> Result<(), String> {
        let frames = self.pixels()?;
        let layout = frames.first().ok_or("no frame")?.layout;
        let size: usize = frames.iter().map(|frame| frame.bytes.len()).sum();
        expect_equal("bytes of all frames", size, expected.len())?;
        let mut expected = expected;
        for (frame, (name, _)) in frames.iter().zip(&self.frames) {
            expect_equal("layout", frame.layout, layout)?;
            let (theirs, rest) = expected.split_at(frame.bytes.len());
            if frame.bytes != theirs {
                let differing = frame.bytes.iter().zip(theirs).filter(|(a, b)| a != b).count();
                return Err(format!("{name} differs in {differing} of {} bytes", theirs.len()));
            }
            expected = rest;
        }
        Ok(())
    }

    /// Decode all frames.
    pub fn pixels(&self) -> Result<Vec<Pixels>, String> {
        self.frames.iter().map(|(_, png)| Pixels::of(png)).collect()
    }
}

/// A decoded PNG.
#[derive(Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// libav's name of the pixel format of `bytes`.
    pub layout: &'static str,
    /// The rows, one after another.
    pub bytes: Vec<u8>,
}

impl Pixels {
    /// Decode a PNG as it is. Only palettes and single bits are expanded to bytes, since the ffmpeg
    /// command has no raw format to compare them in.
    pub fn of(png: &[u8]) -> Result<Self, String> {
        use png::{BitDepth, ColorType, Transformations};
        let mut decoded =
            Decoded::of(png, Transformations::IDENTITY).map_err(|error| error.to_string())?;
        let (layout, transformations) = match (decoded.color, decoded.depth) {
            (ColorType::Rgb, BitDepth::Eight) => ("rgb24", None),
            (ColorType::Rgb, BitDepth::Sixteen) => ("rgb48be", None),
            (ColorType::Rgba, BitDepth::Eight) => ("rgba", None),
            (ColorType::Rgba, BitDepth::Sixteen) => ("rgba64be", None),
            (ColorType::Grayscale, BitDepth::Eight) => ("gray", None),
            (ColorType::Grayscale, BitDepth::Sixteen) => ("gray16be", None),
            (ColorType::GrayscaleAlpha, BitDepth::Eight) => ("ya8", None),
            (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => ("ya16be", None),
            (ColorType::Grayscale, BitDepth::One) => ("gray", Some(Transformations::EXPAND)),
            (ColorType::Indexed, _) => {
                ("rgba", Some(Transformations::EXPAND | Transformations::ALPHA))
            }
            other => return Err(format!("unexpected color type and depth of a PNG: {other:?}")),
        };
        if let Some(transformations) = transformations {
            decoded = Decoded::of(png, transformations).map_err(|error| error.to_string())?;
        }
        let Decoded { width, height, bytes, .. } = decoded;
        Ok(Self { width, height, layout, bytes })
    }
}

/// A PNG as the library decodes it.
struct Decoded {
    width: u32,
    height: u32,
    color: png::ColorType,
    depth: png::BitDepth,
    bytes: Vec<u8>,
}

impl Decoded {
    fn of(png: &[u8], transformations: png::Transformations) -> Result<Self, png::DecodingError> {
        let mut decoder = png::Decoder::new(Cursor::new(png));
        decoder.set_transformations(transformations);
        let mut reader = decoder.read_info()?;
        let mut bytes = vec![0; reader.output_buffer_size().unwrap_or(0)];
        let frame = reader.next_frame(&mut bytes)?;
        bytes.truncate(frame.buffer_size());
        let (color, depth) = (reader.info().color_type, reader.info().bit_depth);
        Ok(Self { width: frame.width, height: frame.height, color, depth, bytes })
    }
}
