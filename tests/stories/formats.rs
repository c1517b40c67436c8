//! Formats and sizes of frames: scaled frames equal those of the ffmpeg command, pixel for pixel,
//! and it reads lossy ones as nearly the same pixels.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use frames::Options;
use jobs::FailureCode;
use serde_json::{Value, json};

use crate::harness::archive::Pixels;
use crate::harness::checks::{check_all, expect_equal};
use crate::harness::clips::{SHORT, file_name, fixture, scratch};
use crate::harness::extraction::{extract, extract_and_read, image};
use crate::harness::ffmpeg::{ffmpeg, ffprobe, filtered_frames};
use crate::harness::programs::{output, tool};

/// Clips whose frames differ in pixel format, color space, range, size or shape.
const CLIPS: [&str; 18] = [
    "alpha.mov",
    "alpha16.mov",
    "black_and_white.mov",
    "bt709.mp4",
    "full_range.mp4",
    "gray.mp4",
    "gray16.mkv",
    "h264_422.mkv",
    "h264_aac.mp4",
    "h264_mbaff.mkv",
    "hevc_hdr10.mkv",
    "mjpeg_orientation.avi",
    "odd_size_420.mkv",
    "palette.mov",
    "rgb48.mkv",
    "rotate_90.mp4",
    "rotate_422.mp4",
    "sample_aspect.mp4",
];

fn clips() -> Vec<PathBuf> {
    CLIPS.iter().map(|clip| fixture(&format!("good/{clip}"))).collect()
}

/// Compare scaled PNGs with those of the ffmpeg command.
fn compare_scaled(clip: &Path, form: &Value) -> Result<(), String> {
    let archive = extract_and_read(clip, &image(form))?;
    let frames = archive.pixels()?;
    let Pixels { width, height, layout, .. } = frames.first().ok_or("no frame")?;
    for entry in archive.frame_entries() {
        expect_equal("stated width", &entry["width"], &json!(width))?;
        expect_equal("stated height", &entry["height"], &json!(height))?;
    }
    let filters = format!("fps=1,scale={width}:{height}");
    archive.expect_pixels(&filtered_frames(clip, &filters, layout)?)?;
    // ffmpeg scales palettes and single bits to the same coarse formats.
    if *layout == "gray" || file_name(clip).contains("palette") {
        return Ok(());
    }
    let png = ["-frames:v", "1", "-f", "image2pipe", "-c:v", "png"];
    let png = ffmpeg(clip, &[["-vf", filters.as_str()].as_slice(), &png].concat())?;
    let ours = &archive.frames[0].1;
    expect_equal("bit depth and color type", &ours[24..26], &png[24..26])?;
    // ffmpeg writes and reads width and height of a sample there, but they are pixels per unit
    // (PNG, 11.3.4.3). It writes no ratio that would leave less than one pixel.
    let theirs = density(&png)?.map(|(width, height)| (height, width));
    let expected = theirs.filter(|_| form["square_pixels"] != true);
    if theirs.is_some_and(|(_, width)| width == 0) {
        return Ok(());
    }
    expect_equal("pixel dimensions", density(ours)?, expected)
}

/// Physical pixel dimensions of a PNG, unless they are equal.
fn density(png: &[u8]) -> Result<Option<(u32, u32)>, String> {
    let reader = png::Decoder::new(std::io::Cursor::new(png)).read_info();
    let reader = reader.map_err(|error| error.to_string())?;
    let dimensions = reader.info().pixel_dims.map(|dimensions| (dimensions.xppu, dimensions.yppu));
    Ok(dimensions.filter(|(x, y)| x != y))
}

#[test]
fn scaled_frames_equal_those_of_ffmpeg() {
    check_all(&clips(), |clip| {
        for form in [
            json!({ "max_width": 160 }),
            json!({ "max_height": 99 }),
            json!({ "max_width": 101, "max_height": 101, "square_pixels": true }),
            json!({ "max_width": 17, "max_height": 300 }),
        ] {
            compare_scaled(clip, &form).map_err(|error| format!("{form}: {error}"))?;
        }
        Ok(())
    });
}

/// Frames of one pixel, and a change of the width alone.
#[test]
fn extreme_sizes_equal_those_of_ffmpeg() {
    for (clip, form) in [
        ("h264_aac.mp4", json!({ "max_width": 1 })),
        ("wide.mkv", json!({ "max_width": 300 })),
        ("wide.mkv", json!({ "max_height": 1 })),
        ("sample_aspect.mp4", json!({ "square_pixels": true })),
    ] {
        let compared = compare_scaled(&fixture(&format!("good/{clip}")), &form);
        assert_eq!(compared, Ok(()), "{clip} {form}");
    }
}

