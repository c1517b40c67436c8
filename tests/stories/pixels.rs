//! The pictures are those of the ffmpeg command, pixel for pixel.

use std::collections::BTreeSet;
use std::path::Path;

use frames::Options;

use crate::harness::archive::{Archive, Pixels};
use crate::harness::checks::{check_all, expect_equal};
use crate::harness::clips::{clips, file_name, fixture, scratch};
use crate::harness::extraction::{every, extract_and_read};
use crate::harness::ffmpeg::{ffmpeg, oracle};
use crate::harness::programs::{fiapx, output};

/// Hold an archive's pictures against the ffmpeg command's.
fn compare(clip: &Path, archive: &Archive, rate: &str) -> Result<(), String> {
    let ours =
        archive.frames.iter().map(|(_, png)| Pixels::of(png)).collect::<Result<Vec<_>, _>>()?;
    let layout = ours.first().ok_or("no picture")?.layout;
    let theirs = oracle(clip, rate, layout)?;
    let size: usize = ours.iter().map(|picture| picture.bytes.len()).sum();
    expect_equal("bytes of all pictures", size, theirs.len())?;
    let mut theirs = theirs.as_slice();
    for (picture, (name, _)) in ours.iter().zip(&archive.frames) {
        expect_equal("layout", picture.layout, layout)?;
        let (expected, rest) = theirs.split_at(picture.bytes.len());
        if picture.bytes != expected {
            let differing = picture.bytes.iter().zip(expected).filter(|(a, b)| a != b).count();
            return Err(format!("{name} differs in {differing} of {} bytes", expected.len()));
        }
        theirs = rest;
    }
    Ok(())
}

#[test]
fn pictures_are_those_of_ffmpeg() {
    check_all(&clips("good"), |clip| {
        let archive = extract_and_read(clip, &Options::default())?;
        compare(clip, &archive, "1")?;
        // Depth and colour type (PNG, 11.2.1) of what ffmpeg itself would write.
        let png = ffmpeg(clip, &["-frames:v", "1", "-f", "image2pipe", "-c:v", "png"])?;
        expect_equal("depth and colour type", &archive.frames[0].1[24..26], &png[24..26])
    });
}

#[test]
fn other_intervals_are_those_of_ffmpeg() {
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
fn the_command_gives_what_the_library_gives() {
    let (directory, clip) = (scratch(), fixture("good/h264_open_gop.mkv"));
    for (interval, options, rate) in
        [("1", Options::default(), "1"), ("0.5", every(5, 10), "2"), ("2", every(2, 1), "1/2")]
    {
        let name = directory.path().join("archive.zip");
        output(fiapx().arg("extract").arg(&clip).arg("-o").arg(&name).args(["--every", interval]))
            .expect("the clip is good");
        let archive = Archive::read(std::fs::read(name).expect("the archive is there"))
            .expect("the archive is whole");
        compare(&clip, &archive, rate).expect("the pictures are ffmpeg's");
        assert_eq!(
            archive.bytes,
            extract_and_read(&clip, &options).expect("the clip is good").bytes,
            "--every {interval}"
        );
    }
}

/// Under `fps=1` the ffmpeg command begins anew at the change, so it is asked for every picture of
/// the clip, at its own size.
#[test]
fn a_change_of_size_is_followed() {
    const SIZES: [(u32, u32); 2] = [(320, 180), (480, 270)];
    let clip = fixture("changing/size.mkv");
    let raw =
        ["-autoscale", "0", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24"];
    let all = ffmpeg(&clip, &raw).expect("ffmpeg reads the clip");
    let [small, large] = SIZES.map(|(width, height)| (width * height * 3) as usize);
    let (before, after) = all.split_at(90 * small);
    let every_picture: Vec<&[u8]> = before.chunks(small).chain(after.chunks(large)).collect();

    let archive = extract_and_read(&clip, &Options::default()).expect("the clip is good");
    let pictures: Vec<Pixels> =
        archive.frames.iter().map(|(_, png)| Pixels::of(png).expect("a PNG")).collect();
    let sizes: Vec<_> = pictures.iter().map(|picture| (picture.width, picture.height)).collect();
    assert_eq!(sizes, SIZES.map(|size| [size; 3]).concat());
    for (second, picture) in pictures.iter().enumerate() {
        // At 30 pictures a second, the last before the half second is the fifteenth.
        assert!(
            picture.bytes == every_picture[30 * second + 14],
            "the picture of second {second} differs"
        );
    }
}

#[test]
fn sample_aspect_is_written_as_the_png_standard_says() {
    let dimensions = |clip: &str| {
        let archive =
            extract_and_read(&fixture(clip), &Options::default()).expect("the clip is good");
        let reader = png::Decoder::new(std::io::Cursor::new(&archive.frames[0].1))
            .read_info()
            .expect("a PNG");
        reader.info().pixel_dims.map(|dimensions| (dimensions.xppu, dimensions.yppu))
    };
    assert_eq!(dimensions("good/sample_aspect.mp4"), Some((15, 16)));
    assert_eq!(dimensions("good/h264_aac.mp4"), None);
}

#[test]
fn clips_cover_every_accepted_suffix() {
    let names: Vec<String> = clips("good").iter().map(|clip| file_name(clip)).collect();
    let suffixes: BTreeSet<&str> =
        names.iter().filter_map(|name| Some(name.rsplit_once('.')?.1)).collect();
    assert_eq!(suffixes, BTreeSet::from(["avi", "flv", "mkv", "mov", "mp4", "webm", "wmv"]));
}
