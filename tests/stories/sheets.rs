//! Contact sheets and their list for video players.

use frames::Options;
use serde_json::{Value, json};

use crate::harness::archive::Archive;
use crate::harness::clips::{fixture, scratch};
use crate::harness::extraction::extract_and_read;
use crate::harness::ffmpeg::{ffmpeg, filtered_frames};

fn select(clip: &str, recipe: &Value) -> Archive {
    let recipe = serde_json::from_value(recipe.clone()).expect("a valid recipe");
    let options = Options { recipe, ..Options::default() };
    extract_and_read(&fixture(clip), &options).expect("a valid clip")
}

fn entry<'a>(archive: &'a Archive, name: &str) -> &'a [u8] {
    let found = archive.frames.iter().find(|(other, _)| other == name);
    &found.unwrap_or_else(|| panic!("the archive lacks {name}")).1
}

/// Pixels of a JPEG file in RGB, as the ffmpeg command reads it.
fn pixels(file: &[u8]) -> Vec<u8> {
    let directory = scratch();
    let path = directory.path().join("sheet.jpg");
    std::fs::write(&path, file).expect("the directory is writable");
    ffmpeg(&path, &["-f", "rawvideo", "-pix_fmt", "rgb24"]).expect("a valid JPEG file")
}

#[test]
fn sheets_show_all_frames_in_rows() {
    const COLUMNS: usize = 3;
    const TILE: (usize, usize) = (64, 36);
    let recipe = json!({ "sheet": { "columns": COLUMNS, "tile_width": TILE.0 } });
    let archive = select("scenes/cuts.mp4", &recipe);
    assert_eq!(archive.frame_entries().len(), 10);
    let sheets = &archive.manifest["sheets"];
    let sheet = entry(&archive, "sheet_00001.jpg");
    let (width, height) = (COLUMNS * TILE.0, 4 * TILE.1);
    assert_eq!(sheets.as_array().map(Vec::len), Some(1));
    assert_eq!(sheets[0]["name"], "sheet_00001.jpg");
    assert_eq!((&sheets[0]["width"], &sheets[0]["height"]), (&json!(width), &json!(height)));
    assert_eq!(sheets[0]["tiles"], 10);
    let number = |key: &str| sheets[0][key].as_u64().expect("a number") as usize;
    assert_eq!(&archive.bytes[number("offset")..][..number("length")], sheet);
    let shown = pixels(sheet);
    assert_eq!(shown.len(), 3 * width * height);
    // Each tile is the frame, scaled as the ffmpeg command does; JPEG changes it little.
    let filters = format!("fps=1,scale={}:{}", TILE.0, TILE.1);
    let frames = filtered_frames(&fixture("scenes/cuts.mp4"), &filters, "rgb24");
    let frames = frames.expect("the clip is valid");
    let bytes = 3 * TILE.0 * TILE.1;
    for (index, frame) in frames.chunks_exact(bytes).enumerate() {
        let (left, top) = (index % COLUMNS * TILE.0, index / COLUMNS * TILE.1);
        let mut difference = 0_u64;
        for (y, row) in frame.chunks_exact(3 * TILE.0).enumerate() {
            let start = 3 * ((top + y) * width + left);
            let row = shown[start..].iter().zip(row);
            difference += row.map(|(one, other)| u64::from(one.abs_diff(*other))).sum::<u64>();
        }
        let mean = difference as f64 / bytes as f64;
        assert!(mean < 16.0, "tile {index} differs by {mean}");
    }
}

#[test]
fn players_find_the_tile_of_each_time() {
    let recipe = json!({
        "select": { "scenes": {} }, "sheet": { "columns": 2, "tile_width": 64 }
    });
    let archive = select("scenes/cuts.mp4", &recipe);
    assert_eq!(archive.manifest["webvtt"], "sheets.vtt");
    let list = String::from_utf8(entry(&archive, "sheets.vtt").to_vec()).expect("UTF-8");
    let expected = "WEBVTT

00:00:00.000 --> 00:00:01.000
sheet_00001.jpg#xywh=0,0,64,36

00:00:01.000 --> 00:00:03.000
sheet_00001.jpg#xywh=64,0,64,36

00:00:03.000 --> 00:00:05.000
sheet_00001.jpg#xywh=0,36,64,36

00:00:05.000 --> 00:00:06.000
sheet_00001.jpg#xywh=64,36,64,36

00:00:06.000 --> 00:00:08.000
sheet_00001.jpg#xywh=0,72,64,36

00:00:08.000 --> 00:00:09.000
sheet_00001.jpg#xywh=64,72,64,36

00:00:09.000 --> 00:00:10.000
sheet_00001.jpg#xywh=0,108,64,36
";
    assert_eq!(list, expected);
}

#[test]
fn many_frames_fill_several_sheets() {
    let recipe = json!({ "select": { "every": "1/25" }, "sheet": {} });
    let archive = select("scenes/cuts.mp4", &recipe);
    let sheets = archive.manifest["sheets"].as_array().expect("a list");
    let tiles: Vec<_> = sheets.iter().map(|sheet| &sheet["tiles"]).collect();
    assert_eq!(tiles, [&json!(100), &json!(100), &json!(50)]);
    // The video is no larger than a tile may be.
    let size = |sheet: &Value| (sheet["width"].clone(), sheet["height"].clone());
    assert_eq!(size(&sheets[0]), (json!(5 * 320), json!(20 * 180)));
    assert_eq!(size(&sheets[2]), (json!(5 * 320), json!(10 * 180)));
    let list = String::from_utf8(entry(&archive, "sheets.vtt").to_vec()).expect("UTF-8");
    assert_eq!(list.matches(" --> ").count(), 250);
    assert!(list.ends_with("sheet_00003.jpg#xywh=1280,1620,320,180\n"), "{list}");
}

/// Frames of other sizes and shapes are scaled into the place that the first one defines.
#[test]
fn tiles_keep_their_shape() {
    let recipe = json!({ "sheet": { "columns": 4, "tile_width": 160 } });
    for (clip, size) in [
        ("good/sample_aspect.mp4", None),
        ("good/rotate_90.mp4", Some(160)),
        ("changing/size.mkv", None),
    ] {
        let archive = select(clip, &recipe);
        let sheet = &archive.manifest["sheets"][0];
        let columns = sheet["tiles"].as_u64().expect("a number").min(4);
        let tile = sheet["width"].as_u64().expect("a number") / columns;
        if let Some(width) = size {
            assert_eq!(tile, width, "{clip}");
        }
        let shown = pixels(entry(&archive, "sheet_00001.jpg"));
        let area =
            sheet["width"].as_u64().expect("a number") * sheet["height"].as_u64().expect("it");
        assert_eq!(shown.len() as u64, 3 * area, "{clip}");
    }
}
