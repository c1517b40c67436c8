//! Decoded frame and safe access to its pixels.

use std::borrow::Cow;
use std::marker::PhantomData;

use ffmpeg_next as ff;
use ffmpeg_next::ffi;
use jobs::Ratio;
use jobs::manifest::Orientation;

use crate::error::Error;
use crate::fit::Size;
use crate::orientation;

/// Number of entries of a palette. Each is a 32-bit ARGB number in native byte order.
pub(crate) const PALETTE_ENTRIES: usize = 256;

/// libav's pixel formats, which define the layout of a frame's pixels.
pub(crate) type PixelFormat = ffi::AVPixelFormat;

/// Layout of the pixels of one plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Pixels per row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
    /// Distance between two pixels of a row, in bytes.
    pub step: usize,
}

impl Layout {
    /// Size of a row without its padding, in bytes.
    pub(crate) fn row_bytes(self) -> usize {
        self.width * self.step
    }
}

/// Read access to one plane of a frame.
pub(crate) struct Plane<'a> {
    pub layout: Layout,
    start: *const u8,
    stride: isize,
    frame: PhantomData<&'a Frame>,
}

impl<'a> Plane<'a> {
    /// Whether the rows are stored from top to bottom.
    pub(super) fn is_top_down(&self) -> bool {
        self.stride >= 0
    }

    /// All rows without padding. They are copied only if there is padding.
    pub(crate) fn bytes(&self) -> Cow<'a, [u8]> {
        let bytes = self.layout.row_bytes();
        if self.stride == bytes as isize {
            // SAFETY: as in `rows`; without padding, the rows are contiguous.
            return Cow::Borrowed(unsafe {
                std::slice::from_raw_parts(self.start, bytes * self.layout.height)
            });
        }
        self.rows().collect::<Vec<_>>().concat().into()
    }

    /// Rows from top to bottom, without their padding.
    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let (start, stride, bytes) = (self.start, self.stride, self.layout.row_bytes());
        // SAFETY: libav allocates `height` rows at a distance of `stride`, which may be negative,
        // each at least `bytes` long, and the frame keeps them alive for 'a.
        (0..self.layout.height).map(move |y| unsafe {
            std::slice::from_raw_parts(start.offset(y as isize * stride), bytes)
        })
    }
}

/// Decoded or converted frame. Its pixels are shared with the decoder and read-only, unless the
/// frame was created by [`Frame::blank`].
pub(crate) struct Frame(ff::frame::Video);

// SAFETY: the buffers of a frame are reference counted atomically, and no two owners write to them.
unsafe impl Send for Frame {}

impl Frame {
    pub(super) fn new(frame: ff::frame::Video) -> Self {
        Self(frame)
    }

    /// Allocate a frame; `None` if memory runs out. The rows are padded to 64 bytes, as libavfilter
    /// pads them: the vector code of swscale rounds differently from its scalar code, and the
    /// padding decides which of them converts the end of a row.
    pub(crate) fn blank(format: PixelFormat, width: u32, height: u32) -> Option<Self> {
        let mut frame = ff::frame::Video::empty();
        // SAFETY: an empty frame gets its format and size and then memory, in the order that
        // av_frame_get_buffer documents.
        let allocated = unsafe {
            let raw = frame.as_mut_ptr();
            (*raw).format = format as i32;
            (*raw).width = width as i32;
            (*raw).height = height as i32;
            ffi::av_frame_get_buffer(raw, 64)
        };
        (allocated >= 0).then_some(Self(frame))
    }

    /// Copy of a frame with one plane whose last pixel of each row is repeated behind it. swscale
    /// reads that pixel for the chroma of a frame with an odd width (FFmpeg,
    /// libswscale/input.c, `rgb24ToUV_half_c`).
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(crate) fn with_extended_rows(&self) -> Result<Self, Error> {
        let mut extended = Self::blank(self.format(), self.width() + 1, self.height())
            .ok_or_else(|| Error::OutOfMemory("a frame cannot be converted".into()))?;
        extended.copy_colors(self);
        let planes = self.planes();
        let rows: Vec<&[u8]> = planes.iter().flat_map(Plane::rows).collect();
        extended.write_rows(|plane, y, row| {
            let source = rows[y];
            row[..source.len()].copy_from_slice(source);
            let step = planes[plane].layout.step;
            row[source.len()..].copy_from_slice(&source[source.len() - step..]);
        });
        // SAFETY: the frame is valid, and the memory of its rows does not shrink.
        unsafe { (*extended.as_mut_ptr()).width -= 1 };
        Ok(extended)
    }

