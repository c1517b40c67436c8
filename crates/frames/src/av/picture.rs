//! A decoded picture and safe access to its pixels.

use std::borrow::Cow;
use std::marker::PhantomData;

use ffmpeg_next as ff;
use ffmpeg_next::ffi;

use jobs::Ratio;

/// Entries of a palette; each is a 32-bit ARGB number in the machine's byte order.
pub(crate) const PALETTE_ENTRIES: usize = 256;

/// libav's pixel formats, by which a picture says how its pixels lie.
pub(crate) type PixelFormat = ffi::AVPixelFormat;

/// How the pixels of one plane lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Bytes from one pixel to the next.
    pub step: usize,
}

impl Layout {
    /// Bytes of a row without its padding.
    pub(crate) fn row_bytes(self) -> usize {
        self.width * self.step
    }
}

/// One plane of a picture, to be read.
pub(crate) struct Plane<'a> {
    pub layout: Layout,
    start: *const u8,
    stride: isize,
    picture: PhantomData<&'a Picture>,
}

impl<'a> Plane<'a> {
    /// All rows one after another, without padding. They are copied only if there is any.
    pub(crate) fn bytes(&self) -> Cow<'a, [u8]> {
        let bytes = self.layout.row_bytes();
        if self.stride == bytes as isize {
            // SAFETY: as in `rows`; without padding one row begins where the other ends.
            return Cow::Borrowed(unsafe {
                std::slice::from_raw_parts(self.start, bytes * self.layout.height)
            });
        }
        self.rows().collect::<Vec<_>>().concat().into()
    }

    /// The rows from top to bottom, without their padding.
    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let (start, stride, bytes) = (self.start, self.stride, self.layout.row_bytes());
        // SAFETY: libav allocates `height` rows at a distance of `stride`, which may be negative,
        // each at least this long, and the picture keeps them for 'a.
        (0..self.layout.height).map(move |y| unsafe {
            std::slice::from_raw_parts(start.offset(y as isize * stride), bytes)
        })
    }
}

/// A decoded or converted picture. Its pixels are shared with the decoder and read only, unless it
/// was made by [`Picture::blank`].
pub(crate) struct Picture(ff::frame::Video);

// SAFETY: a frame's buffers are reference counted atomically, and no two owners write to them.
unsafe impl Send for Picture {}

impl Picture {
    pub(super) fn new(frame: ff::frame::Video) -> Self {
        Self(frame)
    }

    /// A picture with memory of its own. The rows are padded to 64 bytes, as libavfilter pads them:
    /// swscale's vector code rounds otherwise than its scalar code, and which one does the end of a
    /// row depends on the padding.
    pub(crate) fn blank(format: PixelFormat, width: u32, height: u32) -> Option<Self> {
        let mut frame = ff::frame::Video::empty();
        // SAFETY: an empty frame is given its shape and then memory for it, in the order that
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

    /// Another owner of the same pixels.
    pub(crate) fn share(&self) -> Option<Self> {
        let mut frame = ff::frame::Video::empty();
        // SAFETY: both frames are valid and the target is empty; the pixels are reference counted.
        let shared = unsafe { ffi::av_frame_ref(frame.as_mut_ptr(), self.frame()) };
        (shared >= 0).then_some(Self(frame))
    }

    pub(super) fn frame(&self) -> *const ffi::AVFrame {
        // SAFETY: the pointer is valid as long as `self` and is only read through.
        unsafe { self.0.as_ptr() }
    }

    pub(super) fn frame_mut(&mut self) -> *mut ffi::AVFrame {
        // SAFETY: the pointer is valid as long as `self`.
        unsafe { self.0.as_mut_ptr() }
    }

    fn raw(&self) -> &ffi::AVFrame {
        // SAFETY: a frame is allocated with its wrapper and freed with it.
        unsafe { &*self.frame() }
    }

    /// The timestamp that libav thinks best, in units of the stream's time base.
    pub(crate) fn timestamp(&self) -> Option<i64> {
        self.0.timestamp()
    }

    /// How long the picture is shown, in units of the stream's time base; 0 where the container
    /// does not say.
    pub(crate) fn duration(&self) -> i64 {
        self.0.packet().duration
    }

    pub(crate) fn is_key(&self) -> bool {
        self.0.is_key()
    }

    pub(crate) fn is_interlaced(&self) -> bool {
        self.0.is_interlaced()
    }

    /// Whether the decoder met errors in the picture and filled in for what was lost.
    pub(crate) fn has_errors(&self) -> bool {
        self.0.is_corrupt() || self.raw().decode_error_flags != 0
    }

    pub(crate) fn width(&self) -> u32 {
        self.0.width()
    }

    pub(crate) fn height(&self) -> u32 {
        self.0.height()
    }

    pub(crate) fn format(&self) -> PixelFormat {
        // SAFETY: libav sets only numbers of its own enumeration, which is the one that the
        // bindings were generated from.
        unsafe { std::mem::transmute::<i32, PixelFormat>(self.raw().format) }
    }

    pub(crate) fn sample_aspect(&self) -> Option<Ratio> {
        let aspect = self.raw().sample_aspect_ratio;
        (aspect.num > 0 && aspect.den > 0).then(|| Ratio::new(aspect.num.into(), aspect.den.into()))
    }

    /// The planes that hold pixels; a palette is not one.
    pub(crate) fn planes(&self) -> Vec<Plane<'_>> {
        let raw = self.raw();
        let layouts = layouts(self.format(), self.width(), self.height());
        let plane = |(n, layout): (usize, Layout)| Plane {
            layout,
            start: raw.data[n],
            stride: raw.linesize[n] as isize,
            picture: PhantomData,
        };
        layouts.into_iter().enumerate().map(plane).collect()
    }

