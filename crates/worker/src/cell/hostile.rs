//! Misbehavior of a cell that its video has taken over, for tests of what the worker and the HTTP
//! interface accept from it. Only builds with the feature `failpoints` contain this code: there, a
//! video can make the cell speak its protocol maliciously, in place of sending its result.

use std::io::{self, Cursor, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use frames::{Preview, Progress, Report};
use jobs::manifest::MANIFEST_NAME;
use jobs::{FailureCode, Warning};
use serde_json::json;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::output::Output;
use super::protocol::{CellMessage, MAX_CHUNK};

/// Behavior that a video requested, by its name of four characters.
pub(super) fn requested(result: &Result<Report, frames::Error>) -> Option<String> {
    match result {
        Err(frames::Error::Codec { codec, reason }) if codec == "test" => {
            reason.strip_prefix("hostile ").map(str::to_owned)
        }
        _ => None,
    }
}

/// Behave like that. Returns if it has an end.
pub(super) fn run(behavior: &str, output: &Output) -> io::Result<()> {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let progress = |done, expected| CellMessage::Progress(Progress { done, expected });
    match behavior {
        // Messages without end.
        "msgs" => loop {
            output.send(&progress(1, None))?;
        },
        // An archive without end, in pieces that never exceed its limit.
        "zero" => loop {
            output.send_archive(&[])?;
        },
        "byte" => loop {
            output.send_archive(b"P")?;
        },
        "huge" => {
            write_all(stdout.as_fd(), &[1, 0xFF, 0xFF, 0xFF, 0xFF])?;
            sleep()
        }
        "kind" => {
            write_all(stdout.as_fd(), &[9, 0, 0, 0, 0])?;
            sleep()
        }
        // Ranges outside of the video, too long, and again and again. The answers are not read.
        "far " => {
            request_range(stdin.as_fd(), u64::MAX - 5, 1 << 20)?;
            sleep()
        }
        "long" => {
            request_range(stdin.as_fd(), 0, u32::MAX)?;
            sleep()
        }
        "many" => read_again(stdin.as_fd()),
        "twic" => output.send(&CellMessage::Confined { missing: Vec::new() }),
        "code" => output.send(&failed(FailureCode::StorageError, "the store is broken")),
        "self" => output.send(&failed(FailureCode::InternalError, "the service is broken")),
        "miss" => output.send(&failed(FailureCode::VideoMissing, "upload it again")),
        "text" => output.send(&failed(FailureCode::VideoDamaged, &long_text())),
        "prog" => {
            output.send(&progress(1 << 63, Some(u64::MAX)))?;
            sleep()
        }
        // Previews without end, of another format, and of an absurd frame.
        "view" => send_previews(output, 1, b"\xFF\xD8\xFF"),
        "html" => send_previews(output, 1, b"<script>alert(1)</script>"),
        "page" => send_previews(output, u64::MAX, b"\xFF\xD8\xFF"),
        "exit" => std::process::exit(3),
        "thrd" => start_threads(),
        "numb" => {
            output.send_archive(b"PK")?;
            output.send(&CellMessage::Done(report(1 << 63, 2, Vec::new())))
        }
        "warn" => {
            let warning = Warning::ContainerDamaged { reason: long_text() };
            finish(output, &archive(&png(2, 2), 2, 2), vec![warning; 4])
        }
        // Archives whose manifest, or whose frame, states an absurd size.
        "wide" => finish(output, &archive(&png(1, i32::MAX as u32), 2, 2), Vec::new()),
        "tall" => finish(output, &archive(&png(2, 2), 1, u32::MAX), Vec::new()),
        "lies" => finish(output, &archive(b"no image", 2, 2), Vec::new()),
        "none" => finish(output, b"PK\x05\x06", Vec::new()),
        _ => Err(io::Error::other(format!("no behavior `{behavior}`"))),
    }
}

/// Wait to be killed.
fn sleep() -> io::Result<()> {
    loop {
        std::thread::sleep(Duration::from_hours(1));
    }
}

/// Send a preview without end.
fn send_previews(output: &Output, number: u64, jpeg: &[u8]) -> io::Result<()> {
    let preview = Preview { number, timestamp_s: 0.0, jpeg: jpeg.to_vec() };
    loop {
        output.send_preview(&preview)?;
    }
}

fn failed(code: FailureCode, message: &str) -> CellMessage {
    CellMessage::Failed { code, message: message.to_owned() }
}

/// A text of a thousand characters with line breaks and escape sequences.
fn long_text() -> String {
    "\n\u{1b}[31mjob failed\u{202e}\0".repeat(60)
}

fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = nix::unistd::write(to, bytes)?;
        bytes = &bytes[written..];
    }
    Ok(())
}