/// The ffmpeg command converts some pixel formats before it rotates them.
#[test]
fn rotated_frames_of_all_formats_equal_those_of_ffmpeg() {
    let directory = scratch();
    let clips = ["alpha.mov", "black_and_white.mov", "palette.mov", "prores.mov", "dnxhd.mov"];
    let rotated = clips.iter().flat_map(|clip| ["90", "180"].map(|angle| (*clip, angle)));
    check_all(&rotated.collect::<Vec<_>>(), |(clip, angle)| {
        let target = directory.path().join(format!("{angle}_{clip}"));
        let mut copy = tool("ffmpeg");
        copy.args(["-v", "error", "-i"]).arg(fixture(&format!("good/{clip}")));
        copy.args(["-c", "copy", "-metadata:s:v", &format!("rotate={angle}")]);
        output(copy.arg(&target))?;
        let scaled = compare_scaled(&target, &json!({ "max_height": 100 }));
        scaled.map_err(|error| format!("scaled: {error}"))?;
        let archive = extract_and_read(&target, &Options::default())?;
        let layout = archive.pixels()?.first().ok_or("no frame")?.layout;
        archive.expect_pixels(&filtered_frames(&target, "fps=1", layout)?)
    });
}

/// Pixels of a file as ffmpeg reads them, in 8 bits, and its properties.
fn read_lossy(file: &[u8], name: &str, layout: &str) -> Result<(Vec<u8>, Value), String> {
    let directory = scratch();
    let path = directory.path().join(name);
    std::fs::write(&path, file).map_err(|error| error.to_string())?;
    let streams = ffprobe(&path, &["-show_streams"])?;
    let pixels = ffmpeg(&path, &["-f", "rawvideo", "-pix_fmt", layout])?;
    Ok((pixels, streams["streams"][0].clone()))
}

/// Means of each component over squares of eight pixels. They show wrong colors, sizes and
/// positions, but not the resolution of chroma.
fn means(pixels: &[u8], width: usize, components: usize) -> Vec<f64> {
    const SIDE: usize = 8;
    let rows: Vec<&[u8]> = pixels.chunks_exact(width * components).collect();
    let mut means = Vec::new();
    for rows in rows.chunks_exact(SIDE) {
        for start in (0..=width.saturating_sub(SIDE)).step_by(SIDE) {
            for component in 0..components {
                let samples = rows.iter().flat_map(|row| {
                    row[start * components..][..SIDE * components]
                        .iter()
                        .skip(component)
                        .step_by(components)
                });
                means.push(samples.map(|sample| f64::from(*sample)).sum::<f64>() / 64.0);
            }
        }
    }
    means
}

/// Peak signal-to-noise ratio of numbers up to 255, in decibels.
fn psnr(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let error = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64;
    10.0 * (255.0 * 255.0 / error.max(1e-9)).log10()
}

#[test]
fn lossy_frames_are_close_to_the_lossless_ones() {
    check_all(&clips(), |clip| {
        let limits = json!({ "max_width": 250 });
        let png = extract_and_read(clip, &image(&limits))?;
        for (format, suffix, quality, min) in
            [("jpeg", ".jpg", 60, 30.0), ("jpeg", ".jpg", 95, 44.0), ("webp", ".webp", 95, 31.0)]
        {
            let form = json!({ "format": format, "quality": quality, "max_width": 250 });
            let archive = extract_and_read(clip, &image(&form))?;
            expect_equal("number of frames", archive.frames.len(), png.frames.len())?;
            expect_equal("recipe", &archive.manifest["recipe"]["image"], &form)?;
            let last = archive.frames.len() - 1;
            let ((name, file), (_, png)) = (&archive.frames[last], &png.frames[last]);
            expect_equal("suffix", name.ends_with(suffix), true)?;
            let layout = match format {
                "webp" if clip.ends_with("alpha.mov") => "rgba",
                _ => "rgb24",
            };
            let (pixels, stream) = read_lossy(file, name, layout)?;
            let entry = &archive.frame_entries()[last];
            expect_equal("width", &stream["width"], &entry["width"])?;
            expect_equal("height", &stream["height"], &entry["height"])?;
            let expected = read_lossy(png, "lossless.png", "rgba")?.0;
            let expected = shown(&expected, layout);
            expect_equal("number of bytes", pixels.len(), expected.len())?;
            let width = entry["width"].as_u64().unwrap_or(1) as usize;
            let [ours, theirs] = [&pixels, &expected]
                .map(|pixels| means(pixels, width, if layout == "rgba" { 4 } else { 3 }));
            let ratio = psnr(&ours, &theirs);
            expect_equal("PSNR suffices", ratio >= min, true)
                .map_err(|error| format!("{format} {quality}: {error}: {ratio}"))?;
        }
        Ok(())
    });
}

