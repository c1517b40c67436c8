//! The engine: for any video bytes and any recipe it returns a valid archive or an error, within
//! its time and size limits. The last bytes of the video choose the recipe.

#![no_main]

use std::io::{Cursor, Read};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use frames::{Limits, Options, Stop};
use jobs::Recipe;
use jobs::manifest::{MANIFEST_NAME, Manifest};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use zip::ZipArchive;

/// Time after which an extraction counts as hanging. Its deadline is half of it.
const MAX_TIME: Duration = Duration::from_secs(20);

/// Recipe that some bytes choose.
fn recipe(choices: [u8; 8]) -> Recipe {
    let [selection, number, from, length, skip, max, format, size] = choices;
    let tenths = |number: u16| format!("{}.{}", number / 10, number % 10);
    let [number, from, length, max] = [number, from, length, max].map(u16::from);
    let mut recipe = match selection % 7 {
        0 => json!({}),
        1 => json!({ "select": { "every": format!("{}/100", number + 1) } }),
        2 => json!({ "select": { "at": [tenths(number), tenths(from), tenths(length)] } }),
        3 => json!({ "select": { "count": number % 40 + 1 } }),
        4 => json!({ "select": { "keyframes": {} } }),
        5 => json!({ "select": {
            "scenes": { "threshold": f64::from(number % 10) / 100.0, "min_seconds": tenths(max) }
        } }),
        _ => json!({ "select": { "sharpest": { "every": tenths(number + 1) } } }),
    };
    let optional = |member: Value, is_set: bool| is_set.then_some(member);
    let members = [
        ("from", optional(json!(tenths(from)), from % 3 == 1)),
        ("to", optional(json!(tenths(from + length + 1)), length % 3 == 1)),
        ("skip", optional(json!({ "blank": skip & 1 > 0, "repeated": skip & 2 > 0 }), skip < 200)),
        ("max_frames", optional(json!(max % 8 + 1), max % 4 == 1)),
        (
            "sheet",
            optional(json!({ "columns": size % 20 + 1, "tile_width": 16 + max }), size > 200),
        ),
        (
            "image",
            match format % 5 {
                0 => Some(json!({ "format": "jpeg", "quality": size % 100 + 1 })),
                1 => Some(json!({ "format": "webp", "max_height": u16::from(size) + 1 })),
                2 => Some(json!({ "max_width": u16::from(size) + 1, "square_pixels": skip > 100 })),
                _ => None,
            },
        ),
    ];
    for (name, member) in members {
        if let Some(member) = member {
            recipe[name] = member;
        }
    }
    recipe.try_into().expect("a valid recipe")
}

fuzz_target!(|video: &[u8]| {
    let limits = Limits {
        max_streams: 8,
        max_side: 2048,
        max_pixels: 500_000,
        max_frames: 30,
        max_archive_bytes: 16 << 20,
        max_allocation: 64 << 20,
    };
    let started = Instant::now();
    let stop = Stop::at(started + MAX_TIME / 2);
    let recipe = recipe(video.last_chunk().copied().unwrap_or_default());
    let threads = NonZeroUsize::MIN;
    let options = Options { recipe, limits, stop, threads, ..Options::default() };
    let mut archive = Vec::new();
    let result = frames::extract(Cursor::new(video.to_vec()), &mut archive, &options, |_| {});
    assert!(started.elapsed() < MAX_TIME, "the extraction ignores its deadline");
    if let Ok(report) = result {
        assert_eq!(report.zip_bytes, archive.len() as u64);
        let mut entries = ZipArchive::new(Cursor::new(&archive)).expect("a valid archive");
        let mut names = Vec::new();
        for index in 0..entries.len() {
            let mut entry = entries.by_index(index).expect("an entry");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("a valid CRC");
            if entry.name().expect("a name in UTF-8") == MANIFEST_NAME {
                let manifest: Manifest = serde_json::from_slice(&bytes).expect("a valid manifest");
                assert_eq!(manifest.frames.len() as u64, report.frames);
                assert_eq!(manifest.complete, report.complete);
                assert_eq!(manifest.skipped.len() as u64, report.skipped);
                let listed = manifest.frames.into_iter().map(|frame| frame.name);
                names.extend(listed.chain(manifest.sheets.into_iter().map(|sheet| sheet.name)));
                names.extend(manifest.webvtt);
                names.push(MANIFEST_NAME.to_owned());
            }
        }
        let mut entries: Vec<String> =
            entries.file_names().map(|name| name.expect("a name in UTF-8").into_owned()).collect();
        entries.sort_unstable();
        names.sort_unstable();
        assert_eq!(entries, names);
    }
});
