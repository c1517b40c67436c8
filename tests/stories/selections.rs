//! Selections of frames: each is compared with all frames of the ffmpeg command.

use std::io::Cursor;
use std::num::NonZeroU32;
use std::path::Path;

use frames::{Decoding, Error, Options};
use jobs::Recipe;
use serde_json::{Value, json};

use crate::harness::archive::Archive;
use crate::harness::checks::{check_all, expect_equal};
use crate::harness::clips::{clips, fixture};
use crate::harness::extraction::{extract, extract_and_read, extract_from, threads};
use crate::harness::ffmpeg::{ffmpeg, ffprobe, frame_hashes, reference_frames};
use crate::harness::programs::{fiapx, run};

/// Clips with reordered frames, open entries, gaps, a late start and other containers.
const CLIPS: [&str; 10] = [
    "h264_open_gop.mkv",
    "hevc_open_gop.mkv",
    "vp9_altref.webm",
    "flv1.flv",
    "mpeg2_open.mkv",
    "vfr.mp4",
    "ntsc.mp4",
    "late_start.mkv",
    "edit_list.mp4",
    "shorter_than_half_a_second.mp4",
];

fn recipe(json: &Value) -> Recipe {
    serde_json::from_value(json.clone()).expect("a valid recipe")
}

fn options(json: &Value) -> Options {
    Options { recipe: recipe(json), ..Options::default() }
}

/// All frames of a clip, in presentation order.
struct Frames {
    /// Presentation times in seconds from the start of the video.
    times: Vec<f64>,
    /// RGB pixels of all frames, one after another.
    pixels: Vec<u8>,
}

impl Frames {
    fn of(clip: &Path) -> Result<Self, String> {
        let raw = ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24"];
        let pixels = ffmpeg(clip, &raw)?;
        let entries = "frame=best_effort_timestamp_time:format=start_time";
        let probed = ffprobe(clip, &["-select_streams", "v:0", "-show_entries", entries])?;
        let seconds = |text: &Value| {
            let text = text.as_str().ok_or("no time")?;
            text.parse::<f64>().map_err(|error| error.to_string())
        };
        let start = seconds(&probed["format"]["start_time"])?;
        let frames = probed["frames"].as_array().ok_or("no frames")?;
        let time = |frame: &Value| Ok(seconds(&frame["best_effort_timestamp_time"])? - start);
        let mut times = frames.iter().map(time).collect::<Result<Vec<_>, String>>()?;
        // The ffmpeg command leaves out frames before the start of an edit list.
        times.retain(|time| *time > -1e-6);
        Ok(Self { times, pixels })
    }

    fn end(&self) -> f64 {
        *self.times.last().expect("a frame")
    }

    /// Frame on screen at a time: the last one whose time is not later, or the first frame.
    fn at(&self, time: f64) -> (f64, &[u8]) {
        // Times are printed with six decimals.
        let after = self.times.partition_point(|frame| *frame <= time + 1e-6);
        let index = after.saturating_sub(1);
        let size = self.pixels.len() / self.times.len();
        (self.times[index], &self.pixels[index * size..][..size])
    }
}

/// Compare an archive with the frames on screen at these times.
fn compare(archive: &Archive, frames: &Frames, times: &[f64]) -> Result<(), String> {
    expect_equal("complete", &archive.manifest["complete"], &json!(true))?;
    expect_equal("frames", archive.frames.len(), times.len())?;
    let pixels = archive.pixels()?;
    for ((time, entry), pixels) in times.iter().zip(archive.frame_entries()).zip(&pixels) {
        let (timestamp, expected) = frames.at(*time);
        let seconds = |key: &str| entry[key].as_f64().ok_or("no number");
        expect_equal("the instant", (seconds("instant_s")? - time).abs() < 1e-6, true)?;
        if (seconds("timestamp_s")? - timestamp).abs() > 1e-3 {
            return Err(format!("at {time}: {} instead of {timestamp}", entry["timestamp_s"]));
        }
        expect_equal(&format!("pixels at {time}"), pixels.bytes == expected, true)?;
    }
    Ok(())
}

