//! Memory use does not grow with the length of a video, and the archive begins long before the
//! video is read to its end.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::harness::clips::fixture;
use crate::harness::extraction::threads;
use crate::harness::programs::{fiapx, output, tool};

/// Peak memory of `fiapx extract` in bytes. Python reads it with getrusage(2), which would need
/// unsafe code in Rust.
fn peak(clip: &Path) -> u64 {
    const MEASURE: &str = "import resource, subprocess, sys\n\
        subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n\
        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let command = fiapx();
    let mut python = tool("python3");
    python.args(["-c", MEASURE]).arg(command.get_program()).arg("extract").arg(clip).args([
        "-o",
        "-",
        "--threads",
        "2",
    ]);
    let printed = output(&mut python).expect("the clip is valid");
    let kilobytes: u64 = String::from_utf8_lossy(&printed).trim().parse().expect("a number");
    kilobytes << 10
}

#[test]
fn memory_does_not_grow_with_the_length_of_the_video() {
    let [short, long] = ["long/10.mp4", "long/120.mp4"].map(|clip| peak(&fixture(clip)));
    let allowed = short * 13 / 10 + (20 << 20);
    assert!(long <= allowed, "{} MiB for 10 s, {} MiB for 120 s", short >> 20, long >> 20);
}

/// A file that counts the bytes that are read from it.
struct Counted(File, Arc<AtomicU64>);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for Counted {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.0.seek(position)
    }
}

/// A sink that records how much had been read when its first byte was written.
struct FirstByte {
    read: Arc<AtomicU64>,
    at: Option<u64>,
}

impl Write for FirstByte {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.at.get_or_insert(self.read.load(Ordering::Relaxed));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_archive_begins_before_half_of_the_video_is_read() {
    let read = Arc::<AtomicU64>::default();
    let video = File::open(fixture("long/120.mp4")).expect("the clip can be read");
    let size = video.metadata().expect("it has a size").len();
    let mut sink = FirstByte { read: Arc::clone(&read), at: None };
    frames::extract(Counted(video, Arc::clone(&read)), &mut sink, &threads(2), |_| {})
        .expect("the clip is valid");
    let at = sink.at.expect("the archive has bytes");
    assert!(at < size / 2, "{at} of {size} bytes were read before the archive began");
    assert!(read.load(Ordering::Relaxed) >= size / 2, "the count of read bytes is wrong");
}
