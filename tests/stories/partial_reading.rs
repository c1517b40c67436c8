//! Reading only the parts of a video that a recipe needs: the frames are those of a video that is
//! read as a whole, and most of the file is not read.

use std::io::Cursor;
use std::ops::Range;

use frames::{Decoding, Options, Report};
use serde_json::{Value, json};

use crate::harness::archive::Archive;
use crate::harness::checks::{check_all, expect_equal};
use crate::harness::clips::{clip_bytes, clips, long_clip};
use crate::harness::extraction::threads;

/// Warning about an index that is not followed.
const CONTRADICTION: &str =
    "the index of the video contradicts its packets, so the whole file was read";

fn options(recipe: &Value, decoding: Decoding) -> Options {
    let recipe = serde_json::from_value(recipe.clone()).expect("a valid recipe");
    Options { recipe, decoding, ..Options::default() }
}

/// Extract frames of a video in memory.
fn extract(video: &[u8], options: &Options) -> Result<(Archive, Report), String> {
    let mut archive = Vec::new();
    let report = frames::extract(Cursor::new(video.to_vec()), &mut archive, options, |_| {});
    let report = report.map_err(|error| format!("{error} [{}]", error.code()))?;
    Ok((Archive::read(archive)?, report))
}

/// How a video was read.
#[derive(Debug, PartialEq)]
enum Reading {
    Parts,
    Whole,
    /// Its index was found to be wrong.
    Contradicted,
    Failed,
}

/// Compare an extraction with one that reads the whole file. Only the manifest differs, in what it
/// says of reading.
fn compare(video: &[u8], recipe: &Value, number: usize) -> Result<Reading, String> {
    let threads = threads(number).threads;
    let with = |decoding| extract(video, &Options { threads, ..options(recipe, decoding) });
    let (actual, expected) = match (with(Decoding::Selective), with(Decoding::Sequential)) {
        (Ok((actual, _)), Ok((expected, _))) => (actual, expected),
        (actual, expected) => {
            expect_equal("errors", actual.err(), expected.err())?;
            return Ok(Reading::Failed);
        }
    };
    expect_equal("frames", actual.frames == expected.frames, true)?;
    let mut manifest = actual.manifest;
    let fields = manifest.as_object_mut().ok_or("the manifest is no object")?;
    let mut reading = match fields.remove("read") {
        Some(_) => Reading::Parts,
        None => Reading::Whole,
    };
    let warnings = fields["warnings"].as_array_mut().ok_or("no warnings")?;
    if warnings.last().is_some_and(|warning| warning == CONTRADICTION) {
        warnings.pop();
        reading = Reading::Contradicted;
    }
    expect_equal("the manifest", manifest, expected.manifest)?;
    Ok(reading)
}

#[test]
fn parts_yield_the_frames_of_the_whole() {
    let recipes = [
        json!({ "select": { "at": [0, 1.3, 3.3] } }),
        json!({ "select": { "count": 3 } }),
        json!({ "select": { "every": 30 }, "max_frames": 1 }),
        json!({ "from": 2, "to": 3 }),
    ];
    let directories = ["good", "contradictory", "changing", "cut", "lost"];
    check_all(&directories.map(clips).concat(), |clip| {
        let video = std::fs::read(clip).map_err(|error| error.to_string())?;
        for recipe in &recipes {
            compare(&video, recipe, 2).map_err(|error| format!("{recipe}: {error}"))?;
        }
        Ok(())
    });
}

#[test]
fn parts_do_not_depend_on_threads_or_on_what_is_decoded() {
    let recipes = [
        json!({ "select": { "at": [0, 1.3, 20.1, 33.33] } }),
        json!({ "select": { "count": 4 } }),
        json!({ "from": 20.4, "to": 21.2 }),
    ];
    check_all(&["mp4", "mkv", "all_intra.avi"].map(long_clip), |clip| {
        let video = std::fs::read(clip).map_err(|error| error.to_string())?;
        for recipe in &recipes {
            for number in [1, 2, 5] {
                expect_equal("reading", compare(&video, recipe, number)?, Reading::Parts)?;
            }
            let (linear, _) = extract(&video, &options(recipe, Decoding::Linear))?;
            let (parts, _) = extract(&video, &options(recipe, Decoding::Selective))?;
            expect_equal("linear frames", linear.frames == parts.frames, true)?;
        }
        Ok(())
    });
}