#[test]
fn listed_and_evenly_distributed_times_select_the_frames_on_screen() {
    check_all(&CLIPS.map(|clip| fixture(&format!("good/{clip}"))), |clip| {
        let frames = Frames::of(clip)?;
        let end = frames.end();
        let times: Vec<f64> = [0.0, 0.1, 0.31, 0.55, 0.551, 0.9]
            .iter()
            .map(|part| (part * end * 1e3).round() / 1e3)
            .collect();
        let archive = extract_and_read(clip, &options(&json!({ "select": { "at": times } })))?;
        let mut distinct = times;
        distinct.dedup();
        compare(&archive, &frames, &distinct)?;
        let archive = extract_and_read(clip, &options(&json!({ "select": { "count": 7 } })))?;
        let instants: Vec<f64> = archive
            .frame_entries()
            .iter()
            .filter_map(|entry| entry["instant_s"].as_f64())
            .collect();
        compare(&archive, &frames, &instants)?;
        let step = instants[1] - instants[0];
        expect_equal(
            "the first is half a step from the start",
            (instants[0] - step / 2.0).abs() < 1e-6,
            true,
        )
    });
}

#[test]
fn a_part_has_the_frames_of_the_whole_whose_instants_lie_in_it() {
    check_all(&CLIPS.map(|clip| fixture(&format!("good/{clip}"))), |clip| {
        let whole = extract_and_read(clip, &options(&json!({ "select": { "every": "1/3" } })))?;
        for (from, to) in [(0.5, 2.5), (1.0, 4.5), (0.0, 0.2)] {
            let recipe = json!({ "select": { "every": "1/3" }, "from": from, "to": to });
            let lies_in = |entry: &&Value| {
                entry["instant_s"].as_f64().is_some_and(|instant| from <= instant && instant < to)
            };
            let summary = |entry: &Value| (entry["instant_s"].clone(), entry["sha256"].clone());
            let expected: Vec<_> =
                whole.frame_entries().iter().filter(lies_in).map(summary).collect();
            let part = match extract_and_read(clip, &options(&recipe)) {
                Err(error) if expected.is_empty() && error.ends_with("[NOTHING_SELECTED]") => {
                    continue;
                }
                part => part?,
            };
            let selected: Vec<_> = part.frame_entries().iter().map(summary).collect();
            expect_equal(&format!("{from} to {to}"), selected, expected)?;
            expect_equal("complete", &part.manifest["complete"], &json!(true))?;
        }
        Ok(())
    });
}

/// The decoder still holds frames when the packets end, and these state no presentation times.
#[test]
fn the_last_frames_of_clips_without_presentation_times_are_selected() {
    let mut avi = clips("good");
    avi.retain(|clip| clip.extension().is_some_and(|suffix| suffix == "avi"));
    check_all(&avi, |clip| {
        let archive = extract_and_read(clip, &options(&json!({ "select": { "every": "1/25" } })))?;
        let frames = frame_hashes(&[], clip, "fps=25", "gray")?;
        expect_equal("frames", archive.frames.len(), frames.len())?;
        expect_equal("complete", &archive.manifest["complete"], &json!(true))
    });
}

/// An interval may be longer than the video. Its first instant is the middle of the interval, and
/// without any instant the first frame is selected, where ffmpeg's filter outputs none.
#[test]
fn intervals_of_any_length_select_the_frames_of_ffmpeg() {
    let clip = fixture("good/h264_aac.mp4");
    let intervals = ["3.5", "4", "6", "9", "11.9", "12", "12.1", "13", "24", "3600"];
    check_all(&intervals, |interval| {
        let recipe = json!({ "select": { "every": interval.parse::<f64>().expect("a number") } });
        let archive = extract_and_read(&clip, &options(&recipe))?;
        let frames = reference_frames(&clip, &format!("1/{interval}"), "rgb24")?;
        archive.expect_pixels(&frames)?;
        expect_equal("complete", &archive.manifest["complete"], &json!(true))
    });
}

#[test]
fn the_first_frames_are_kept_and_the_others_counted() {
    check_all(&["h264_open_gop.mkv", "late_start.mkv", "vfr.mp4"], |clip| {
        let clip = fixture(&format!("good/{clip}"));
        for select in [json!({ "every": "1/3" }), json!({ "count": 9 }), json!({ "at": [0, 1, 2] })]
        {
            let whole = extract_and_read(&clip, &options(&json!({ "select": select })))?;
            let recipe = json!({ "select": select, "max_frames": 2 });
            let first = extract_and_read(&clip, &options(&recipe))?;
            expect_equal("frames", &first.frames[..], &whole.frames[..2])?;
            let omitted = whole.frames.len() as u64 - 2;
            expect_equal("omitted", &first.manifest["omitted"], &json!(omitted))?;
            expect_equal("complete", &first.manifest["complete"], &json!(true))?;
        }
        Ok(())
    });
}

