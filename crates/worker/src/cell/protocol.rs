//! Protocol between a cell and its worker, on two channels.
//!
//! The first is a socket, the cell's standard input: the worker sends the [`CellTask`], then the
//! cell requests ranges of the video and the worker answers them. The second is a pipe, the cell's
//! standard output: the cell writes the archive, previews and its [`CellMessage`]s to it.
//!
//! Everything but a range request is a record: one byte for its kind, four bytes for its length
//! (little-endian like all numbers here), and its content.

use std::io::{self, ErrorKind, Read, Write};
use std::num::NonZeroUsize;

use frames::{MAX_PREVIEW_BYTES, Preview, Progress, Report};
use jobs::{FailureCode, Recipe};
use serde::{Deserialize, Serialize};

use crate::engine::EngineLimits;

/// Maximum length of a range of the video and of a piece of the archive, in bytes. Longer ones are
/// rejected before memory is allocated.
pub(super) const MAX_CHUNK: usize = 1 << 20;

/// Maximum length of a message, in bytes. The texts in it are shortened before they are used.
const MAX_MESSAGE: usize = 16 << 10;

/// Bytes of a preview's number and timestamp, before its JPEG.
const PREVIEW_HEADER: usize = 16;

/// Task of a cell.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CellTask {
    /// Size of the video, in bytes.
    pub video_bytes: u64,
    /// Recipe of the job.
    pub recipe: Recipe,
    /// Number of threads. A cell cannot determine the number of cores.
    pub threads: NonZeroUsize,
    /// Limits of the cell.
    pub limits: CellLimits,
}

/// Limits of a cell.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct CellLimits {
    pub engine: EngineLimits,
    /// Maximum memory, in bytes.
    pub memory_bytes: u64,
    /// Maximum processor time of all threads together, in seconds.
    pub cpu_seconds: u64,
}

/// A message from a cell to its worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum CellMessage {
    /// The cell has dropped its privileges. Always the first message.
    Confined {
        /// Restrictions that the kernel does not support, in plain text; empty if the confinement
        /// is complete.
        missing: Vec<String>,
    },
    /// Progress of the extraction.
    Progress(Progress),
    /// The archive is complete. Always the last message.
    Done(Report),
    /// The extraction failed. Always the last message.
    Failed {
        /// Code of the error.
        code: FailureCode,
        /// Text of the error.
        message: String,
    },
}

/// One record of a cell's output.
#[derive(Debug)]
pub(super) enum CellOutput {
    /// The next bytes of the archive.
    Archive(Vec<u8>),
    /// A message.
    Message(CellMessage),
    /// A preview.
    Preview(Preview),
}

/// A cell's request for a range of the video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RangeRequest {
    /// Position of the first byte.
    pub offset: u64,
    /// Number of bytes, at most [`MAX_CHUNK`].
    pub length: usize,
}

// Kinds of records.
const TASK: u8 = 0;
const ARCHIVE: u8 = 1;
const MESSAGE: u8 = 2;
const RANGE: u8 = 3;
const READ_ERROR: u8 = 4;
const PREVIEW: u8 = 5;

/// Send the task to a cell.
pub(super) fn send_task(to: &mut impl Write, task: &CellTask) -> io::Result<()> {
    send(to, TASK, &serde_json::to_vec(task)?)
}

/// Receive the task from the worker.
pub(super) fn receive_task(from: &mut impl Read) -> io::Result<CellTask> {
    match receive(from)? {
        Record { kind: TASK, content } => Ok(serde_json::from_slice(&content)?),
        record => Err(unexpected(record.kind)),
    }
}

/// Send the next bytes of the archive, at most [`MAX_CHUNK`].
pub(super) fn send_archive(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    send(to, ARCHIVE, bytes)
}

/// Send a message to the worker.
pub(super) fn send_message(to: &mut impl Write, message: &CellMessage) -> io::Result<()> {
    send(to, MESSAGE, &serde_json::to_vec(message)?)
}

/// Send a preview to the worker.
pub(super) fn send_preview(to: &mut impl Write, preview: &Preview) -> io::Result<()> {
    let Preview { number, timestamp_s, jpeg } = preview;
    let (number, timestamp) = (number.to_le_bytes(), timestamp_s.to_le_bytes());
    send(to, PREVIEW, &[number.as_slice(), &timestamp, jpeg].concat())
}