    /// Write every row of a picture that was made by [`Picture::blank`]: `write` gets the plane's
    /// number, the row's and its bytes.
    pub(crate) fn write_rows(&mut self, mut write: impl FnMut(usize, usize, &mut [u8])) {
        for (n, layout) in
            layouts(self.format(), self.width(), self.height()).into_iter().enumerate()
        {
            for y in 0..layout.height {
                // SAFETY: as in `Plane::rows`; the memory is this picture's own, as `blank`
                // allocated it and `share` is for others.
                let row = unsafe {
                    let raw = &*self.frame_mut();
                    let start = raw.data[n].offset(y as isize * raw.linesize[n] as isize);
                    std::slice::from_raw_parts_mut(start, layout.row_bytes())
                };
                write(n, y, row);
            }
        }
    }

    /// The palette of a picture that has one.
    pub(crate) fn palette(&self) -> Option<[u32; PALETTE_ENTRIES]> {
        if self.format() != PixelFormat::AV_PIX_FMT_PAL8 || self.raw().data[1].is_null() {
            return None;
        }
        // SAFETY: a PAL8 frame holds 256 numbers of 32 bits in its second plane (FFmpeg,
        // libavutil/pixfmt.h).
        Some(unsafe { self.raw().data[1].cast::<[u32; PALETTE_ENTRIES]>().read_unaligned() })
    }

    /// Take over what is known of `other`'s colours, so that a later conversion sees it.
    pub(crate) fn copy_colors(&mut self, other: &Self) {
        // SAFETY: both frames are valid and the fields are plain numbers.
        unsafe {
            let (to, from) = (&mut *self.frame_mut(), &*other.frame());
            to.colorspace = from.colorspace;
            to.color_range = from.color_range;
        }
    }
}

fn layouts(format: PixelFormat, width: u32, height: u32) -> Vec<Layout> {
    // SAFETY: the descriptor is a static table of libav's, or null for a format without one.
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
        // Formats of less than a byte a pixel count their step in bits; their rows are taken as
        // bytes.
        let bits = descriptor.flags & ffi::AV_PIX_FMT_FLAG_BITSTREAM as u64 != 0;
        let (width, step) = if bits { ((width * step).div_ceil(8), 1) } else { (width, step) };
        planes[plane] = Some(Layout { width, height, step });
    }
    planes.into_iter().flatten().collect()
}

/// Whether pixels of this format can be moved about one by one: each lies in whole bytes, and
/// chroma is sampled alike both ways.
pub(crate) fn is_transposable(format: PixelFormat) -> bool {
    const UNFIT: u64 = (ffi::AV_PIX_FMT_FLAG_PAL
        | ffi::AV_PIX_FMT_FLAG_HWACCEL
        | ffi::AV_PIX_FMT_FLAG_BITSTREAM) as u64;
    // SAFETY: as in `layouts`.
    unsafe { ffi::av_pix_fmt_desc_get(format).as_ref() }.is_some_and(|descriptor| {
        descriptor.flags & UNFIT == 0 && descriptor.log2_chroma_w == descriptor.log2_chroma_h
    })
}