fn request_range(channel: BorrowedFd<'_>, offset: u64, length: u32) -> io::Result<()> {
    write_all(channel, &[&offset.to_le_bytes()[..], &length.to_le_bytes()].concat())
}

/// Read the beginning of the video without end.
fn read_again(channel: BorrowedFd<'_>) -> io::Result<()> {
    /// Bytes of a record's header.
    const HEADER: usize = 5;
    const LENGTH: usize = 1024;
    let mut buffer = [0; HEADER + LENGTH];
    loop {
        request_range(channel, 0, LENGTH as u32)?;
        let mut read = 0;
        while read < buffer.len() {
            match nix::unistd::read(channel, &mut buffer[read..])? {
                0 => return sleep(),
                length => read += length,
            }
        }
    }
}

/// Start threads until that is refused, and keep them.
fn start_threads() -> io::Result<()> {
    /// Small enough for thousands.
    const STACK: usize = 64 << 10;
    while std::thread::Builder::new().stack_size(STACK).spawn(sleep).is_ok() {}
    sleep()
}

fn report(frames: u64, zip_bytes: u64, warnings: Vec<Warning>) -> Report {
    Report {
        frames,
        expected: frames,
        complete: true,
        skipped: 0,
        omitted: 0,
        duration_s: Some(f64::MAX),
        zip_bytes,
        bytes_read: u64::MAX,
        decode_s: f64::MAX,
        encode_s: -1.0,
        warnings,
    }
}

fn finish(output: &Output, archive: &[u8], warnings: Vec<Warning>) -> io::Result<()> {
    for piece in archive.chunks(MAX_CHUNK) {
        output.send_archive(piece)?;
    }
    output.send(&CellMessage::Done(report(1, archive.len() as u64, warnings)))
}

/// Header of a PNG of this size, in gray, and the beginning of its data.
fn png(width: u32, height: u32) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", &header[..]), (b"IDAT", &[0x78, 0x9C])] {
        let mut checked = flate2::Crc::new();
        checked.update(kind);
        checked.update(data);
        png.extend((data.len() as u32).to_be_bytes());
        png.extend([&kind[..], data, &checked.sum().to_be_bytes()].concat());
    }
    png
}

/// Archive with a frame of which its manifest states this size.
fn archive(frame: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let name = "frame_00001_00h00m00.000s.png";
    // Offset of the data: behind the local header (APPNOTE.TXT 6.3.10, 4.3.7).
    let offset = 30 + name.len();
    let unknown = "unknown";
    let manifest = json!({
        "manifest_version": 2,
        "source": {
            "size_bytes": 1, "container": unknown, "codec": unknown, "duration_s": 1.0,
            "width": width, "height": height, "frame_rate": null,
            "time_base": { "num": 1, "den": 1 }, "sample_aspect_ratio": null,
            "pixel_format": unknown
        },
        "complete": true, "expected": 1, "written": 1,
        "frames": [{
            "number": 1, "name": name, "instant_s": 0.5, "timestamp": 0, "timestamp_s": 0.0,
            "width": width, "height": height, "key_frame": true, "decode_errors": false,
            "sha256": "00".repeat(32), "offset": offset, "length": frame.len()
        }]
    });
    let manifest = manifest.to_string();
    for (name, data) in [(name, frame), (MANIFEST_NAME, manifest.as_bytes())] {
        let written = zip.start_file(name, stored).map(|()| zip.write_all(data));
        written.ok().and_then(Result::ok).unwrap_or_default();
    }
    zip.finish().map(Cursor::into_inner).unwrap_or_default()
}
