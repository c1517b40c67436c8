//! libav behind a small safe face. All `unsafe` of the project is in this module, each block with
//! its reason.
//!
//! `demux` reads packets, `decoder` turns them into pictures, `picture` gives their rows, `scale`
//! converts their pixels.

#![expect(unsafe_code, reason = "libav is a C library; this module is where it is made safe")]

mod decoder;
mod demux;
#[cfg(feature = "injections")]
mod injected;
mod picture;
mod scale;

pub(crate) use decoder::{DecodeError, Decoder, Threads, set_extradata, with_data};
pub(crate) use demux::{Demuxer, ReadError, StreamInfo, is_hidden};
pub(crate) use picture::{Picture, PixelFormat, Plane, is_transposable};
pub(crate) use scale::{Scaler, png_format};

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use ffmpeg_next as ff;
use ffmpeg_next::ffi;

/// Make libav quiet and cap its allocations at `max_allocation` bytes.
///
/// Both are settings of the whole process in libav. The largest ceiling asked for holds, so that
/// one extraction never tightens another's while it runs.
pub(crate) fn prepare(max_allocation: usize) {
    static ONCE: Once = Once::new();
    static CEILING: AtomicUsize = AtomicUsize::new(0);
    ONCE.call_once(|| {
        // Beside what newer versions of libav no longer need, this gives errors their words.
        let _ = ff::init();
        ff::log::set_level(ff::log::Level::Quiet);
    });
    if CEILING.fetch_max(max_allocation, Ordering::Relaxed) < max_allocation {
        // SAFETY: av_max_alloc stores one number and may be called at any time.
        unsafe { ffi::av_max_alloc(max_allocation) };
    }
}

/// Versions of the libav libraries that are linked: name and `major.minor.micro`.
pub(crate) fn versions() -> [(&'static str, String); 4] {
    let words =
        |version: u32| format!("{}.{}.{}", version >> 16, (version >> 8) & 0xFF, version & 0xFF);
    [
        ("libavformat", words(ff::format::version())),
        ("libavcodec", words(ff::codec::version())),
        ("libavutil", words(ff::util::version())),
        ("libswscale", words(ff::software::scaling::version())),
    ]
}

/// libav's words for an error, on one line.
fn reason(error: ff::Error) -> String {
    error.to_string().to_lowercase()
}
