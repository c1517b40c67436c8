//! Every limit of the engine has its own error code, and failures of the source and the sink are
//! distinct from those of the video.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use frames::{Error, Limits, Options, Stop};
use jobs::failure::Retry;

use crate::harness::checks::with_timeout;
use crate::harness::clips::{MJPEG, SHORT, clip_bytes, fixture};
use crate::harness::extraction::{every, extract, extract_from, threads};

fn limited(limits: Limits) -> Options {
    Options { limits, ..Options::default() }
}

/// Error code of a clip under limits; `None` if it is extracted.
fn code(clip: &str, limits: Limits) -> Option<&'static str> {
    extract(&fixture(clip), &limited(limits)).err().map(|error| error.code().name())
}

#[test]
fn limits_are_exact() {
    let (clip, sizes) = ("good/ten_point_5.mp4", "changing/size.mkv");
    let limits = Limits::default;
    let cases = [
        (SHORT, Limits { max_streams: 2, ..limits() }, None),
        (SHORT, Limits { max_streams: 1, ..limits() }, Some("TOO_MANY_STREAMS")),
        ("good/two_video_streams.mkv", Limits { max_streams: 2, ..limits() }, None),
        (
            "good/two_video_streams.mkv",
            Limits { max_streams: 1, ..limits() },
            Some("TOO_MANY_STREAMS"),
        ),
        (clip, Limits { max_side: 320, ..limits() }, None),
        (clip, Limits { max_side: 319, ..limits() }, Some("PICTURE_TOO_LARGE")),
        (clip, Limits { max_pixels: 320 * 180, ..limits() }, None),
        (clip, Limits { max_pixels: 320 * 180 - 1, ..limits() }, Some("PICTURE_TOO_LARGE")),
        (clip, Limits { max_frames: 11, ..limits() }, None),
        (clip, Limits { max_frames: 10, ..limits() }, Some("TOO_MANY_FRAMES")),
        (clip, Limits { max_archive_bytes: 1 << 20, ..limits() }, None),
        (clip, Limits { max_archive_bytes: 1 << 10, ..limits() }, Some("ARCHIVE_TOO_LARGE")),
        // Frames that become larger in mid-stream.
        (sizes, Limits { max_side: 480, ..limits() }, None),
        (sizes, Limits { max_side: 479, ..limits() }, Some("PICTURE_TOO_LARGE")),
    ];
    let outcomes = cases.clone().map(|(clip, limits, _)| (clip, code(clip, limits)));
    assert_eq!(outcomes, cases.map(|(clip, _, expected)| (clip, expected)));
}

#[test]
fn a_duration_in_a_header_alone_does_not_exceed_the_number_of_frames() {
    // `Duration` of Matroska and `duration` of FLV, each followed by a 64-bit number.
    for (clip, start, unit) in [
        ("good/mpeg2_endless.mkv", &b"\x44\x89\x88"[..], 1000.0_f64),
        ("good/h264.flv", b"duration\0", 1.0),
    ] {
        let mut video = clip_bytes(clip);
        let found = video.windows(start.len()).position(|bytes| bytes == start);
        let number = found.expect("the header states a duration") + start.len();
        video[number..number + 8].copy_from_slice(&(1000.0 * unit).to_be_bytes());
        let options = limited(Limits { max_frames: 30, ..Limits::default() });
        let extracted = extract_from(Cursor::new(video), &options);
        assert!(extracted.is_ok(), "{clip}: {extracted:?}");
    }
}

#[test]
fn an_extraction_can_be_stopped_at_once() {
    let clip = fixture("good/seventy_seconds.mp4");
    let stopped = |stop: Stop| extract(&clip, &Options { stop, ..Options::default() });
    assert!(matches!(stopped(Stop::at(Instant::now())), Err(Error::Timeout)));
    let soon = Stop::at(Instant::now() + Duration::from_millis(5));
    assert!(matches!(stopped(soon), Err(Error::Timeout)));
    let stop = Stop::default();
    stop.cancel();
    assert!(matches!(stopped(stop), Err(Error::Cancelled)));
}

