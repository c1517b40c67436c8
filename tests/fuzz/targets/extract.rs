//! The engine: for any video bytes it returns a valid archive or an error, within its time and size
//! limits.

#![no_main]

use std::io::{Cursor, Read};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use frames::{Limits, Options, Stop};
use jobs::manifest::{MANIFEST_NAME, Manifest};
use libfuzzer_sys::fuzz_target;
use zip::ZipArchive;

/// Time after which an extraction counts as hanging. Its deadline is half of it.
const MAX_TIME: Duration = Duration::from_secs(20);

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
    let options = Options { limits, stop, threads: NonZeroUsize::MIN, ..Options::default() };
    let mut archive = Vec::new();
    let result = frames::extract(Cursor::new(video.to_vec()), &mut archive, &options, |_| {});
    assert!(started.elapsed() < MAX_TIME, "the extraction ignores its deadline");
    if let Ok(report) = result {
        assert_eq!(report.zip_bytes, archive.len() as u64);
        let mut entries = ZipArchive::new(Cursor::new(&archive)).expect("a valid archive");
        assert_eq!(entries.len() as u64, report.frames + 1);
        for index in 0..entries.len() {
            let mut entry = entries.by_index(index).expect("an entry");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("a valid CRC");
            if entry.name().expect("a name in UTF-8") == MANIFEST_NAME {
                let manifest: Manifest = serde_json::from_slice(&bytes).expect("a valid manifest");
                assert_eq!(manifest.frames.len() as u64, report.frames);
                assert_eq!(manifest.complete, report.complete);
            }
        }
    }
});
