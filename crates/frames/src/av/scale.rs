//! Converts pixels with swscale exactly as the ffmpeg command's own conversion before its PNG
//! encoder does.

use std::ffi::CStr;
use std::ptr;

use ffmpeg_next::ffi;

use crate::Error;

use super::{Picture, PixelFormat};

/// swscale's number for bicubic scaling (FFmpeg, libswscale/swscale.h), the default of ffmpeg's
/// command line.
const BICUBIC: i64 = 4;

/// What a conversion depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    from: PixelFormat,
    to: PixelFormat,
    width: i32,
    height: i32,
    space: ffi::AVColorSpace,
    range: ffi::AVColorRange,
}

/// A conversion that is set up once and used for all pictures of one shape.
#[derive(Default)]
pub(crate) struct Scaler(Option<(Shape, *mut ffi::SwsContext)>);

// SAFETY: a scaling context has no ties to the thread that made it, and `&mut self` keeps two
// threads from using it at once.
unsafe impl Send for Scaler {}

impl Scaler {
    /// `picture` in another pixel format, same size.
    pub(crate) fn convert(&mut self, picture: &Picture, to: PixelFormat) -> Result<Picture, Error> {
        let out_of_memory = || Error::OutOfMemory("a picture cannot be converted".into());
        let mut converted =
            Picture::blank(to, picture.width(), picture.height()).ok_or_else(out_of_memory)?;
        // SAFETY: the frame is valid and only read.
        let frame = unsafe { &*picture.frame() };
        let shape = Shape {
            from: picture.format(),
            to,
            width: frame.width,
            height: frame.height,
            space: frame.colorspace,
            range: frame.color_range,
        };
        let context = self.context(shape).ok_or_else(out_of_memory)?;
        // SAFETY: both frames have the shape that the context was made for, and memory for all
        // their rows.
        let rows = unsafe {
            let target = &mut *converted.frame_mut();
            ffi::sws_scale(
                context,
                frame.data.as_ptr().cast::<*const u8>(),
                frame.linesize.as_ptr(),
                0,
                frame.height,
                target.data.as_ptr(),
                target.linesize.as_ptr(),
            )
        };
        if rows < 0 { Err(out_of_memory()) } else { Ok(converted) }
    }

    fn context(&mut self, shape: Shape) -> Option<*mut ffi::SwsContext> {
        if let Some((known, context)) = self.0
            && known == shape
        {
            return Some(context);
        }
        self.clear();
        let context = new_context(shape)?;
        self.0 = Some((shape, context));
        Some(context)
    }

    fn clear(&mut self) {
        if let Some((_, context)) = self.0.take() {
            // SAFETY: the context was made by sws_alloc_context and is not used again.
            unsafe { ffi::sws_freeContext(context) };
        }
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The settings that FFmpeg 5.1's scale filter makes when it is inserted for a format alone
/// (libavfilter/vf_scale.c, `config_props` and `scale_frame`).
fn new_context(shape: Shape) -> Option<*mut ffi::SwsContext> {
    let full_range = shape.range == ffi::AVColorRange::AVCOL_RANGE_JPEG;
    let range_known = shape.range != ffi::AVColorRange::AVCOL_RANGE_UNSPECIFIED;
    // MPEG-2's chroma position, which the filter sets for this one format only.
    let chroma_row = if shape.from == PixelFormat::AV_PIX_FMT_YUV420P { 128 } else { -513 };
    let settings: [(&CStr, i64); 8] = [
        (c"srcw", shape.width.into()),
        (c"srch", shape.height.into()),
        (c"src_format", shape.from as i64),
        (c"dstw", shape.width.into()),
        (c"dsth", shape.height.into()),
        (c"dst_format", shape.to as i64),
        (c"sws_flags", BICUBIC),
        (c"src_v_chr_pos", chroma_row),
    ];
    // SAFETY: the context is allocated, set up by name while it is fresh, initialised, and freed
    // again if that fails. The tables that sws_getColorspaceDetails gives out belong to it.
    unsafe {
        let context = ffi::sws_alloc_context();
        if context.is_null() {
            return None;
        }
        for (name, value) in settings {
            ffi::av_opt_set_int(context.cast(), name.as_ptr(), value, 0);
        }
        if range_known {
            ffi::av_opt_set_int(context.cast(), c"src_range".as_ptr(), full_range.into(), 0);
        }
        if ffi::sws_init_context(context, ptr::null_mut(), ptr::null_mut()) < 0 {
            ffi::sws_freeContext(context);
            return None;
        }
        let (mut inverse, mut table) = (ptr::null_mut(), ptr::null_mut());
        let (mut from_full, mut to_full, mut brightness, mut contrast, mut saturation) =
            (0, 0, 0, 0, 0);
        ffi::sws_getColorspaceDetails(
            context,
            &raw mut inverse,
            &raw mut from_full,
            &raw mut table,
            &raw mut to_full,
            &raw mut brightness,
            &raw mut contrast,
            &raw mut saturation,
        );
        if range_known {
            from_full = full_range.into();
        }
        let matrix = ffi::sws_getCoefficients(matrix(shape.space));
        ffi::sws_setColorspaceDetails(
            context, matrix, from_full, matrix, to_full, brightness, contrast, saturation,
        );
        Some(context)
    }
}

/// swscale's number of the matrix for a colour space; what it does not know, and what is not
/// tagged, is BT.601 (libavfilter/vf_scale.c, `parse_yuv_type`).
fn matrix(space: ffi::AVColorSpace) -> i32 {
    match space as i32 {
        known @ (1..=7 | 9..=10) => known,
        _ => ffi::AVColorSpace::AVCOL_SPC_BT470BG as i32,
    }
}

/// The format in which the ffmpeg command would hand pictures of format `from` to its PNG encoder:
/// the closest of those that the encoder takes (FFmpeg, libavcodec/pngenc.c for the list,
/// libavfilter/avfiltergraph.c `pick_format` for the choice).
pub(crate) fn png_format(from: PixelFormat) -> PixelFormat {
    use PixelFormat as F;
    const TAKEN: [PixelFormat; 10] = [
        F::AV_PIX_FMT_RGB24,
        F::AV_PIX_FMT_RGBA,
        F::AV_PIX_FMT_RGB48BE,
        F::AV_PIX_FMT_RGBA64BE,
        F::AV_PIX_FMT_PAL8,
        F::AV_PIX_FMT_GRAY8,
        F::AV_PIX_FMT_YA8,
        F::AV_PIX_FMT_GRAY16BE,
        F::AV_PIX_FMT_YA16BE,
        F::AV_PIX_FMT_MONOBLACK,
    ];
    // SAFETY: both functions only read libav's static tables; the descriptor is null for a format
    // without one.
    unsafe {
        let has_alpha = ffi::av_pix_fmt_desc_get(from)
            .as_ref()
            .is_some_and(|format| format.nb_components % 2 == 0);
        TAKEN.into_iter().fold(F::AV_PIX_FMT_NONE, |best, format| {
            ffi::av_find_best_pix_fmt_of_2(best, format, from, has_alpha.into(), ptr::null_mut())
        })
    }
}
