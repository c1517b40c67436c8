//! Conversion and scaling of pixels with swscale, exactly as the ffmpeg command converts before its
//! image encoders, and as its scale filter does both at once.

use std::ffi::CStr;
use std::ptr;

use ffmpeg_next::ffi;
use jobs::Ratio;

use crate::error::Error;
use crate::fit::Size;

use super::frame::{Frame, PixelFormat, has_flag, has_luma_plane};

/// Bicubic scaling, the default of the ffmpeg command (FFmpeg, libswscale/swscale.h).
const BICUBIC: i64 = 4;

/// Parameters of a conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Conversion {
    from: PixelFormat,
    to: PixelFormat,
    from_size: Size,
    to_size: Size,
    space: ffi::AVColorSpace,
    range: ffi::AVColorRange,
}

/// Converter between pixel formats and sizes. It keeps swscale's context for as long as the
/// parameters stay the same.
#[derive(Default)]
pub(crate) struct Scaler(Option<Context>);

/// Context of swscale for a conversion.
#[derive(Clone, Copy)]
struct Context {
    conversion: Conversion,
    pointer: *mut ffi::SwsContext,
    /// Whether the converted frames have the full range.
    to_full_range: bool,
}

// SAFETY: a scaling context is not tied to the thread that created it, and `&mut self` keeps two
// threads from using it at once.
unsafe impl Send for Scaler {}

impl Scaler {
    /// Convert a frame to another pixel format and size.
    pub(crate) fn convert(
        &mut self,
        frame: &Frame,
        to: PixelFormat,
        to_size: Size,
    ) -> Result<Frame, Error> {
        let out_of_memory = || Error::OutOfMemory("a frame cannot be converted".into());
        let mut converted =
            Frame::blank(to, to_size.width, to_size.height).ok_or_else(out_of_memory)?;
        // SAFETY: the frame is valid and only read.
        let raw = unsafe { &*frame.as_ptr() };
        let conversion = Conversion {
            from: frame.format(),
            to,
            from_size: frame.size(),
            to_size,
            space: raw.colorspace,
            range: raw.color_range,
        };
        let Context { pointer, to_full_range, .. } =
            self.context(conversion).ok_or_else(out_of_memory)?;
        converted.set_colors(colors_after(to, raw.colorspace, to_full_range));
        // SAFETY: both frames have the formats and sizes that the context was created for, and
        // memory for all their rows.
        let rows = unsafe {
            let target = &mut *converted.as_mut_ptr();
            ffi::sws_scale(
                pointer,
                raw.data.as_ptr().cast::<*const u8>(),
                raw.linesize.as_ptr(),
                0,
                raw.height,
                target.data.as_ptr(),
                target.linesize.as_ptr(),
            )
        };
        if rows < 0 { Err(out_of_memory()) } else { Ok(converted) }
    }

    /// Frame whose first plane is the luma of `frame` in 8 bits: `frame` itself, if it has such a
    /// plane.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(crate) fn luma(&mut self, frame: &Frame) -> Result<Frame, Error> {
        if has_luma_plane(frame.format()) {
            return frame.try_share();
        }
        self.convert(frame, PixelFormat::AV_PIX_FMT_GRAY8, frame.size())
    }

    fn context(&mut self, conversion: Conversion) -> Option<Context> {
        if let Some(known) = self.0
            && known.conversion == conversion
        {
            return Some(known);
        }
        self.free();
        self.0 = new_context(conversion);
        self.0
    }

    fn free(&mut self) {
        if let Some(Context { pointer, .. }) = self.0.take() {
            // SAFETY: the context was created by sws_alloc_context and is not used again.
            unsafe { ffi::sws_freeContext(pointer) };
        }
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        self.free();
    }
}

/// Create a context with the settings of FFmpeg 5.1's scale filter (libavfilter/vf_scale.c,
/// `config_props` and `scale_frame`). It treats interlaced frames as progressive by default.
fn new_context(conversion: Conversion) -> Option<Context> {
    let full_range = conversion.range == ffi::AVColorRange::AVCOL_RANGE_JPEG;
    let range_known = conversion.range != ffi::AVColorRange::AVCOL_RANGE_UNSPECIFIED;
    // Chroma position of MPEG-2, which the filter sets for this format only.
    let chroma_row = if conversion.from == PixelFormat::AV_PIX_FMT_YUV420P { 128 } else { -513 };
    let Conversion { from_size, to_size, .. } = conversion;
    let settings: [(&CStr, i64); 8] = [
        (c"srcw", from_size.width.into()),
        (c"srch", from_size.height.into()),
        (c"src_format", conversion.from as i64),
        (c"dstw", to_size.width.into()),
        (c"dsth", to_size.height.into()),
        (c"dst_format", conversion.to as i64),
        (c"sws_flags", BICUBIC),
        (c"src_v_chr_pos", chroma_row),
    ];
    // SAFETY: the context is allocated, configured by option name before it is initialized, and
    // freed if initialization fails.
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
        let to_full_range =
            set_colors(context, conversion.space, range_known.then_some(full_range));
        Some(Context { conversion, pointer: context, to_full_range })
    }
}