    /// Another reference to the same pixels; `None` if memory runs out.
    pub(crate) fn share(&self) -> Option<Self> {
        let mut frame = ff::frame::Video::empty();
        // SAFETY: both frames are valid and the target is empty; the pixels are reference counted.
        let shared = unsafe { ffi::av_frame_ref(frame.as_mut_ptr(), self.as_ptr()) };
        (shared >= 0).then_some(Self(frame))
    }

    /// The same for a frame that is needed.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(crate) fn try_share(&self) -> Result<Self, Error> {
        self.share().ok_or_else(|| Error::OutOfMemory("a frame cannot be shared".into()))
    }

    /// Whether the pixels of both frames are the same memory.
    pub(super) fn shares_memory_with(&self, other: &Self) -> bool {
        // SAFETY: the buffers of a frame, if it has any, live as long as the frame.
        let start = |frame: &Self| unsafe { frame.raw().buf[0].as_ref() }.map(|first| first.data);
        start(self).is_some() && start(self) == start(other)
    }

    /// Whether nobody else, such as a decoder, refers to the same memory.
    pub(super) fn is_only_reference(&self) -> bool {
        let first = self.raw().buf[0];
        // SAFETY: the buffers of a frame, if it has any, live as long as the frame.
        !first.is_null() && unsafe { ffi::av_buffer_get_ref_count(first) } == 1
    }

    pub(super) fn as_ptr(&self) -> *const ffi::AVFrame {
        // SAFETY: the pointer is valid as long as `self` and is only read through.
        unsafe { self.0.as_ptr() }
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut ffi::AVFrame {
        // SAFETY: the pointer is valid as long as `self`.
        unsafe { self.0.as_mut_ptr() }
    }

    fn raw(&self) -> &ffi::AVFrame {
        // SAFETY: a frame is allocated and freed with its wrapper.
        unsafe { &*self.as_ptr() }
    }

    /// Presentation time that the container states, in units of the stream's time base.
    pub(crate) fn presentation_time(&self) -> Option<i64> {
        known(self.raw().pts)
    }

    /// Decoding time of the packet that completed the frame, in the same units.
    pub(crate) fn decoding_time(&self) -> Option<i64> {
        known(self.raw().pkt_dts)
    }

    /// Duration in units of the stream's time base; 0 if the container does not state it.
    pub(crate) fn duration(&self) -> i64 {
        self.0.packet().duration
    }

    pub(crate) fn is_key(&self) -> bool {
        self.0.is_key()
    }

    pub(crate) fn is_interlaced(&self) -> bool {
        self.0.is_interlaced()
    }

    /// Whether the decoder reported errors in the frame, which it conceals.
    pub(crate) fn has_errors(&self) -> bool {
        self.0.is_corrupt() || self.raw().decode_error_flags != 0
    }

    pub(crate) fn size(&self) -> Size {
        Size { width: self.width(), height: self.height() }
    }

    pub(crate) fn width(&self) -> u32 {
        self.0.width()
    }

    pub(crate) fn height(&self) -> u32 {
        self.0.height()
    }

    pub(crate) fn format(&self) -> PixelFormat {
        pixel_format(self.raw())
    }

    /// Width to height of one sample; `None` if unknown.
    pub(crate) fn sample_aspect_ratio(&self) -> Option<Ratio> {
        let aspect = self.raw().sample_aspect_ratio;
        (aspect.num > 0 && aspect.den > 0).then(|| Ratio::new(aspect.num.into(), aspect.den.into()))
    }

    /// Orientation that the coded frame itself states (EXIF, supplemental enhancement
    /// information). It takes precedence over that of the container.
    pub(crate) fn orientation(&self) -> Option<Orientation> {
        const MATRIX: ffi::AVFrameSideDataType =
            ffi::AVFrameSideDataType::AV_FRAME_DATA_DISPLAYMATRIX;
        // SAFETY: the frame is valid; its side data, if any, has the size that libav states and
        // lives as long as the frame.
        let bytes = unsafe {
            let entry = ffi::av_frame_get_side_data(self.as_ptr(), MATRIX).as_ref()?;
            std::slice::from_raw_parts(entry.data, entry.size)
        };
        Some(orientation::from_display_matrix(display_matrix(bytes)))
    }

    /// Planes that hold pixels. A palette is not one of them.
    pub(crate) fn planes(&self) -> Vec<Plane<'_>> {
        let raw = self.raw();
        let layouts = layouts(self.format(), self.width(), self.height());
        let plane = |(n, layout): (usize, Layout)| Plane {
            layout,
            start: raw.data[n],
            stride: raw.linesize[n] as isize,
            frame: PhantomData,
        };
        layouts.into_iter().enumerate().map(plane).collect()
    }

    /// Write every row of a frame that was created by [`Frame::blank`]. `write` is called with the
    /// number of the plane, the number of the row and the row's bytes.
    pub(crate) fn write_rows(&mut self, mut write: impl FnMut(usize, usize, &mut [u8])) {
        for (n, layout) in
            layouts(self.format(), self.width(), self.height()).into_iter().enumerate()
        {
            for y in 0..layout.height {
                // SAFETY: as in `Plane::rows`; `blank` allocated the memory for this frame alone,
                // and `share` is not called before it is complete.
                let row = unsafe {
                    let raw = &*self.as_mut_ptr();
                    let start = raw.data[n].offset(y as isize * raw.linesize[n] as isize);
                    std::slice::from_raw_parts_mut(start, layout.row_bytes())
                };
                write(n, y, row);
            }
        }
    }

    /// Palette of a frame in PAL8 format.
    pub(crate) fn palette(&self) -> Option<[u32; PALETTE_ENTRIES]> {
        if self.format() != PixelFormat::AV_PIX_FMT_PAL8 || self.raw().data[1].is_null() {
            return None;
        }
        // SAFETY: a PAL8 frame holds 256 numbers of 32 bits in its second plane (FFmpeg,
        // libavutil/pixfmt.h).
        Some(unsafe { self.raw().data[1].cast::<[u32; PALETTE_ENTRIES]>().read_unaligned() })
    }

    /// Copy the color space, range and palette of `other`, on which a later conversion depends.
    pub(crate) fn copy_colors(&mut self, other: &Self) {
        self.set_colors((other.raw().colorspace, other.raw().color_range));
        let palette = other.palette().filter(|_| self.palette().is_some());
        if let Some(palette) = palette {
            // SAFETY: as in `palette`; `blank` allocated the memory for this frame alone.
            unsafe {
                (*self.as_mut_ptr()).data[1]
                    .cast::<[u32; PALETTE_ENTRIES]>()
                    .write_unaligned(palette);
            };
        }
    }

    pub(super) fn set_colors(&mut self, (space, range): (ffi::AVColorSpace, ffi::AVColorRange)) {
        // SAFETY: the frame is valid and the fields are plain numbers.
        let raw = unsafe { &mut *self.as_mut_ptr() };
        (raw.colorspace, raw.color_range) = (space, range);
    }
}

