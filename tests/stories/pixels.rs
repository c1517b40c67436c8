//! The frames equal those of the ffmpeg command, pixel for pixel.

use std::collections::BTreeSet;
use std::path::Path;

use frames::Options;
use serde_json::{Value, json};

use crate::harness::archive::{Archive, Pixels};
use crate::harness::checks::{check_all, expect_equal};
use crate::harness::clips::{SHORT, clips, file_name, fixture, scratch};
use crate::harness::extraction::{every, extract_and_read};
use crate::harness::ffmpeg::{ffmpeg, ffmpeg_from, reference_frames};
use crate::harness::programs::{fiapx, output};

/// Compare an archive's frames with those of the ffmpeg command.
fn compare(clip: &Path, archive: &Archive, rate: &str) -> Result<(), String> {
    let layout = archive.pixels()?.first().ok_or("no frame")?.layout;
    archive.expect_pixels(&reference_frames(clip, rate, layout)?)
}

#[test]
fn frames_equal_those_of_ffmpeg() {
    check_all(&clips("good"), |clip| {
        let archive = extract_and_read(clip, &Options::default())?;
        compare(clip, &archive, "1")?;
        expect_equal("warnings", &archive.manifest["warnings"], &json!([]))?;
        // Bit depth and color type (PNG, 11.2.1) that ffmpeg itself would write.
        let png = ffmpeg(clip, &["-frames:v", "1", "-f", "image2pipe", "-c:v", "png"])?;
        expect_equal("bit depth and color type", &archive.frames[0].1[24..26], &png[24..26])
    });
}

/// They are extracted completely, with a warning about the contradiction.
#[test]
fn contradictory_clips_equal_those_of_ffmpeg() {
    check_all(&clips("contradictory"), |clip| {
        let archive = extract_and_read(clip, &Options::default())?;
        compare(clip, &archive, "1")?;
        expect_equal("complete", &archive.manifest["complete"], &Value::from(true))?;
        let warnings = archive.manifest["warnings"].as_array().map_or(0, Vec::len);
        expect_equal("there are warnings", warnings > 0, true)
    });
}

/// The remaining packets are intact, so only references tell that frames are wrong.
#[test]
fn clips_that_lack_packets_equal_those_of_ffmpeg_and_are_incomplete() {
    check_all(&clips("lost"), |clip| {
        let archive = extract_and_read(clip, &Options::default())?;
        compare(clip, &archive, "1")?;
        expect_equal("complete", &archive.manifest["complete"], &Value::from(false))?;
        let damaged = archive.manifest["damaged"].as_array().map_or(0, Vec::len);
        expect_equal("there are damaged ranges", damaged > 0, true)?;
        let is_marked = |entry: &Value| entry["decode_errors"] == true;
        expect_equal("frames are marked", archive.frame_entries().iter().any(is_marked), true)
    });
}

#[test]
fn other_intervals_equal_those_of_ffmpeg() {
    let clips = [
        "h264_aac.mp4",
        "hevc_open_gop.mkv",
        "mpeg4_bframes.avi",
        "ntsc.mp4",
        "vfr.mp4",
        "vp9_altref.webm",
        "wmv2.wmv",
    ];
    let clips = clips.map(|clip| fixture(&format!("good/{clip}")));
    check_all(&clips, |clip| {
        compare(clip, &extract_and_read(clip, &every(1, 2))?, "2")?;
        compare(clip, &extract_and_read(clip, &every(2, 1))?, "1/2")
    });
}

#[test]
fn the_command_and_the_library_make_the_same_archive() {
    let (directory, clip) = (scratch(), fixture("good/h264_open_gop.mkv"));
    for (interval, options, rate) in
        [("1", Options::default(), "1"), ("0.5", every(5, 10), "2"), ("2", every(2, 1), "1/2")]
    {
        let name = directory.path().join("archive.zip");
        output(fiapx().arg("extract").arg(&clip).arg("-o").arg(&name).args(["--every", interval]))
            .expect("the clip is valid");
        let archive = Archive::read(std::fs::read(name).expect("the archive exists"))
            .expect("the archive is complete");
        compare(&clip, &archive, rate).expect("the frames equal ffmpeg's");
        assert_eq!(
            archive.bytes,
            extract_and_read(&clip, &options).expect("the clip is valid").bytes,
            "--every {interval}"
        );
    }
}

/// Under `fps=1` the ffmpeg command restarts its filters at the change, and it scales all frames to
/// the size of the first one. So it extracts every frame here, separately for each size.
#[test]
fn a_change_of_size_is_followed() {
    struct Segment {
        /// Second at which it begins.
        start: &'static str,
        width: u32,
        height: u32,
    }
    const SEGMENTS: [Segment; 2] = [
        Segment { start: "0", width: 320, height: 180 },
        Segment { start: "3", width: 480, height: 270 },
    ];
    let clip = fixture("changing/size.mkv");
    let raw =
        ["-frames:v", "90", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24"];
    let mut expected = Vec::new();
    for Segment { start, width, height } in SEGMENTS {
        let frames = ffmpeg_from(&["-ss", start], &clip, &raw).expect("ffmpeg decodes the clip");
        let size = (width * height * 3) as usize;
        assert_eq!(frames.len(), 90 * size, "from second {start}");
        for second in 0..3 {
            // At 30 frames a second, the last one before the half second is the fifteenth.
            let bytes = frames.chunks(size).nth(30 * second + 14).expect("a frame").to_vec();
            expected.push(Pixels { width, height, layout: "rgb24", bytes });
        }
    }
    let archive = extract_and_read(&clip, &Options::default()).expect("the clip is valid");
    let frames = archive.pixels().expect("all frames are PNG files");
    let size = |frame: &Pixels| (frame.width, frame.height);
    assert!(frames.iter().map(size).eq(expected.iter().map(size)), "other sizes");
    for (second, (frame, expected)) in frames.iter().zip(&expected).enumerate() {
        assert!(frame == expected, "the frame of second {second} differs");
    }
}

/// The ffmpeg command outputs memory that it never wrote, so the frames are those without grain.
#[test]
fn film_grain_that_cannot_be_added_is_left_out() {
    let [plain, grain] = ["hevc_10bit", "hevc_10bit_film_grain"].map(|name| {
        extract_and_read(&fixture(&format!("changing/{name}.mp4")), &Options::default())
            .expect("the clip is valid")
    });
    assert_eq!(grain.manifest["complete"], true);
    assert!(grain.pixels() == plain.pixels(), "the frames differ");
}

#[test]
fn sample_aspect_ratio_is_written_as_physical_pixel_dimensions() {
    let dimensions = |clip: &str| {
        let archive =
            extract_and_read(&fixture(clip), &Options::default()).expect("the clip is valid");
        let reader = png::Decoder::new(std::io::Cursor::new(&archive.frames[0].1))
            .read_info()
            .expect("a PNG");
        reader.info().pixel_dims.map(|dimensions| (dimensions.xppu, dimensions.yppu))
    };
    assert_eq!(dimensions("good/sample_aspect.mp4"), Some((15, 16)));
    assert_eq!(dimensions(SHORT), None);
}

#[test]
fn clips_cover_every_accepted_suffix() {
    let names: Vec<String> = clips("good").iter().map(|clip| file_name(clip)).collect();
    let suffixes: BTreeSet<&str> =
        names.iter().filter_map(|name| Some(name.rsplit_once('.')?.1)).collect();
    assert_eq!(suffixes, BTreeSet::from(["avi", "flv", "mkv", "mov", "mp4", "webm", "wmv"]));
}