/// Set the matrix of both sides to that of `space`, and the range of the source if it is known.
/// Return whether the converted frames have the full range.
///
/// # Safety
/// `context` is initialized.
unsafe fn set_colors(
    context: *mut ffi::SwsContext,
    space: ffi::AVColorSpace,
    full_range: Option<bool>,
) -> bool {
    let (mut inverse, mut table) = (ptr::null_mut(), ptr::null_mut());
    let (mut from_full, mut to_full) = (0, 0);
    let (mut brightness, mut contrast, mut saturation) = (0, 0, 0);
    // SAFETY: the caller guarantees an initialized context, and the tables belong to it.
    unsafe {
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
        if let Some(full_range) = full_range {
            from_full = full_range.into();
        }
        let matrix = ffi::sws_getCoefficients(matrix(space));
        ffi::sws_setColorspaceDetails(
            context, matrix, from_full, matrix, to_full, brightness, contrast, saturation,
        );
    }
    to_full != 0
}

/// Colors of a converted frame, on which a second conversion depends (libavfilter/vf_scale.c,
/// `scale_frame`).
fn colors_after(
    format: PixelFormat,
    space: ffi::AVColorSpace,
    full_range: bool,
) -> (ffi::AVColorSpace, ffi::AVColorRange) {
    use ffi::{AVColorRange as Range, AVColorSpace as Space};
    let space = match (has_flag(format, ffi::AV_PIX_FMT_FLAG_RGB), space) {
        (true, _) => Space::AVCOL_SPC_RGB,
        (false, Space::AVCOL_SPC_RGB) => Space::AVCOL_SPC_UNSPECIFIED,
        (false, space) => space,
    };
    (space, if full_range { Range::AVCOL_RANGE_JPEG } else { Range::AVCOL_RANGE_MPEG })
}

/// swscale's number of the matrix for a color space. Spaces that are unknown to it or not tagged
/// are treated as BT.601 (libavfilter/vf_scale.c, `parse_yuv_type`).
fn matrix(space: ffi::AVColorSpace) -> i32 {
    match space as i32 {
        known @ (1..=7 | 9..=10) => known,
        _ => ffi::AVColorSpace::AVCOL_SPC_BT470BG as i32,
    }
}

/// The one of `formats` that the ffmpeg command would convert frames of format `from` to, for an
/// encoder that accepts these (FFmpeg, libavfilter/avfiltergraph.c, `pick_format`).
pub(crate) fn closest_format(from: PixelFormat, formats: &[PixelFormat]) -> PixelFormat {
    // SAFETY: both functions only read static tables of libav; the descriptor is null for a format
    // without one.
    unsafe {
        let has_alpha = ffi::av_pix_fmt_desc_get(from)
            .as_ref()
            .is_some_and(|format| format.nb_components % 2 == 0);
        formats.iter().fold(PixelFormat::AV_PIX_FMT_NONE, |best, format| {
            ffi::av_find_best_pix_fmt_of_2(best, *format, from, has_alpha.into(), ptr::null_mut())
        })
    }
}

/// All formats that swscale converts to and that `is_suitable` accepts, in libav's order.
pub(crate) fn formats(is_suitable: impl Fn(PixelFormat) -> bool) -> Vec<PixelFormat> {
    let mut descriptor = ptr::null();
    // SAFETY: the functions only read static tables of libav; the last descriptor is followed by
    // null, and each belongs to one format.
    let all = std::iter::from_fn(|| unsafe {
        descriptor = ffi::av_pix_fmt_desc_next(descriptor);
        (!descriptor.is_null()).then(|| ffi::av_pix_fmt_desc_get_id(descriptor))
    });
    // SAFETY: as above.
    let is_output = |format: &PixelFormat| unsafe { ffi::sws_isSupportedOutput(*format) } != 0;
    all.filter(is_output).filter(|format| is_suitable(*format)).collect()
}

/// Sample aspect ratio after a frame is scaled (libavfilter/vf_scale.c, `config_props`).
pub(crate) fn scaled_aspect(aspect: Ratio, from: Size, to: Size) -> Ratio {
    let product = |number: i64, width: u32, height: u32| {
        number.saturating_mul(i64::from(width)).saturating_mul(i64::from(height))
    };
    let (mut num, mut den) = (0, 0);
    // SAFETY: the function writes both numbers.
    unsafe {
        ffi::av_reduce(
            &raw mut num,
            &raw mut den,
            product(aspect.num, from.width, to.height),
            product(aspect.den, to.width, from.height),
            i32::MAX.into(),
        );
    }
    Ratio::new(num.into(), den.into())
}
