//! What a cell and its worker say to each other, on two channels.
//!
//! The first is a socket, the cell's standard input: the worker sends the [`Task`], then the cell
//! asks for ranges of the video and gets them. The second is a pipe, the cell's standard output:
//! there the cell gives the archive and tells what happens, and nobody answers.
//!
//! Everything but a question is a frame: its kind, a byte; its length, four bytes, little-endian
//! like all numbers; and its bytes.

use std::io::{self, ErrorKind, Read, Write};

use frames::{Progress, Report};
use serde::{Deserialize, Serialize};

/// Most bytes of a range, and of a piece of the archive. Who claims more is not believed.
pub(super) const LARGEST: usize = 1 << 20;

/// Most bytes of a word: some of it goes into rows, logs and mails.
const LONGEST_WORD: usize = 32 << 10;

/// What a cell is to do, and how far it may go.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    /// Bytes of the video.
    pub video_bytes: u64,
    /// Most bytes of the archive.
    pub archive_bytes: u64,
    /// Threads to work with. A cell cannot find out how many cores there are.
    pub threads: usize,
    /// Most bytes of memory.
    pub memory_bytes: u64,
    /// Most seconds of processor time, of all threads together.
    pub cpu_seconds: u64,
}

/// What a cell tells.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Word {
    /// It has given up its rights, all but what the kernel could not take; said first.
    Confined {
        /// What is lacking, in words.
        lacking: Vec<String>,
    },
    /// How far it is.
    Progress(Progress),
    /// The archive is whole; said last.
    Done(Report),
    /// There is no archive; said last.
    Failed {
        /// The code of a [`frames::Error`].
        code: String,
        /// Its words.
        message: String,
    },
}

/// What comes out of a cell.
#[derive(Debug)]
pub(super) enum Said {
    /// The next bytes of the archive.
    Archive(Vec<u8>),
    /// Something else.
    Word(Word),
}

/// What a frame holds: its first byte.
const TASK: u8 = 0;
const ARCHIVE: u8 = 1;
const WORD: u8 = 2;
const RANGE: u8 = 3;
const UNREADABLE: u8 = 4;

/// Hand over the task.
pub(super) fn order(to: &mut impl Write, task: &Task) -> io::Result<()> {
    send(to, TASK, &serde_json::to_vec(task)?)
}

/// Take the task.
pub(super) fn ordered(from: &mut impl Read) -> io::Result<Task> {
    match receive(from)? {
        (TASK, task) => Ok(serde_json::from_slice(&task)?),
        (kind, _) => Err(unexpected(kind)),
    }
}

/// Give the next bytes of the archive, at most [`LARGEST`].
pub(super) fn give(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    send(to, ARCHIVE, bytes)
}

/// Say something.
pub(super) fn say(to: &mut impl Write, word: &Word) -> io::Result<()> {
    send(to, WORD, &serde_json::to_vec(word)?)
}

/// The next that comes out of a cell. The end of the channel is an error of the kind
/// `UnexpectedEof`.
pub(super) fn hear(from: &mut impl Read) -> io::Result<Said> {
    match receive(from)? {
        (ARCHIVE, bytes) => Ok(Said::Archive(bytes)),
        (WORD, word) => Ok(Said::Word(serde_json::from_slice(&word)?)),
        (kind, _) => Err(unexpected(kind)),
    }
}

/// Ask for `length` bytes of the video from `offset` on, and get them.
pub(super) fn ask(
    channel: &mut (impl Read + Write),
    offset: u64,
    length: usize,
) -> io::Result<Vec<u8>> {
    channel
        .write_all(&[offset.to_le_bytes().as_slice(), &(length as u32).to_le_bytes()].concat())?;
    match receive(channel)? {
        (RANGE, bytes) if bytes.len() == length => Ok(bytes),
        (UNREADABLE, reason) => {
            Err(io::Error::other(String::from_utf8_lossy(&reason).into_owned()))
        }
        (kind, _) => Err(unexpected(kind)),
    }
}

/// The next range that a cell asks for: where it begins, and its length. None when the cell has
/// gone.
pub(super) fn asked(channel: &mut impl Read) -> io::Result<Option<(u64, usize)>> {
    let (mut offset, mut length) = ([0; 8], [0; 4]);
    match channel.read_exact(&mut offset) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    channel.read_exact(&mut length)?;
    Ok(Some((u64::from_le_bytes(offset), within(LARGEST, length)?)))
}

/// Answer with the bytes of the range, or with why they cannot be read.
pub(super) fn answer(channel: &mut impl Write, read: Result<&[u8], String>) -> io::Result<()> {
    match read {
        Ok(bytes) => send(channel, RANGE, bytes),
        Err(reason) => send(channel, UNREADABLE, reason.as_bytes()),
    }
}

fn send(to: &mut impl Write, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let [a, b, c, d] = (bytes.len() as u32).to_le_bytes();
    to.write_all(&[kind, a, b, c, d])?;
    to.write_all(bytes)
}

fn receive(from: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    from.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let mut bytes = vec![0; within(if kind == WORD { LONGEST_WORD } else { LARGEST }, length)?];
    from.read_exact(&mut bytes)?;
    Ok((kind, bytes))
}

fn within(most: usize, length: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(length) as usize;
    if length > most {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("{length} bytes at once are too many"),
        ));
    }
    Ok(length)
}

fn unexpected(kind: u8) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("a frame of kind {kind} is out of place"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        let mut channel = Vec::new();
        say(&mut channel, &Word::Confined { lacking: vec!["a lock".to_owned()] })
            .expect("it is written");
        give(&mut channel, b"PK").expect("it is written");
        say(&mut channel, &Word::Progress(Progress { done: 3, expected: None }))
            .expect("it is written");
        let mut heard = channel.as_slice();
        let mut next = || format!("{:?}", hear(&mut heard).expect("it was said"));
        assert_eq!(next(), r#"Word(Confined { lacking: ["a lock"] })"#);
        assert_eq!(next(), "Archive([80, 75])");
        assert_eq!(next(), "Word(Progress(Progress { done: 3, expected: None }))");
        assert_eq!(hear(&mut heard).expect_err("nothing follows").kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn who_claims_too_much_is_not_believed() {
        let long = ((LARGEST + 1) as u32).to_le_bytes();
        let claims: [Vec<u8>; 5] = [
            [&[ARCHIVE], long.as_slice()].concat(),
            [&[WORD], ((LONGEST_WORD + 1) as u32).to_le_bytes().as_slice()].concat(),
            [[WORD].as_slice(), &2_u32.to_le_bytes(), b"{}"].concat(),
            vec![TASK, 0, 0, 0, 0],
            [[WORD].as_slice(), &1_u32.to_le_bytes(), b"\xFF"].concat(),
        ];
        for claim in claims {
            let error = hear(&mut claim.as_slice()).expect_err("it is refused");
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{claim:?}: {error}");
        }
        let question = [0_u64.to_le_bytes().as_slice(), &long].concat();
        assert_eq!(
            asked(&mut question.as_slice()).expect_err("it is refused").kind(),
            ErrorKind::InvalidData
        );
        assert_eq!(asked(&mut [].as_slice()).expect("no more questions"), None);
    }
}