#[test]
fn an_extraction_can_be_stopped_half_way() {
    let options = Options { threads: threads(1).threads, ..every(1, 25) };
    let (clip, stop) = (fixture("good/seventy_seconds.mp4"), options.stop.clone());
    let source = std::fs::File::open(clip).expect("the clip can be read");
    let mut seen = 0;
    let result = frames::extract(source, io::sink(), &options, |progress| {
        seen = progress.done;
        stop.cancel();
    });
    assert!(matches!(result, Err(Error::Cancelled)));
    assert!((1..1_750).contains(&seen), "stopped after {seen} of 1750 frames");
}

/// A source that fails after a number of reads.
struct Failing {
    video: Cursor<Vec<u8>>,
    reads: usize,
}

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads =
            self.reads.checked_sub(1).ok_or_else(|| io::Error::other("the store is gone"))?;
        let most = buffer.len().min(10_000);
        self.video.read(&mut buffer[..most])
    }
}

impl Seek for Failing {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.video.seek(position)
    }
}

#[test]
fn a_failing_source_is_a_storage_error() {
    // The index of the first is at its end and that of the second at its beginning; the third has
    // none.
    for clip in [
        "good/seventy_seconds.mp4",
        "good/h264_open_gop.mkv",
        "good/h264.flv",
        MJPEG,
        "good/wmv2.wmv",
    ] {
        let video = std::fs::read(fixture(clip)).expect("the clip can be read");
        for reads in [0, 1, 2, 3, 5, 8, video.len() / 20_000] {
            let source = Failing { video: Cursor::new(video.clone()), reads };
            let error = with_timeout(clip, || {
                extract_from(source, &threads(2)).expect_err("the source fails")
            });
            let reported = (error.code().name(), error.to_string());
            assert_eq!(
                reported,
                ("STORAGE_ERROR", "the video cannot be read: the store is gone".to_owned()),
                "{clip}, read {reads}"
            );
        }
    }
}

/// A sink that fails after this number of bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 =
            self.0.checked_sub(bytes.len()).ok_or_else(|| io::Error::other("the disk is full"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_failing_sink_is_a_storage_error() {
    let clip = fixture("good/seventy_seconds.mp4");
    let size = extract(&clip, &Options::default()).expect("the clip is valid").len();
    for capacity in [0, 100, size / 2, size - 1] {
        let source = std::fs::File::open(&clip).expect("the clip can be read");
        let result = with_timeout("a full disk", move || {
            frames::extract(source, Full(capacity), &Options::default(), |_| {})
        });
        let error = result.expect_err("the sink fails");
        let reported = (error.code().name(), error.to_string());
        assert_eq!(
            reported,
            ("STORAGE_ERROR", "the archive cannot be written: the disk is full".to_owned()),
            "capacity of {capacity} bytes"
        );
    }
}

/// Clients depend on these codes.
#[test]
fn error_codes_are_stable() {
    let text = String::new;
    let errors = [
        (Error::EmptyFile, "EMPTY_FILE", false),
        (Error::UnsupportedContainer, "UNSUPPORTED_CONTAINER", false),
        (Error::UnreadableContainer { container: "mov", reason: text() }, "VIDEO_DAMAGED", false),
        (Error::NoVideoStream, "NO_VIDEO_STREAM", false),
        (Error::TooManyStreams { limit: 1 }, "TOO_MANY_STREAMS", false),
        (Error::Codec { codec: text(), reason: text() }, "FFMPEG_CODEC_ERROR", false),
        (Error::NothingDecodable, "VIDEO_DAMAGED", false),
        (
            Error::FrameTooLarge { width: 1, height: 1, max_side: 1, max_pixels: 1 },
            "PICTURE_TOO_LARGE",
            false,
        ),
        (Error::TooManyFrames { expected: 2, limit: 1 }, "TOO_MANY_FRAMES", false),
        (Error::TooLong { limit: 1 }, "VIDEO_TOO_LONG", false),
        (Error::ArchiveTooLarge { limit: 1 }, "ARCHIVE_TOO_LARGE", false),
        (Error::Timeout, "PROCESSING_TIMEOUT", true),
        (Error::Cancelled, "INTERNAL_ERROR", true),
        (Error::Read(io::Error::other("")), "STORAGE_ERROR", true),
        (Error::Write(io::Error::other("")), "STORAGE_ERROR", true),
        (Error::OutOfMemory(text()), "OUT_OF_MEMORY", true),
    ];
    for (error, name, retry_may_help) in &errors {
        let code = error.code();
        let retries = code.retry() != Retry::Never;
        assert_eq!((code.name(), retries), (*name, *retry_may_help), "{error:?}");
    }
}