/// RGBA pixels as a format shows them: JPEG on white, WebP without the colors of what is invisible.
fn shown(rgba: &[u8], layout: &str) -> Vec<u8> {
    let pixels = rgba.chunks_exact(4);
    if layout == "rgba" {
        return rgba.to_vec();
    }
    let on_white = |color: u8, alpha: u8| {
        let (color, alpha) = (f64::from(color), f64::from(alpha) / 255.0);
        (color * alpha + 255.0 * (1.0 - alpha)).round() as u8
    };
    pixels.flat_map(|pixel| [0, 1, 2].map(|n| on_white(pixel[n], pixel[3]))).collect()
}

#[test]
fn webp_files_equal_those_of_ffmpeg() {
    let directory = scratch();
    // Frames that libwebp reads without a conversion, with rows from bottom to top.
    let bottom_up =
        made(&directory.path().join("bottom_up.avi"), &["-frames:v", "30", "-pix_fmt", "bgra"]);
    check_all(&[clips(), vec![bottom_up]].concat(), |clip| {
        let max_width = if clip.ends_with("bottom_up.avi") { 2000 } else { 150 };
        let form = json!({ "format": "webp", "quality": 42, "max_width": max_width });
        let archive = extract_and_read(clip, &image(&form))?;
        let entry = &archive.frame_entries()[0];
        let filters = format!("fps=1,scale={}:{}", entry["width"], entry["height"]);
        let encoder = ["-pix_fmt", "bgra", "-c:v", "libwebp", "-f", "image2pipe"];
        let options = ["-frames:v", "1", "-quality", "42", "-compression_level", "2"];
        let arguments = [["-vf", filters.as_str()].as_slice(), &encoder, &options].concat();
        expect_equal("equal files", archive.frames[0].1 == ffmpeg(clip, &arguments)?, true)
    });
}

/// Its tables at quality 50 are those of the standard (ITU-T T.81, tables K.1 and K.2).
#[test]
fn jpeg_files_equal_those_of_ffmpeg() {
    const LUMA: &str = "16,11,10,16,24,40,51,61,12,12,14,19,26,58,60,55,14,13,16,24,40,57,69,56,\
        14,17,22,29,51,87,80,62,18,22,37,56,68,109,103,77,24,35,55,64,81,104,113,92,\
        49,64,78,87,103,121,120,101,72,92,95,98,112,100,103,99";
    const CHROMA: &str = "17,18,24,47,99,99,99,99,18,21,26,66,99,99,99,99,\
        24,26,56,99,99,99,99,99,47,66,99,99,99,99,99,99,99,99,99,99,99,99,99,99,\
        99,99,99,99,99,99,99,99,99,99,99,99,99,99,99,99,99,99,99,99,99,99,99,99";
    let mut clips = clips();
    // ffmpeg does not show transparent frames on white.
    clips.retain(|clip| !file_name(clip).starts_with("alpha"));
    check_all(&clips, |clip| {
        let form =
            json!({ "format": "jpeg", "quality": 50, "max_width": 150, "square_pixels": true });
        let archive = extract_and_read(clip, &image(&form))?;
        let (width, height) =
            (&archive.frame_entries()[0]["width"], &archive.frame_entries()[0]["height"]);
        let is_gray = clip.ends_with("gray16.mkv") || clip.ends_with("black_and_white.mov");
        let format = if is_gray { "gray" } else { "rgb24" };
        let filters = format!("fps=1,scale={width}:{height},format={format},setsar=1");
        let encoder = ["-pix_fmt", "yuvj420p", "-c:v", "mjpeg", "-q:v", "8", "-flags", "+bitexact"];
        let tables = ["-intra_matrix", LUMA, "-chroma_intra_matrix", CHROMA];
        let output = ["-frames:v", "1", "-f", "image2pipe"];
        let arguments = [["-vf", filters.as_str()].as_slice(), &encoder, &tables, &output].concat();
        expect_equal("equal files", archive.frames[0].1 == ffmpeg(clip, &arguments)?, true)
    });
}

