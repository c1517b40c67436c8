//! Settings and versions of the libav libraries.

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use ffmpeg_next as ff;
use ffmpeg_next::ffi;

use super::messages;

/// Receive libav's log and limit each of its allocations to `max_allocation` bytes.
///
/// Both are settings of the whole process. The highest limit ever passed applies, so that one
/// extraction never tightens the limit of another that is running.
pub(super) fn configure(max_allocation: usize) {
    static ONCE: Once = Once::new();
    static LIMIT: AtomicUsize = AtomicUsize::new(0);
    ONCE.call_once(|| {
        // Registers the descriptions of errors, and what versions before 4.0 require in addition.
        let _ = ff::init();
        messages::receive();
    });
    if LIMIT.fetch_max(max_allocation, Ordering::Relaxed) < max_allocation {
        // SAFETY: av_max_alloc stores one number and may be called at any time.
        unsafe { ffi::av_max_alloc(max_allocation) };
    }
}

/// Return the name and version (`major.minor.micro`) of each linked libav library.
#[must_use]
pub fn versions() -> [(&'static str, String); 4] {
    let text =
        |version: u32| format!("{}.{}.{}", version >> 16, (version >> 8) & 0xFF, version & 0xFF);
    [
        ("libavformat", text(ff::format::version())),
        ("libavcodec", text(ff::codec::version())),
        ("libavutil", text(ff::util::version())),
        ("libswscale", text(ff::software::scaling::version())),
    ]
}

/// libav's description of an error, on one line.
pub(super) fn describe(error: ff::Error) -> String {
    error.to_string().to_lowercase()
}
