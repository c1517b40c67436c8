use std::slice;

use image::{Rgb, Rgba};
use serde_json::json;

use super::*;

/// Frame of this size and name in an archive.
fn entry(width: u32, height: u32, name: &str, length: usize) -> FrameEntry {
    serde_json::from_value(json!({
        "number": 1, "name": name, "instant_s": 0.5, "timestamp": 1, "timestamp_s": 0.5,
        "width": width, "height": height, "key_frame": true, "decode_errors": false, "sha256": "",
        "offset": 0, "length": length,
    }))
    .expect("a valid entry")
}

fn encoded(frame: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    frame.write_to(&mut bytes, format).expect("memory is writable");
    bytes.into_inner()
}

fn png(frame: &DynamicImage) -> Vec<u8> {
    encoded(frame, ImageFormat::Png)
}

fn thumbnail_of(file: &[u8], frame: &FrameEntry, max_width: u32) -> DynamicImage {
    let jpeg = thumbnail(Cursor::new(file), slice::from_ref(frame), max_width)
        .expect("the input is a frame");
    image::load_from_memory_with_format(&jpeg, ImageFormat::Jpeg).expect("the output is a JPEG")
}

fn thumbnail_of_png(frame: &DynamicImage, max_width: u32) -> DynamicImage {
    let file = png(frame);
    thumbnail_of(&file, &entry(frame.width(), frame.height(), "a.png", file.len()), max_width)
}

#[test]
fn scales_down_and_keeps_the_aspect_ratio() {
    for ((width, height), max_width, expected) in [
        ((640, 360), 320, (320, 180)),
        ((641, 361), 320, (320, 180)),
        ((10, 3), 320, (10, 3)),
        ((1000, 1), 16, (16, 1)),
        ((1, 1000), 16, (1, 64)),
        ((361, 640), 160, (160, 283)),
    ] {
        let frame = RgbImage::from_pixel(width, height, Rgb([90; 3])).into();
        let jpeg = thumbnail_of_png(&frame, max_width);
        assert_eq!((jpeg.width(), jpeg.height()), expected, "{width}x{height} at {max_width}");
        assert!(jpeg.into_rgb8().pixels().all(|pixel| pixel.0[0].abs_diff(90) <= 2));
    }
}

#[test]
fn tall_frames_are_scaled_into_a_bounded_height() {
    let tall = thumbnail_of_png(&DynamicImage::new_luma8(64, 27_248), 320);
    assert_eq!((tall.width(), tall.height()), (3, 1_280));
    let wide = thumbnail_of_png(&DynamicImage::new_luma8(27_248, 64), 320);
    assert_eq!((wide.width(), wide.height()), (320, 1));
}

#[test]
fn a_png_is_scaled_as_a_decoded_image() {
    let frame = RgbImage::from_fn(480, 270, |x, y| {
        Rgb([(x / 2) as u8, (y * 255 / 270) as u8, ((x + y) % 256) as u8])
    });
    let whole = DynamicImage::from(frame.clone()).thumbnail_exact(160, 90).into_rgb8();
    let by_row = thumbnail_of_png(&frame.into(), 160).into_rgb8();
    let differences = whole.iter().zip(by_row.iter()).map(|(a, b)| u32::from(a.abs_diff(*b)));
    let mean = f64::from(differences.sum::<u32>()) / whole.len() as f64;
    // The rest is the loss of the JPEG.
    assert!(mean < 4.0, "{mean}");
}

#[test]
fn shows_the_first_frame_that_is_not_blank() {
    let blank = png(&RgbImage::new(64, 36).into());
    let content = png(&RgbImage::from_fn(64, 36, |x, _| Rgb([(x * 4) as u8; 3])).into());
    let archive = [&blank[..], &content[..]].concat();
    let mut second = entry(64, 36, "b.png", content.len());
    second.offset = blank.len() as u64;
    let frames = [entry(64, 36, "a.png", blank.len()), second];
    let brightest = |frames: &[FrameEntry]| {
        let jpeg = thumbnail(Cursor::new(&archive), frames, 64).expect("the frames are valid");
        let shown = image::load_from_memory(&jpeg).expect("the output is a JPEG").into_luma8();
        shown.pixels().map(|pixel| pixel.0[0]).max()
    };
    assert!(brightest(&frames).is_some_and(|level| level > 200));
    assert!(brightest(&frames[..1]).is_some_and(|level| level < 16), "no other is there");
    assert!(thumbnail(Cursor::new(&archive), &[], 64).is_err());
}

