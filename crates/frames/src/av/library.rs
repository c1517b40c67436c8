//! Settings and versions of the libav libraries.

use std::ffi::CStr;
use std::io;
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

/// Remove all environment variables of the process, which libav and its libraries could read.
///
/// # Errors
/// The process has more than one thread, or the kernel does not tell their number.
pub fn clear_environment() -> io::Result<()> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(io::Error::other(format!("{threads} threads may be using the environment")));
    }
    for (name, _) in std::env::vars_os() {
        // SAFETY: no other thread uses the environment, because there is none.
        unsafe { std::env::remove_var(name) };
    }
    Ok(())
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

/// Build of libav that is linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibavBuild {
    /// Version of the source, such as `5.1.9-0+deb12u1`.
    pub version: &'static str,
    /// Date of the build of a static libav (`crates/frames/libav/build.sh`); `None` if it is that
    /// of the system.
    pub built: Option<&'static str>,
}

/// Return the linked build of libav.
#[must_use]
pub fn build() -> LibavBuild {
    // SAFETY: the result is a constant string.
    let version = unsafe { CStr::from_ptr(ffi::av_version_info()) };
    parse(version.to_str().unwrap_or("unknown"))
}

/// Read the version that libav states. `build.sh` extends it by the date.
fn parse(stated: &'static str) -> LibavBuild {
    match stated.split_once("static.") {
        Some((version, date)) => {
            LibavBuild { version: version.trim_end_matches(['+', '-']), built: Some(date) }
        }
        None => LibavBuild { version: stated, built: None },
    }
}

/// libav's description of an error, on one line.
pub(super) fn describe(error: ff::Error) -> String {
    error.to_string().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_kept_beside_other_threads() {
        let before = std::env::vars_os().count();
        let end = std::sync::Barrier::new(2);
        let result = std::thread::scope(|scope| {
            scope.spawn(|| end.wait());
            let result = clear_environment();
            end.wait();
            result
        });
        let refused = result.expect_err("a thread runs");
        assert!(refused.to_string().contains("threads"), "{refused}");
        assert!(before > 0 && std::env::vars_os().count() == before);
    }

    #[test]
    fn the_version_of_a_static_build_ends_in_its_date() {
        for (stated, version, built) in [
            ("5.1.9-0+deb12u1", "5.1.9-0+deb12u1", None),
            ("5.1.9-0+deb12u1+static.2026-01-02", "5.1.9-0+deb12u1", Some("2026-01-02")),
            ("7.1-static.2026-01-02", "7.1", Some("2026-01-02")),
        ] {
            assert_eq!(parse(stated), LibavBuild { version, built });
        }
    }
}
