//! Encoders of libavcodec for single images.

use std::ptr;

use ffmpeg_next as ff;
use ffmpeg_next::ffi;
use jobs::Ratio;

use crate::error::Error;

use super::frame::{Frame, PixelFormat, Plane};
use super::library;

/// Maximum width and height of a WebP file (libwebp, encode.h, `WEBP_MAX_DIMENSION`).
pub(crate) const WEBP_MAX_SIDE: u32 = 16_383;
/// Maximum width and height that the encoder of JPEG accepts (FFmpeg, libavcodec/mjpegenc.c).
pub(crate) const JPEG_MAX_SIDE: u32 = 65_500;

/// Maximum size of a JPEG with Huffman codes of its own, which make it some 10% smaller. For those,
/// the encoder allocates up to 12 bytes per pixel.
const OPTIMAL_CODES_MAX_PIXELS: u32 = 16_000_000;

/// Pixel format of the frames for WebP: `AV_PIX_FMT_RGB32`, which depends on the byte order of the
/// machine.
pub(crate) const WEBP_PIXELS: PixelFormat = if cfg!(target_endian = "little") {
    PixelFormat::AV_PIX_FMT_BGRA
} else {
    PixelFormat::AV_PIX_FMT_ARGB
};

/// Settings of an encoder.
pub(crate) enum ImageCodec {
    /// Lossy WebP of frames in [`WEBP_PIXELS`].
    Webp {
        /// From 1 to 100.
        quality: u8,
        /// From 0 to 6.
        effort: u8,
    },
    /// JPEG of frames in YUVJ420P or YUVJ444P.
    Jpeg {
        /// Quantization tables of luma and chroma, in rows from the top left. The first number of
        /// each counts as 8.
        tables: Box<[[u16; 64]; 2]>,
    },
}

/// Encoder for single images.
pub(crate) struct ImageEncoder {
    codec: *const ffi::AVCodec,
    settings: ImageCodec,
}

// SAFETY: the description of a codec is a constant of libavcodec.
unsafe impl Send for ImageEncoder {}
// SAFETY: as above.
unsafe impl Sync for ImageEncoder {}

impl ImageEncoder {
    /// # Errors
    /// [`Error::EncoderUnavailable`].
    pub(crate) fn find(settings: ImageCodec) -> Result<Self, Error> {
        let (format, encoder, name) = match settings {
            ImageCodec::Webp { .. } => ("webp", "libwebp", c"libwebp"),
            ImageCodec::Jpeg { .. } => ("jpeg", "mjpeg", c"mjpeg"),
        };
        // SAFETY: the name is a string, and the result null or a constant of libavcodec.
        let codec = unsafe { ffi::avcodec_find_encoder_by_name(name.as_ptr()) };
        if codec.is_null() {
            return Err(Error::EncoderUnavailable { format, encoder });
        }
        Ok(Self { codec, settings })
    }

    /// Encode a frame, whose sides the format allows. Only JPEG states the aspect ratio.
    pub(crate) fn encode(&self, frame: &Frame, aspect: Option<Ratio>) -> Result<Vec<u8>, Error> {
        let failed = |error: ff::Error| {
            Error::OutOfMemory(format!("a frame cannot be encoded: {}", library::describe(error)))
        };
        let out_of_memory = ff::Error::Other { errno: libc::ENOMEM };
        let mut frame = input(frame).ok_or(out_of_memory).map_err(failed)?;
        let context = self.open(&frame, aspect).map_err(failed)?;
        let mut packet = ff::Packet::empty();
        // SAFETY: the context is open, the frame has its format and size, and the packet is empty.
        // Without threads and delay, libavcodec encodes the frame before it returns the packet.
        let result = unsafe {
            // The encoder of JPEG uses the quality of the frame.
            (*frame.as_mut_ptr()).quality = (*context.0).global_quality;
            match ffi::avcodec_send_frame(context.0, frame.as_ptr()) {
                0 => {
                    let packet = ff::packet::Mut::as_mut_ptr(&mut packet);
                    ffi::avcodec_receive_packet(context.0, packet)
                }
                error => error,
            }
        };
        if result < 0 {
            return Err(failed(ff::Error::from(result)));
        }
        Ok(packet.data().unwrap_or_default().to_vec())
    }

    /// Open an encoder for frames of this size. That is cheap compared with the encoding.
    fn open(&self, frame: &Frame, aspect: Option<Ratio>) -> Result<Context<'_>, ff::Error> {
        // SAFETY: the context is allocated, configured before it is opened, and freed by `Context`.
        unsafe {
            let context = Context(ffi::avcodec_alloc_context3(self.codec), self);
            let Some(raw) = context.0.as_mut() else {
                return Err(ff::Error::Other { errno: libc::ENOMEM });
            };
            (raw.width, raw.height) = (frame.width() as i32, frame.height() as i32);
            raw.pix_fmt = frame.format();
            raw.time_base = ffi::AVRational { num: 1, den: 1 };
            raw.thread_count = 1;
            match &self.settings {
                ImageCodec::Webp { quality, effort } => {
                    raw.compression_level = (*effort).into();
                    let name = c"quality".as_ptr();
                    ffi::av_opt_set_double(raw.priv_data, name, (*quality).into(), 0);
                }
                ImageCodec::Jpeg { tables } => {
                    // The encoder multiplies the tables by an eighth of this quality, which is 8.
                    raw.global_quality = 8 * ffi::FF_QP2LAMBDA;
                    if frame.width() * frame.height() > OPTIMAL_CODES_MAX_PIXELS {
                        ffi::av_opt_set_int(raw.priv_data, c"huffman".as_ptr(), 0, 0);
                    }
                    // Without a comment that names the version of the library.
                    raw.flags |= (ffi::AV_CODEC_FLAG_QSCALE | ffi::AV_CODEC_FLAG_BITEXACT) as i32;
                    raw.intra_matrix = tables[0].as_ptr().cast_mut();
                    raw.chroma_intra_matrix = tables[1].as_ptr().cast_mut();
                    let Ratio { num, den } = aspect.unwrap_or(Ratio::new(1, 1));
                    raw.sample_aspect_ratio = ffi::AVRational { num: num as i32, den: den as i32 };
                }
            }
            match ffi::avcodec_open2(context.0, self.codec, ptr::null_mut()) {
                0 => Ok(context),
                error => Err(error.into()),
            }
        }
    }
}

/// Reference to a frame, or a copy if its rows are stored from bottom to top, which libwebp does
/// not expect. `None` if memory runs out.
fn input(frame: &Frame) -> Option<Frame> {
    if frame.planes().iter().all(Plane::is_top_down) {
        return frame.share();
    }
    let mut copy = Frame::blank(frame.format(), frame.width(), frame.height())?;
    let planes = frame.planes();
    let rows: Vec<Vec<&[u8]>> = planes.iter().map(|plane| plane.rows().collect()).collect();
    copy.write_rows(|plane, y, row| row.copy_from_slice(rows[plane][y]));
    Some(copy)
}

/// Context of an encoder. It only reads the tables of the settings.
struct Context<'a>(*mut ffi::AVCodecContext, #[expect(dead_code)] &'a ImageEncoder);

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // SAFETY: the context was allocated by libavcodec, or is null, which the function accepts.
        // It would free the tables, which belong to the settings.
        unsafe {
            if let Some(raw) = self.0.as_mut() {
                raw.intra_matrix = ptr::null_mut();
                raw.chroma_intra_matrix = ptr::null_mut();
            }
            ffi::avcodec_free_context(&raw mut self.0);
        }
    }
}