#[test]
fn archives_of_all_formats_do_not_depend_on_the_number_of_threads() {
    let clips = ["alpha.mov", "h264_aac.mp4", "hevc_hdr10.mkv", "rotate_422.mp4"];
    check_all(&clips, |clip| {
        for form in [
            json!({ "max_width": 199 }),
            json!({ "format": "jpeg" }),
            json!({ "format": "jpeg", "quality": 93, "max_width": 200 }),
            json!({ "format": "webp", "max_height": 100 }),
        ] {
            let archive = |threads| {
                let threads = NonZeroUsize::new(threads).ok_or("at least one thread")?;
                let options = Options { threads, ..image(&form) };
                extract(&fixture(&format!("good/{clip}")), &options)
                    .map_err(|error| error.to_string())
            };
            let one = archive(1)?;
            for threads in [2, 5] {
                expect_equal("equal archives", archive(threads)? == one, true)
                    .map_err(|error| format!("{form}, {threads} threads: {error}"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn the_aspect_ratio_is_stated_in_jpeg_files() {
    let clip = fixture("good/sample_aspect.mp4");
    for (form, expected) in [
        (json!({ "format": "jpeg" }), "16:15"),
        (json!({ "format": "jpeg", "square_pixels": true }), "1:1"),
        (json!({ "format": "jpeg", "max_width": 180, "max_height": 17 }), "2176:2025"),
    ] {
        let archive = extract_and_read(&clip, &image(&form)).expect("the clip is valid");
        let (name, file) = &archive.frames[0];
        let (_, stream) = read_lossy(file, name, "rgb24").expect("ffmpeg reads the frame");
        assert_eq!(stream["sample_aspect_ratio"], expected, "{form}");
    }
}

/// A clip of two frames without compression, or with the codec of `arguments`.
fn made(target: &Path, arguments: &[&str]) -> PathBuf {
    let mut command = tool("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(fixture(SHORT));
    command.args(["-an", "-frames:v", "2", "-c:v", "rawvideo"]).args(arguments).arg(target);
    output(&mut command).expect("ffmpeg makes the clip");
    target.to_owned()
}

/// Their JPEG files have the Huffman codes of the standard, which need less memory.
#[test]
fn large_frames_become_files_of_all_formats() {
    let directory = scratch();
    let target = directory.path().join("large.mkv");
    let clip = made(&target, &["-vf", "scale=6000:5000", "-frames:v", "1", "-c:v", "ffv1"]);
    for (form, suffix) in
        [(json!({ "format": "jpeg", "quality": 90 }), "jpg"), (json!({ "format": "webp" }), "webp")]
    {
        let archive = extract_and_read(&clip, &image(&form)).expect("the clip is valid");
        let (_, file) = &archive.frames[0];
        let name = format!("large.{suffix}");
        let (pixels, _) = read_lossy(file, &name, "rgb24").expect("ffmpeg reads the frame");
        let theirs = filtered_frames(&clip, "null", "rgb24").expect("ffmpeg reads the clip");
        let [ours, theirs] = [pixels, theirs].map(|pixels| means(&pixels, 6000, 3));
        assert!(psnr(&ours, &theirs) > 40.0, "{form}");
    }
}

/// The limits apply to the frames in the archive, too, and each format has its own.
#[test]
fn frames_that_are_too_large_for_their_file_are_rejected() {
    let wide = fixture("good/wide.mkv");
    let webp = extract(&wide, &image(&json!({ "format": "webp" })));
    let webp = webp.map(|_| ()).expect_err("the frames are too wide");
    assert_eq!(webp.code(), FailureCode::PictureTooLarge);
    assert_eq!(
        webp.to_string(),
        "the frames are too large for the format webp: 27248x64 pixels, the limit is 16383 pixels \
         per side; choose another format, or a maximum width and height"
    );
    for form in [
        json!({ "format": "webp", "max_width": 16_383 }),
        json!({ "format": "jpeg" }),
        json!({ "format": "jpeg", "max_width": 1 }),
        json!({ "format": "webp", "max_height": 1 }),
    ] {
        extract(&wide, &image(&form)).unwrap_or_else(|error| panic!("{form}: {error}"));
    }

    let directory = scratch();
    let target = directory.path().join("long_pixels.mkv");
    let long_pixels = made(&target, &["-vf", "setsar=1000/1:max=1000", "-c:v", "ffv1"]);
    let squares = image(&json!({ "square_pixels": true }));
    let error = extract(&long_pixels, &squares).map(|_| ()).expect_err("they are too wide");
    assert_eq!(error.code(), FailureCode::PictureTooLarge, "{error}");
    let limited = image(&json!({ "square_pixels": true, "max_width": 2000 }));
    let archive = extract_and_read(&long_pixels, &limited).expect("the frames fit");
    assert_eq!(archive.frame_entries()[0]["width"], 2000);
}

/// The estimate is made of frames in the requested form.
#[test]
fn a_forecast_considers_the_form_of_the_frames() {
    let clip = fixture(SHORT);
    let forecast = |form: &Value| {
        let source = std::fs::File::open(&clip).expect("the clip can be opened");
        frames::probe(source, &image(form)).expect("the clip is valid").zip_bytes
    };
    let archive_size =
        |form: &Value| extract(&clip, &image(form)).expect("the clip is valid").len() as f64;
    for form in [json!({ "format": "jpeg" }), json!({ "format": "webp", "max_width": 100 })] {
        let forecast = forecast(&form).expect("the duration is known") as f64;
        let actual = archive_size(&form);
        assert!((0.3..1.5).contains(&(forecast / actual)), "{form}: {forecast}, {actual}");
    }
}