#[test]
fn selections_do_not_depend_on_threads_or_on_what_is_decoded() {
    let recipes = [
        json!({ "select": { "at": [0, "0:01.7", 3.3] } }),
        json!({ "select": { "count": 5 }, "from": 1 }),
        json!({ "select": { "every": 0.4 }, "from": 1, "to": 4, "max_frames": 3 }),
        json!({ "select": { "keyframes": {} } }),
        json!({ "select": { "scenes": { "threshold": 0.02 } }, "sheet": { "columns": 3 } }),
        json!({ "select": { "sharpest": { "every": 0.3 } }, "skip": { "repeated": true } }),
        json!({ "select": { "every": "1/5" }, "skip": { "repeated": true }, "max_frames": 4 }),
    ];
    let clips = [
        "good/h264_open_gop.mkv",
        "good/vp9_altref.webm",
        "cut/flipped_bytes.mp4",
        "lost/h264.mkv",
    ];
    check_all(&clips.map(fixture), |clip| {
        for recipe in &recipes {
            let archive = |options: Options| {
                extract(clip, &options).map_err(|error| format!("{recipe}: {error}"))
            };
            let one = archive(Options { threads: threads(1).threads, ..options(recipe) })?;
            for number in [2, 5] {
                let other =
                    archive(Options { threads: threads(number).threads, ..options(recipe) })?;
                expect_equal(&format!("{recipe} with {number} threads"), one == other, true)?;
            }
            let linear = Options { decoding: Decoding::Linear, ..options(recipe) };
            let linear = Archive::read(archive(linear)?)?;
            let selective = Archive::read(one)?;
            if selective.manifest["complete"] == true {
                expect_equal(&format!("{recipe} linear"), linear.frames, selective.frames)?;
            }
        }
        Ok(())
    });
}

