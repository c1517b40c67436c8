use std::io::Cursor;

use serde_json::{Value, json};

use super::*;

/// End of an archive whose directory starts at `directory`: the manifest's directory record and the
/// end record.
fn tail(length: u32, directory: u64, record_extra: &[u8], zip64: bool) -> Vec<u8> {
    let mut tail = b"PK\x01\x02".to_vec();
    tail.extend([0; 20]);
    tail.extend(length.to_le_bytes());
    tail.extend((MANIFEST_NAME.len() as u16).to_le_bytes());
    tail.extend((record_extra.len() as u16).to_le_bytes());
    tail.extend([0; 14]);
    tail.extend(MANIFEST_NAME.bytes());
    tail.extend(record_extra);
    if zip64 {
        tail.extend(b"PK\x06\x06");
        tail.extend([0; 44]);
        tail.extend(directory.to_le_bytes());
        tail.extend(b"PK\x06\x07");
        tail.extend([0; 16]);
    }
    tail.extend(b"PK\x05\x06");
    tail.extend([0; 12]);
    tail.extend(u32::try_from(directory).unwrap_or(u32::MAX).to_le_bytes());
    tail.extend([0; 2]);
    tail
}

#[test]
fn finds_the_manifest_in_zip_and_zip64_archives() {
    assert_eq!(manifest_range(&tail(300, 1000, &[], false), 2000), Some(700..1000));
    // Beyond 4 GiB, the record has a ZIP64 offset and the archive a ZIP64 end record (APPNOTE.TXT
    // 6.3.10, 4.5.3 and 4.3.14).
    let directory = 5_u64 << 30;
    let bytes = tail(300, directory, &[7; 12], true);
    let range = directory - 300..directory;
    assert_eq!(manifest_range(&bytes, directory + 1000), Some(range));
    assert!(bytes.len() as u64 <= TAIL_BYTES);
    let with_prefix: Vec<u8> = [vec![1; 100], tail(300, 1000, &[], false)].concat();
    assert_eq!(manifest_range(&with_prefix, 2000), Some(700..1000));
}

#[test]
fn rejects_archives_that_do_not_end_with_a_manifest() {
    let valid = tail(300, 1000, &[], false);
    let renamed: Vec<u8> =
        String::from_utf8_lossy(&valid).replace("manifest.json", "manifest.jso0").into_bytes();
    for (bytes, size) in [
        (&valid[1..], 2000),
        (&valid[..valid.len() - 1], 2000),
        (&valid, 999),
        (&[], 0),
        (&[0; 22], 22),
        (&renamed, 2000),
    ] {
        assert_eq!(manifest_range(bytes, size), None);
    }
    let starts_before_the_archive = tail(1001, 1000, &[], false);
    assert_eq!(manifest_range(&starts_before_the_archive, 2000), None);
}

/// Archive of `before` bytes, a manifest and the directory.
fn archive(before: usize, manifest: &Value) -> (Cursor<Vec<u8>>, u64) {
    let manifest = manifest.to_string();
    let mut bytes = vec![0; before];
    bytes.extend(manifest.as_bytes());
    bytes.extend(tail(manifest.len() as u32, bytes.len() as u64, &[], false));
    let size = bytes.len() as u64;
    (Cursor::new(bytes), size)
}

/// Manifest with frames of these numbers, offsets and lengths.
fn manifest(frames: &[(u64, u64, u64)]) -> Value {
    let frame = |(number, offset, length): &(u64, u64, u64)| {
        json!({
            "number": number, "name": "a.png", "instant_s": 0.5, "timestamp": 1,
            "timestamp_s": 0.5, "width": 1, "height": 1, "key_frame": true,
            "decode_errors": false, "sha256": "", "offset": offset, "length": length,
        })
    };
    json!({
        "manifest_version": 2,
        "engine": { "name": "fiapx", "version": "0.1.0", "libraries": {} },
        "source": {
            "size_bytes": 1, "container": "mov", "codec": "h264", "duration_s": null, "width": 1,
            "height": 1, "frame_rate": null, "time_base": { "num": 1, "den": 1 },
            "rotation": "upright", "sample_aspect_ratio": null, "pixel_format": "gray",
            "color_space": "", "color_range": "", "color_primaries": "", "color_transfer": "",
            "interlaced": false,
        },
        "recipe": { "select": { "every": 1 }, "image": { "format": "png" } },
        "compression": "fast", "complete": true, "expected": 1, "written": 1, "missing": [],
        "damaged": [], "warnings": [], "frames": frames.iter().map(frame).collect::<Vec<_>>(),
    })
}

fn read(manifest: &Value) -> io::Result<ArchiveContents> {
    let (mut archive, size) = archive(100, manifest);
    let bytes = archive.get_ref();
    let tail = &bytes[bytes.len().saturating_sub(TAIL_BYTES as usize)..];
    let range = checked_manifest_range(tail, size)?;
    read_contents(&mut archive, range)
}

#[test]
fn accepts_only_ordered_frames_before_the_manifest() {
    let contents = read(&manifest(&[(1, 0, 60), (3, 60, 40)])).expect("valid frames");
    assert_eq!(contents.frame(3).map(|frame| frame.range), Some(60..100));
    assert!(contents.frame(2).is_none());
    for invalid in
        [&[(1, 60, 41)][..], &[(1, u64::MAX, 2)], &[(2, 0, 1), (1, 1, 1)], &[(1, 0, 1), (1, 1, 1)]]
    {
        assert!(read(&manifest(invalid)).is_err(), "{invalid:?}");
    }
}

#[test]
fn rejects_what_is_not_an_archive_with_a_manifest() {
    assert!(checked_manifest_range(b"no archive", 10).is_err());
    let large = tail(MAX_MANIFEST_BYTES as u32 + 1, 1 << 30, &[], false);
    assert!(checked_manifest_range(&large, 2 << 30).is_err());
    assert!(read(&json!({})).is_err());
}

#[test]
fn rejects_texts_that_would_take_more_memory_than_the_manifest() {
    let with_warnings = |count| {
        let mut manifest = manifest(&[]);
        manifest["warnings"] = vec![""; count].into();
        read(&manifest)
    };
    assert!(with_warnings(MAX_TEXTS).is_ok());
    assert!(with_warnings(MAX_TEXTS + 1).is_err());
    let mut libraries = manifest(&[]);
    let names = (0..=MAX_TEXTS).map(|number| (number.to_string(), Value::from("")));
    libraries["engine"]["libraries"] = Value::Object(names.collect());
    assert!(read(&libraries).is_err());
}

#[test]
fn rejects_entries_that_would_take_more_memory_than_reserved() {
    // Entries without the names of their members.
    let damaged = json!([0.0, 0.0]);
    let frame = json!([1, "", null, null, null, 0, 0.0, 1, 1, false, false, "", 0, 1]);
    for (member, entry) in [("damaged", damaged), ("frames", frame)] {
        let mut manifest = manifest(&[]);
        manifest[member] = vec![entry; 1000].into();
        let error = read(&manifest).err().map(|error| error.to_string());
        let expected = "its manifest has too many entries for its size";
        assert_eq!(error.as_deref(), Some(expected), "{member}");
    }
}

#[test]
fn the_memory_of_frames_includes_their_entries() {
    let frames: Vec<_> = (1..=1000).map(|number| (number, 0, 1)).collect();
    let manifest = manifest(&frames);
    let contents = read(&manifest).expect("valid frames");
    let entries = 1000 * size_of::<FrameEntry>() as u64;
    assert_eq!(contents.memory_bytes, manifest.to_string().len() as u64 + entries);
}