#[test]
fn few_bytes_are_read_for_few_frames() {
    for (suffix, recipe, percent) in [
        ("mp4", json!({ "select": { "at": [125] } }), 7),
        ("mkv", json!({ "select": { "at": [125] } }), 7),
        ("mp4", json!({ "select": { "count": 4 } }), 8),
        ("mkv", json!({ "select": { "count": 4 } }), 9),
        ("mp4", json!({ "max_frames": 2 }), 5),
        ("all_intra.avi", json!({ "select": { "every": 30 } }), 3),
    ] {
        let video = std::fs::read(long_clip(suffix)).expect("the clip can be read");
        let (archive, report) =
            extract(&video, &options(&recipe, Decoding::Selective)).expect("a valid clip");
        let read = 100 * report.bytes_read / video.len() as u64;
        println!("{suffix}, {recipe}: {read}% of {} bytes", video.len());
        assert!(read <= percent, "{suffix}, {recipe}: {read}%");
        assert_eq!(archive.manifest["complete"], true);
        let parts = archive.manifest["read"].as_array().expect("parts");
        for entry in archive.frame_entries() {
            let time = entry["timestamp_s"].as_f64().expect("a time");
            let is_in = |part: &Value| {
                let seconds = |key: &str| part[key].as_f64().expect("a time");
                (seconds("from_s")..=seconds("to_s")).contains(&time)
            };
            assert!(parts.iter().any(is_in), "{entry}");
        }
    }
}

#[test]
fn the_default_recipe_reads_the_whole_file() {
    let video = std::fs::read(long_clip("all_intra.avi")).expect("the clip can be read");
    let (archive, report) =
        extract(&video, &options(&json!({}), Decoding::Selective)).expect("a valid clip");
    assert!(report.bytes_read >= video.len() as u64, "{}", report.bytes_read);
    assert_eq!(archive.manifest.get("read"), None);
}

/// Content of the first box or element that begins with these bytes, as a position in the file.
fn position(video: &[u8], start: &[u8]) -> usize {
    let found = video.windows(start.len()).position(|bytes| bytes == start);
    found.expect("the file has it") + start.len()
}

/// Column of a table in an MP4 file. All are numbers of 32 bits.
struct Column {
    name: &'static [u8; 4],
    /// Numbers before the entries. The last one is the number of entries.
    header: usize,
    /// Numbers of an entry, and the place of the column among them.
    width: usize,
    place: usize,
}

impl Column {
    /// Change the numbers of the entries that are in a range.
    fn change(&self, video: &mut [u8], entries: Range<usize>, change: impl Fn(u32) -> u32) {
        let table = position(video, self.name);
        let bytes = |at: usize| table + 4 * at..table + 4 * (at + 1);
        let number =
            |video: &[u8], at| u32::from_be_bytes(video[bytes(at)].try_into().expect("four bytes"));
        let count = number(video, self.header - 1) as usize;
        for entry in entries.start..entries.end.min(count) {
            let at = self.header + entry * self.width + self.place;
            let changed = change(number(video, at)).to_be_bytes();
            video[bytes(at)].copy_from_slice(&changed);
        }
    }
}

