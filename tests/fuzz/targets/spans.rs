//! Decoding in spans: for any join of parts of clips, the frames equal those of a decoder that gets
//! every packet in order.
//!
//! Parts begin at a key frame and end anywhere. They are joined as FLV tags, each after the
//! sequence header of its clip, and their times may leave a gap or go backward.

#![no_main]

use std::io::Cursor;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::OnceLock;

use arbitrary::Arbitrary;
use frames::{Decoding, Options};
use jobs::Recipe;
use jobs::manifest::{MANIFEST_NAME, Manifest};
use jobs::recipe::Selection;
use libfuzzer_sys::fuzz_target;
use zip::ZipArchive;

const HEADER: &[u8] = b"FLV\x01\x01\0\0\0\x09\0\0\0\0";
/// Maximum number of parts.
const MAX_PARTS: usize = 6;

/// Part of a clip.
#[derive(Arbitrary, Debug)]
struct Part {
    clip: u8,
    /// Key frame at which it begins.
    key_frame: u8,
    /// Number of frames.
    frames: u8,
    /// Time from the end of the part before, in units of 20 ms.
    gap: i8,
}

#[derive(Arbitrary, Debug)]
struct Video {
    parts: Vec<Part>,
    /// Interval between the frames to extract, in units of 200 ms.
    interval: u8,
    threads: u8,
}

/// Video tag of an FLV file (FLV specification 10.1, E.4.1 and E.4.3).
#[derive(Clone)]
struct Tag {
    time_ms: u32,
    is_key: bool,
    /// Content from the frame type on.
    body: Vec<u8>,
}

/// Clip of which parts are joined.
struct Clip {
    sequence_header: Tag,
    frames: Vec<Tag>,
}

fn clips() -> &'static [Clip] {
    static CLIPS: OnceLock<Vec<Clip>> = OnceLock::new();
    CLIPS.get_or_init(|| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fixtures/parts");
        let entries = directory.read_dir().expect("fixtures/make.sh has made the clips");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files.iter().map(|file| read(&std::fs::read(file).expect("a clip"))).collect()
    })
}

fn read(file: &[u8]) -> Clip {
    const VIDEO: u8 = 9;
    const SEQUENCE_HEADER: u8 = 0;
    const FRAME: u8 = 1;
    let (mut header, mut frames) = (None, Vec::new());
    let mut rest = &file[HEADER.len()..];
    while let [kind, s1, s2, s3, t1, t2, t3, t4, _, _, _, tail @ ..] = rest {
        let size = u32::from_be_bytes([0, *s1, *s2, *s3]) as usize;
        let (body, tail) = tail.split_at(size);
        if *kind == VIDEO {
            let time_ms = u32::from_be_bytes([*t4, *t1, *t2, *t3]);
            let tag = Tag { time_ms, is_key: body[0] >> 4 == 1, body: body.to_vec() };
            match body[1] {
                SEQUENCE_HEADER => header = Some(tag),
                FRAME => frames.push(tag),
                _ => {}
            }
        }
        rest = &tail[4..];
    }
    Clip { sequence_header: header.expect("a sequence header"), frames }
}

fn append(tag: &Tag, time_ms: u32, file: &mut Vec<u8>) {
    let [t4, t1, t2, t3] = time_ms.to_be_bytes();
    let [_, s1, s2, s3] = (tag.body.len() as u32).to_be_bytes();
    file.extend([9, s1, s2, s3, t1, t2, t3, t4, 0, 0, 0]);
    file.extend(&tag.body);
    file.extend((tag.body.len() as u32 + 11).to_be_bytes());
}

fn join(parts: &[Part]) -> Vec<u8> {
    let mut file = HEADER.to_vec();
    let mut now = 0_i64;
    for Part { clip, key_frame, frames, gap } in parts.iter().take(MAX_PARTS) {
        let clip = &clips()[usize::from(*clip) % clips().len()];
        let keys: Vec<usize> =
            clip.frames.iter().enumerate().filter(|(_, tag)| tag.is_key).map(|(n, _)| n).collect();
        let first = keys[usize::from(*key_frame) % keys.len()];
        let tags = &clip.frames[first..];
        let tags = &tags[..tags.len().min(usize::from(*frames) + 1)];
        let start = (now + 20 * i64::from(*gap)).max(0);
        append(&clip.sequence_header, start as u32, &mut file);
        for tag in tags {
            let time = start + i64::from(tag.time_ms) - i64::from(tags[0].time_ms);
            append(tag, time as u32, &mut file);
            now = time + 33;
        }
    }
    file
}

/// Timestamp and checksum of each frame, and whether the archive is complete; or the error code.
fn extract(video: &[u8], options: &Options) -> Result<(Vec<(i64, String)>, bool), String> {
    let mut archive = Vec::new();
    frames::extract(Cursor::new(video.to_vec()), &mut archive, options, |_| {})
        .map_err(|error| error.code().to_string())?;
    let mut archive = ZipArchive::new(Cursor::new(archive)).expect("a valid archive");
    let manifest = archive.by_name(MANIFEST_NAME).expect("a manifest");
    let manifest: Manifest = serde_json::from_reader(manifest).expect("a valid manifest");
    let frame = |frame: jobs::manifest::FrameEntry| (frame.timestamp, frame.sha256);
    Ok((manifest.frames.into_iter().map(frame).collect(), manifest.complete))
}

fuzz_target!(|video: Video| {
    if video.parts.is_empty() {
        return;
    }
    let file = join(&video.parts);
    let interval = format!("{}/5", video.interval % 16 + 1).parse().expect("an interval");
    let recipe = Recipe { select: Selection::Every(interval), ..Recipe::default() };
    let threads = NonZeroUsize::new(usize::from(video.threads % 4) + 1).expect("at least one");
    let selective = Options { recipe, threads, ..Options::default() };
    let linear =
        Options { decoding: Decoding::Linear, threads: NonZeroUsize::MIN, ..selective.clone() };
    match (extract(&file, &selective), extract(&file, &linear)) {
        (Ok((frames, complete)), Ok((expected, all_intact))) => {
            if all_intact {
                assert_eq!((frames, complete), (expected, true));
            } else {
                // Packets that are left out may be damaged. The linear extraction leaves out
                // instants for which damage makes the frame uncertain.
                let mut frames = frames.iter();
                assert!(expected.iter().all(|frame| frames.any(|other| other == frame)));
            }
        }
        (selective, linear) => assert_eq!(selective, linear),
    }
});