#[test]
fn times_after_the_end_are_missing() {
    let clip = fixture("good/h264_aac.mp4");
    let archive = extract_and_read(&clip, &options(&json!({ "select": { "at": [1, 7, 9] } })))
        .expect("the clip is valid");
    let manifest = &archive.manifest;
    assert_eq!((&manifest["complete"], &manifest["expected"]), (&json!(false), &json!(3)));
    let missing = json!([{ "first_number": 2, "last_number": 3, "from_s": 7.0, "to_s": 9.0 }]);
    assert_eq!(manifest["missing"], missing);
    let warnings = json!(["requested times after the end of the video at 6.000 s: 2"]);
    assert_eq!(manifest["warnings"], warnings);
    let recipes =
        [json!({ "select": { "at": [7, 9] } }), json!({ "from": 8 }), json!({ "to": 0.3 })];
    for late in recipes {
        let error = extract(&clip, &options(&late)).expect_err("there is no frame");
        assert!(matches!(error, Error::NothingSelected { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            "the recipe selects no frame of the video, which ends after 6.000 s"
        );
    }
}

/// A frame before a hole is not the one on screen behind it.
#[test]
fn a_hole_yields_no_frames_from_before_it() {
    let clip = fixture("good/h264_aac.mp4");
    let mut video = std::fs::read(&clip).expect("the clip exists");
    let length = video.len();
    video[length / 3..length * 2 / 3].fill(0);
    for recipe in [
        json!({ "select": { "at": [0.2, 4] } }),
        json!({ "select": { "count": 4 } }),
        json!({ "from": 2.5, "to": 4 }),
    ] {
        let Ok(bytes) = extract_from(Cursor::new(video.clone()), &options(&recipe)) else {
            continue;
        };
        let archive = Archive::read(bytes).expect("an archive");
        assert_eq!(archive.manifest["complete"], false, "{recipe}");
        for entry in archive.frame_entries() {
            let seconds = |key: &str| entry[key].as_f64().expect("a number");
            let distance = seconds("instant_s") - seconds("timestamp_s");
            assert!(distance < 0.6 || entry["decode_errors"] == true, "{recipe}: {entry}");
        }
    }
}

/// The instants are those of the whole video, so those after the cut are missing.
#[test]
fn a_truncated_video_lacks_the_later_frames_of_a_count() {
    let clip = fixture("cut/cut_at_60_percent.mp4");
    let archive = extract_and_read(&clip, &options(&json!({ "select": { "count": 10 } })))
        .expect("the beginning is valid");
    let manifest = &archive.manifest;
    assert_eq!((&manifest["complete"], &manifest["expected"]), (&json!(false), &json!(10)));
    assert_eq!(archive.frames.len() as u64, 10 - missing(manifest));
    assert!((3..6).contains(&missing(manifest)), "{manifest}");
}

/// Number of missing frames.
fn missing(manifest: &Value) -> u64 {
    let ranges = manifest["missing"].as_array().map_or(&[][..], Vec::as_slice);
    let count = |range: &Value| {
        let number = |key: &str| range[key].as_u64().expect("a number");
        number("last_number") - number("first_number") + 1
    };
    ranges.iter().map(count).sum()
}

#[test]
fn the_command_takes_the_same_selections() {
    let clip = fixture("good/h264_open_gop.mkv");
    let directory = crate::harness::clips::scratch();
    let file = directory.path().join("recipe.json");
    let written = json!({ "select": { "at": [0.5, 2] }, "max_frames": 1 });
    std::fs::write(&file, written.to_string()).expect("the directory is writable");
    let file = file.to_str().expect("a path in UTF-8");
    for (arguments, recipe) in [
        (&["--at", "0.5,0:02"][..], json!({ "select": { "at": [0.5, 2] } })),
        (&["--count", "4", "--from", "1"], json!({ "select": { "count": 4 }, "from": 1 })),
        (
            &["--every", "1/2", "--to", "3", "--max-frames", "2"],
            json!({ "select": { "every": "1/2" }, "to": 3, "max_frames": 2 }),
        ),
        (
            &["--format", "jpeg", "--quality", "70", "--max-width", "100", "--square-pixels"],
            json!({ "image": {
                "format": "jpeg", "quality": 70, "max_width": 100, "square_pixels": true
            } }),
        ),
        (&["--keyframes", "--from", "1"], json!({ "select": { "keyframes": {} }, "from": 1 })),
        (&["--scenes"], json!({ "select": { "scenes": {} } })),
        (
            &["--scenes=0.01", "--min-seconds", "0.5", "--skip", "blank,repeated"],
            json!({
                "select": { "scenes": { "threshold": 0.01, "min_seconds": 0.5 } },
                "skip": { "blank": true, "repeated": true }
            }),
        ),
        (
            &["--sharpest", "--every", "0.5", "--sheet=3x64"],
            json!({
                "select": { "sharpest": { "every": 0.5 } },
                "sheet": { "columns": 3, "tile_width": 64 }
            }),
        ),
        (&["--recipe", file], written),
    ] {
        let output = directory.path().join("archive.zip");
        let done = run(fiapx().arg("extract").arg(&clip).arg("-fo").arg(&output).args(arguments));
        assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.stderr);
        let bytes = std::fs::read(&output).expect("the archive exists");
        assert!(bytes == extract(&clip, &options(&recipe)).expect("a valid clip"), "{arguments:?}");
    }
    for (arguments, line) in [
        (
            &["--at", "1", "--count", "2"][..],
            "choose only one of --every, --at, --count, --keyframes, --scenes and --sharpest; only \
             --sharpest goes with --every",
        ),
        (&["--min-seconds", "2"], "--min-seconds goes with --scenes"),
        (&["--quality", "50"], "--quality goes with --format jpeg or --format webp"),
        (&["--from", "2", "--to", "2"], "--to must be later than --from, and later than 0"),
        (
            &["--recipe", file, "--count", "2"],
            "--recipe contains the whole choice: put the other options into its file",
        ),
    ] {
        let failed = run(fiapx().arg("extract").arg(&clip).args(arguments));
        assert_eq!((failed.code, failed.stderr), (Some(2), format!("fiapx: {line}\n")));
    }
    let count = Recipe { max_frames: NonZeroU32::new(3), ..Recipe::default() };
    assert_eq!(recipe(&json!({ "max_frames": 3 })), count);
}