/// Receive the next record of a cell's output.
///
/// # Errors
/// `UnexpectedEof` at the end of the channel, `InvalidData` for anything that is not a record of
/// this protocol.
pub(super) fn receive_output(from: &mut impl Read) -> io::Result<CellOutput> {
    match receive(from)? {
        Record { kind: ARCHIVE, content } => Ok(CellOutput::Archive(content)),
        Record { kind: MESSAGE, content } => {
            Ok(CellOutput::Message(serde_json::from_slice(&content)?))
        }
        Record { kind: PREVIEW, content } => parse_preview(&content).map(CellOutput::Preview),
        record => Err(unexpected(record.kind)),
    }
}

/// Request a range of the video from the worker and return its bytes.
pub(super) fn request_range(
    channel: &mut (impl Read + Write),
    request: RangeRequest,
) -> io::Result<Vec<u8>> {
    let RangeRequest { offset, length } = request;
    channel
        .write_all(&[offset.to_le_bytes().as_slice(), &(length as u32).to_le_bytes()].concat())?;
    match receive(channel)? {
        Record { kind: RANGE, content } if content.len() == length => Ok(content),
        Record { kind: READ_ERROR, content } => {
            Err(io::Error::other(String::from_utf8_lossy(&content).into_owned()))
        }
        record => Err(unexpected(record.kind)),
    }
}

/// Receive the next range request of a cell, or `None` if the cell has closed the channel.
pub(super) fn receive_range_request(channel: &mut impl Read) -> io::Result<Option<RangeRequest>> {
    let (mut offset, mut length) = ([0; 8], [0; 4]);
    match channel.read_exact(&mut offset) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    channel.read_exact(&mut length)?;
    let (offset, length) = (u64::from_le_bytes(offset), checked_length(MAX_CHUNK, length)?);
    Ok(Some(RangeRequest { offset, length }))
}

/// Respond to a range request with the bytes of the range, or with the reason why they cannot be
/// read.
pub(super) fn send_range(channel: &mut impl Write, range: Result<&[u8], &str>) -> io::Result<()> {
    match range {
        Ok(bytes) => send(channel, RANGE, bytes),
        Err(reason) => send(channel, READ_ERROR, reason.as_bytes()),
    }
}

/// A record: its kind and its content.
struct Record {
    kind: u8,
    content: Vec<u8>,
}

fn send(to: &mut impl Write, kind: u8, content: &[u8]) -> io::Result<()> {
    let [a, b, c, d] = (content.len() as u32).to_le_bytes();
    to.write_all(&[kind, a, b, c, d])?;
    to.write_all(content)
}

/// Receive a record.
fn receive(from: &mut impl Read) -> io::Result<Record> {
    let mut header = [0; 5];
    from.read_exact(&mut header)?;
    let [kind, length @ ..] = header;
    let max = match kind {
        MESSAGE => MAX_MESSAGE,
        PREVIEW => PREVIEW_HEADER + MAX_PREVIEW_BYTES,
        _ => MAX_CHUNK,
    };
    let mut content = vec![0; checked_length(max, length)?];
    from.read_exact(&mut content)?;
    Ok(Record { kind, content })
}

fn parse_preview(content: &[u8]) -> io::Result<Preview> {
    let parsed = content.split_first_chunk().and_then(|(number, rest)| {
        let (timestamp, jpeg) = rest.split_first_chunk()?;
        let (number, timestamp_s) = (u64::from_le_bytes(*number), f64::from_le_bytes(*timestamp));
        Some(Preview { number, timestamp_s, jpeg: jpeg.to_vec() })
    });
    parsed.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "a preview lacks its header"))
}

fn checked_length(max: usize, length: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(length) as usize;
    if length > max {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("a length of {length} bytes exceeds the maximum of {max}"),
        ));
    }
    Ok(length)
}