#[test]
fn averages_pixels_and_shows_transparency_on_white() {
    let stripes = GrayImage::from_fn(64, 64, |x, _| [(x % 2 * 200) as u8].into());
    let jpeg = thumbnail_of_png(&stripes.into(), 32);
    assert_eq!(jpeg.color(), image::ColorType::L8);
    assert!(jpeg.into_luma8().pixels().all(|pixel| pixel.0[0].abs_diff(100) <= 2));

    let half = RgbaImage::from_pixel(64, 64, Rgba([0, 100, 200, 128])).into();
    let [red, green, blue] = thumbnail_of_png(&half, 32).into_rgb8().get_pixel(9, 9).0;
    assert!(red.abs_diff(127) <= 3 && green.abs_diff(177) <= 3 && blue.abs_diff(227) <= 3);

    let transparent = GrayAlphaImage::from_pixel(64, 64, [0, 0].into()).into();
    assert!(thumbnail_of_png(&transparent, 32).into_luma8().get_pixel(9, 9).0[0] >= 253);
}

#[test]
fn accepts_16_bits_per_channel() {
    let frame = image::ImageBuffer::<Rgb<u16>, _>::from_pixel(64, 64, Rgb([0x8000; 3]));
    let [red, ..] = thumbnail_of_png(&frame.into(), 32).into_rgb8().get_pixel(9, 9).0;
    assert!(red.abs_diff(128) <= 2, "{red}");
}

#[test]
fn accepts_jpegs_and_reads_no_byte_after_them() {
    let frame = RgbImage::from_pixel(64, 48, Rgb([90; 3])).into();
    let mut file = encoded(&frame, ImageFormat::Jpeg);
    let entry = entry(64, 48, "a.jpg", file.len());
    file.extend([7; 100]);
    let mut input = Cursor::new(&file[..]);
    assert!(scaled_down(&mut input, &entry, 32).is_ok());
    assert_eq!(input.position(), entry.length);
    let jpeg = thumbnail_of(&file, &entry, 32);
    assert_eq!((jpeg.width(), jpeg.height()), (32, 24));
}

#[test]
fn rejects_files_that_the_manifest_does_not_describe() {
    let frame = DynamicImage::from(RgbImage::from_pixel(64, 64, Rgb([7; 3])));
    let whole = png(&frame);
    let jpeg = encoded(&frame, ImageFormat::Jpeg);
    let gif = b"GIF89a".to_vec();
    for (file, width, height, name) in [
        (&whole[..whole.len() / 2], 64, 64, "a.png"),
        (b"no frame", 64, 64, "a.png"),
        (b"", 64, 64, "a.png"),
        (&gif, 64, 64, "a.gif"),
        (&whole, 64, 63, "a.png"),
        (&whole, 64, 64, "a.jpg"),
        (&jpeg, 64, 64, "a.png"),
        (&jpeg, 64, 63, "a.jpg"),
        (&jpeg[..jpeg.len() / 4], 64, 64, "a.jpg"),
    ] {
        let entry = entry(width, height, name, file.len());
        assert!(scaled_down(Cursor::new(file), &entry, 32).is_err(), "{width}x{height} {name}");
    }
}

#[test]
fn the_memory_of_a_png_does_not_depend_on_its_size() {
    let large = entry(8000, 5000, "a.png", 100_000_000);
    assert!(memory(&large, 640) < 8 << 20);
    assert_eq!(memory(&entry(8000, 5000, "a.jpg", 0), 16), 3 * 40_000_000 + 16 * 10 * 7);
    for name in ["a.png", "a.jpg"] {
        assert!(memory(&entry(u32::MAX, 0, name, usize::MAX), 640) > 1 << 30, "{name}");
    }
}

#[test]
fn rejects_sizes_beyond_the_limits_before_memory_is_allocated() {
    const MEGAPIXELS: u64 = 40_000_000;
    /// Maximum of the format (PNG, 4.1.1).
    const MAX: u32 = (1 << 31) - 1;
    let check = |width, height| check_size(&entry(width, height, "a.png", 1), MEGAPIXELS).is_ok();
    assert!(check(1, 1) && check(8000, 5000) && check(1, 65_535) && check(65_535, 610));
    for (width, height) in [(0, 1), (1, 0), (8000, 5001), (1, 65_536), (u32::MAX, u32::MAX)] {
        assert!(!check(width, height), "{width}x{height}");
    }
    // The header of a file states a size that its manifest does not.
    for (width, height) in [(1, MAX), (MAX, 1), (MAX, MAX)] {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(ColorType::Rgba);
        encoder.set_depth(png::BitDepth::Sixteen);
        encoder.write_header().expect("memory is writable");
        let error = scaled_down(Cursor::new(&file), &entry(64, 64, "a.png", file.len()), 32);
        assert_eq!(error.err().map(|error| error.to_string()).as_deref(), Some(OTHER_SIZE));
    }
    let jpeg = encoded(&DynamicImage::new_luma8(2000, 1000), ImageFormat::Jpeg);
    let webp = encoded(&DynamicImage::new_rgb8(2000, 1000), ImageFormat::WebP);
    for (file, name) in [(&jpeg, "a.jpg"), (&webp, "a.webp")] {
        let entry = entry(64, 64, name, file.len());
        assert!(scaled_down(Cursor::new(file), &entry, 32).is_err(), "{name}");
    }
}