/// Display matrix: nine numbers in 16.16 and 2.30 fixed point (FFmpeg, libavutil/display.h).
pub(super) type DisplayMatrix = [i32; 9];

/// Display matrix from the bytes of side data, in native byte order. `None` if they are too few.
pub(super) fn display_matrix(bytes: &[u8]) -> Option<DisplayMatrix> {
    let mut matrix = DisplayMatrix::default();
    if bytes.len() < size_of_val(&matrix) {
        return None;
    }
    for (number, bytes) in matrix.iter_mut().zip(bytes.chunks_exact(4)) {
        *number = i32::from_ne_bytes(bytes.try_into().ok()?);
    }
    Some(matrix)
}

/// Format of a frame.
pub(super) fn pixel_format(frame: &ffi::AVFrame) -> PixelFormat {
    // SAFETY: libav stores only values of its own enumeration, from which the bindings were
    // generated.
    unsafe { std::mem::transmute::<i32, PixelFormat>(frame.format) }
}

/// A time of libav, if it is known.
fn known(time: i64) -> Option<i64> {
    (time != ffi::AV_NOPTS_VALUE).then_some(time)
}

/// Layout of each plane of a frame.
fn layouts(format: PixelFormat, width: u32, height: u32) -> Vec<Layout> {
    // SAFETY: the descriptor is a static table of libav, or null for a format without one.
    let Some(descriptor) = (unsafe { ffi::av_pix_fmt_desc_get(format).as_ref() }) else {
        return Vec::new();
    };
    let mut planes: Vec<Option<Layout>> = Vec::new();
    for component in &descriptor.comp[..usize::from(descriptor.nb_components)] {
        let plane = component.plane as usize;
        planes.resize(planes.len().max(plane + 1), None);
        let (shift_w, shift_h) = if plane == 1 || plane == 2 {
            (descriptor.log2_chroma_w, descriptor.log2_chroma_h)
        } else {
            (0, 0)
        };
        let part = |size: u32, shift: u8| (size as usize).div_ceil(1 << shift);
        let (width, height, step) =
            (part(width, shift_w), part(height, shift_h), component.step as usize);
        // Formats with less than a byte per pixel state the step in bits. Their rows are treated as
        // bytes.
        let bits = descriptor.flags & ffi::AV_PIX_FMT_FLAG_BITSTREAM as u64 != 0;
        let (width, step) = if bits { ((width * step).div_ceil(8), 1) } else { (width, step) };
        planes[plane] = Some(Layout { width, height, step });
    }
    planes.into_iter().flatten().collect()
}

