//! The engine: whatever the bytes of a video are, there is a sound archive or an error, soon and
//! within bounds.

#![no_main]

use std::io::{Cursor, Read};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use frames::{Limits, Options, Stop};
use libfuzzer_sys::fuzz_target;
use zip::ZipArchive;

/// Longest that a small video may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(20);

fuzz_target!(|video: &[u8]| {
    let limits = Limits {
        max_streams: 8,
        max_side: 2048,
        max_pixels: 500_000,
        max_frames: 30,
        max_archive_bytes: 16 << 20,
        max_allocation: 64 << 20,
    };
    let begun = Instant::now();
    let stop = Stop::at(begun + PATIENCE / 2);
    let options = Options { limits, stop, threads: NonZeroUsize::MIN, ..Options::default() };
    let mut archive = Vec::new();
    let told = frames::extract(Cursor::new(video.to_vec()), &mut archive, &options, |_| {});
    assert!(begun.elapsed() < PATIENCE, "it does not stop when it should");
    if let Ok(report) = told {
        assert_eq!(report.zip_bytes, archive.len() as u64);
        let mut entries = ZipArchive::new(Cursor::new(&archive)).expect("another reader opens the archive");
        assert_eq!(entries.len() as u64, report.frames + 1);
        for index in 0..entries.len() {
            let mut entry = entries.by_index(index).expect("the entry is there");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("its CRC is right");
            if entry.name().expect("it is text") == "manifest.json" {
                let manifest: serde_json::Value = serde_json::from_slice(&bytes).expect("the manifest is JSON");
                assert_eq!(manifest["frames"].as_array().map(Vec::len), Some(report.frames as usize));
                assert_eq!(manifest["complete"], report.complete);
            }
        }
    }
});