#[test]
fn an_index_that_is_wrong_is_not_followed() {
    let recipes = [
        json!({ "select": { "at": [125, 131.7] } }),
        json!({ "select": { "count": 4 } }),
        json!({ "from": 65, "to": 66 }),
    ];
    let [mp4, mkv] =
        ["mp4", "mkv"].map(|name| std::fs::read(long_clip(name)).expect("the clip can be read"));
    let edited = |video: &[u8], edit: &dyn Fn(&mut Vec<u8>)| {
        let mut video = video.to_vec();
        edit(&mut video);
        video
    };
    // Cues have one byte each for the lengths of their elements.
    // The first occurrence is in the list of elements.
    let cues = mkv.windows(4).rposition(|bytes| bytes == [0x1C, 0x53, 0xBB, 0x6B]);
    let cues = cues.expect("the file has cues");
    let edit_cues = |id: u8, change: i8| {
        move |video: &mut Vec<u8>| {
            let (mut at, mut number) = (cues + 4, 0);
            while at + 8 < video.len() {
                let length = usize::from(video[at + 1] & 0x7F);
                if video[at] == id && (0x81..=0x88).contains(&video[at + 1]) {
                    // The first one stays, and the last ones, which lead to the end.
                    if number > 0 && at + 100 < video.len() {
                        let last = &mut video[at + 1 + length];
                        *last = last.wrapping_add_signed(change);
                    }
                    number += 1;
                    at += 2 + length;
                } else {
                    at += 1;
                }
            }
        }
    };
    let (time, cluster) = (0xB3, 0xF1);
    let keys = Column { name: b"stss", header: 2, width: 1, place: 0 };
    let offsets = Column { name: b"ctts", header: 2, width: 2, place: 1 };
    let sizes = Column { name: b"stsz", header: 3, width: 1, place: 0 };
    let cases: [(&str, Vec<u8>, Option<Reading>); 6] = [
        (
            "key frames that are none",
            edited(&mp4, &|video| keys.change(video, 1..usize::MAX, |number| number + 3)),
            Some(Reading::Whole),
        ),
        (
            "two samples at one time",
            edited(&mp4, &|video| offsets.change(video, 100..101, |offset| offset + 512)),
            None,
        ),
        (
            "sizes that are too small",
            edited(&mp4, &|video| sizes.change(video, 1..usize::MAX, |size| size / 2)),
            None,
        ),
        ("other times", edited(&mkv, &edit_cues(time, 1)), Some(Reading::Contradicted)),
        ("other places", edited(&mkv, &edit_cues(cluster, 3)), None),
        ("no times", edited(&mkv, &|video: &mut Vec<u8>| video[cues + 8..].fill(0)), None),
    ];
    for (name, video, mut expected) in cases {
        for recipe in &recipes {
            let reading = compare(&video, recipe, 2);
            let reading = reading.unwrap_or_else(|error| panic!("{name}, {recipe}: {error}"));
            println!("{name}, {recipe}: {reading:?}");
            // That of the first recipe is known.
            if let Some(expected) = expected.take() {
                assert_eq!(reading, expected, "{name}, {recipe}");
            }
        }
    }
}

/// Damage in a part that is read is reported as if the whole file had been read.
#[test]
fn damage_in_a_part_causes_the_whole_file_to_be_read() {
    let video = std::fs::read(long_clip("mp4")).expect("the clip can be read");
    let length = video.len();
    let mut damaged = video;
    for at in (length / 2..length * 3 / 5).step_by(997) {
        damaged[at] ^= 0x55;
    }
    for recipe in [json!({ "select": { "at": [5, 128] } }), json!({ "from": 129, "to": 131 })] {
        for number in [1, 2] {
            assert_eq!(compare(&damaged, &recipe, number), Ok(Reading::Whole), "{recipe}");
        }
    }
    let recipe = json!({ "select": { "at": [5] } });
    let (archive, _) =
        extract(&damaged, &options(&recipe, Decoding::Selective)).expect("the part is intact");
    assert_eq!(archive.manifest["complete"], true, "no frame of the recipe is damaged");
    assert!(archive.manifest["read"].is_array());
}

#[test]
fn a_truncated_file_is_read_as_a_whole() {
    let mkv = std::fs::read(long_clip("mkv")).expect("the clip can be read");
    let recipe = json!({ "select": { "count": 4 } });
    for percent in [50, 97] {
        let cut = &mkv[..mkv.len() * percent / 100];
        let reading = compare(cut, &recipe, 2).expect("the frames are equal");
        assert_ne!(reading, Reading::Parts, "{percent}%");
    }
    let clip = clip_bytes("cut/cut_at_60_percent.mp4");
    assert_eq!(compare(&clip, &recipe, 2), Ok(Reading::Whole));
}