fn unexpected(kind: u8) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("unexpected record of kind {kind}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn output_round_trips() {
        let mut channel = Vec::new();
        send_message(&mut channel, &CellMessage::Confined { missing: vec!["Landlock".to_owned()] })
            .expect("writing succeeds");
        send_archive(&mut channel, b"PK").expect("writing succeeds");
        send_message(&mut channel, &CellMessage::Progress(Progress { done: 3, expected: None }))
            .expect("writing succeeds");
        let failed =
            CellMessage::Failed { code: FailureCode::VideoDamaged, message: "no index".to_owned() };
        send_message(&mut channel, &failed).expect("writing succeeds");
        let preview = Preview { number: 7, timestamp_s: 1.5, jpeg: vec![0xFF, 0xD8] };
        send_preview(&mut channel, &preview).expect("writing succeeds");
        let mut received = channel.as_slice();
        let mut next = || format!("{:?}", receive_output(&mut received).expect("a record"));
        assert_eq!(next(), r#"Message(Confined { missing: ["Landlock"] })"#);
        assert_eq!(next(), "Archive([80, 75])");
        assert_eq!(next(), "Message(Progress(Progress { done: 3, expected: None }))");
        assert_eq!(next(), r#"Message(Failed { code: VideoDamaged, message: "no index" })"#);
        let preview = "Preview(Preview { number: 7, timestamp_s: 1.5, jpeg: [255, 216] })";
        assert_eq!(next(), preview);
        let end = receive_output(&mut received).expect_err("nothing follows");
        assert_eq!(end.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn task_round_trips_with_its_recipe() {
        let recipe: Recipe =
            serde_json::from_str(r#"{"select":{"every":"1/3"}}"#).expect("a recipe");
        let limits = CellLimits {
            engine: EngineLimits { archive_bytes: 2, frame_pixels: 5, frames: 6 },
            memory_bytes: 3,
            cpu_seconds: 4,
        };
        let threads = NonZeroUsize::MIN;
        let task = CellTask { video_bytes: 1, recipe, threads, limits };
        let mut channel = Vec::new();
        send_task(&mut channel, &task).expect("writing succeeds");
        let received = receive_task(&mut channel.as_slice()).expect("a task");
        assert_eq!(format!("{received:?}"), format!("{task:?}"));
    }

    /// A record with this content.
    fn record(kind: u8, content: &[u8]) -> Vec<u8> {
        let mut record = Vec::new();
        send(&mut record, kind, content).expect("writing succeeds");
        record
    }

    #[test]
    fn rejects_invalid_output() {
        let header = |kind, length: usize| [&[kind], &(length as u32).to_le_bytes()[..]].concat();
        let invalid = [
            header(ARCHIVE, MAX_CHUNK + 1),
            header(MESSAGE, MAX_MESSAGE + 1),
            header(PREVIEW, PREVIEW_HEADER + MAX_PREVIEW_BYTES + 1),
            record(PREVIEW, &[0; PREVIEW_HEADER - 1]),
            record(TASK, b""),
            record(MESSAGE, b"{}"),
            record(MESSAGE, b"\xFF"),
            record(MESSAGE, br#"{"Failed":{"code":"NO_SUCH_CODE","message":""}}"#),
        ];
        for bytes in invalid {
            let error = receive_output(&mut bytes.as_slice()).expect_err("it is rejected");
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{bytes:?}: {error}");
        }
    }

    #[test]
    fn rejects_a_range_request_above_the_maximum() {
        let request = |length: usize| {
            let length = (length as u32).to_le_bytes();
            receive_range_request(&mut [&7_u64.to_le_bytes()[..], &length].concat().as_slice())
        };
        let largest = RangeRequest { offset: 7, length: MAX_CHUNK };
        assert_eq!(request(MAX_CHUNK).expect("it is accepted"), Some(largest));
        let error = request(MAX_CHUNK + 1).expect_err("it is rejected");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(receive_range_request(&mut [].as_slice()).expect("the end"), None);
    }

    proptest! {
        /// A compromised cell may write anything.
        #[test]
        fn arbitrary_output_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut channel = bytes.as_slice();
            while receive_output(&mut channel).is_ok() {}
            let mut channel = bytes.as_slice();
            while matches!(receive_range_request(&mut channel), Ok(Some(_))) {}
        }
    }
}