/// Whether a format has one of these flags.
pub(super) fn has_flag(format: PixelFormat, flags: i32) -> bool {
    // SAFETY: as in `layouts`.
    unsafe { ffi::av_pix_fmt_desc_get(format).as_ref() }
        .is_some_and(|descriptor| descriptor.flags & flags as u64 != 0)
}

/// Whether the first plane of this format is luma in bytes.
pub(super) fn has_luma_plane(format: PixelFormat) -> bool {
    const UNSUITABLE: i32 = ffi::AV_PIX_FMT_FLAG_RGB
        | ffi::AV_PIX_FMT_FLAG_PAL
        | ffi::AV_PIX_FMT_FLAG_HWACCEL
        | ffi::AV_PIX_FMT_FLAG_BITSTREAM;
    // SAFETY: as in `layouts`.
    let descriptor = unsafe { ffi::av_pix_fmt_desc_get(format).as_ref() };
    let first = descriptor.map(|descriptor| descriptor.comp[0]);
    first.is_some_and(|first| (first.plane, first.step, first.depth) == (0, 1, 8))
        && !has_flag(format, UNSUITABLE)
}

/// Whether the pixels of this format can be moved one by one: each occupies whole bytes, and chroma
/// is subsampled equally in both directions.
pub(crate) fn is_transposable(format: PixelFormat) -> bool {
    const UNSUITABLE: i32 =
        ffi::AV_PIX_FMT_FLAG_PAL | ffi::AV_PIX_FMT_FLAG_HWACCEL | ffi::AV_PIX_FMT_FLAG_BITSTREAM;
    !has_flag(format, UNSUITABLE)
        // SAFETY: as in `layouts`.
        && unsafe { ffi::av_pix_fmt_desc_get(format).as_ref() }
            .is_some_and(|descriptor| descriptor.log2_chroma_w == descriptor.log2_chroma_h)
}

/// Whether the ffmpeg command rotates frames of this format without converting them before
/// (FFmpeg 5.1, libavfilter: `query_formats` of vf_transpose.c and vf_hflip.c; vf_vflip.c accepts
/// all formats).
pub(crate) fn is_rotatable(format: PixelFormat, orientation: Orientation) -> bool {
    const UNSUITABLE: i32 = ffi::AV_PIX_FMT_FLAG_HWACCEL | ffi::AV_PIX_FMT_FLAG_BITSTREAM;
    if orientation::swaps_sides(orientation) {
        return is_transposable(format);
    }
    if orientation::is_identity(orientation) || orientation == Orientation::MirroredVertically {
        return true;
    }
    // SAFETY: as in `layouts`.
    let descriptor = unsafe { ffi::av_pix_fmt_desc_get(format).as_ref() };
    !has_flag(format, UNSUITABLE)
        && descriptor.is_some_and(|descriptor| {
            let [first, second, ..] = &descriptor.comp;
            descriptor.log2_chroma_w == descriptor.log2_chroma_h || first.plane != second.plane
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_extended_whatever_follows_them() {
        for stray in [0, 255] {
            let mut frame = Frame::blank(PixelFormat::AV_PIX_FMT_RGB24, 4, 2).expect("memory");
            frame.write_rows(|_, _, row| {
                row.copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 9, stray, stray, stray]);
            });
            let set_width = |frame: &mut Frame, width| {
                // SAFETY: the frame is valid and has memory for four pixels in each row.
                unsafe { (*frame.as_mut_ptr()).width = width };
            };
            set_width(&mut frame, 3);
            let mut extended = frame.with_extended_rows().expect("memory");
            assert_eq!(extended.width(), 3);
            set_width(&mut extended, 4);
            let row = [1, 2, 3, 4, 5, 6, 7, 8, 9, 7, 8, 9];
            assert_eq!(extended.planes()[0].bytes(), [row, row].concat());
        }
    }
}
