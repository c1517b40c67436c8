use std::io::Cursor;

use super::*;

/// The end of an archive whose directory begins at `directory`: the manifest's record, and the end
/// record.
fn tail(length: u32, directory: u64, record_extra: &[u8], wide: bool) -> Vec<u8> {
    let mut tail = b"PK\x01\x02".to_vec();
    tail.extend([0; 20]);
    tail.extend(length.to_le_bytes());
    tail.extend((NAME.len() as u16).to_le_bytes());
    tail.extend((record_extra.len() as u16).to_le_bytes());
    tail.extend([0; 14]);
    tail.extend(NAME);
    tail.extend(record_extra);
    if wide {
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
fn the_manifest_is_found_in_small_archives_and_in_large_ones() {
    assert_eq!(manifest(&tail(300, 1000, &[], false), 2000), Some(700..1000));
    // Behind four gibibytes, its record has a wide offset and the end a wide form (APPNOTE.TXT
    // 6.3.10, 4.5.3 and 4.3.14).
    let far = 5_u64 << 30;
    let bytes = tail(300, far, &[7; 12], true);
    assert_eq!(manifest(&bytes, far + 1000), Some(far - 300..far));
    assert!(bytes.len() as u64 <= TAIL);
    let other: Vec<u8> = [vec![1; 100], tail(300, 1000, &[], false)].concat();
    assert_eq!(manifest(&other, 2000), Some(700..1000), "whatever stands before it");
}

#[test]
fn what_ends_otherwise_has_no_manifest() {
    let good = tail(300, 1000, &[], false);
    let renamed: Vec<u8> =
        String::from_utf8_lossy(&good).replace("manifest.json", "manifest.jso0").into_bytes();
    for (bytes, size) in [
        (&good[1..], 2000),
        (&good[..good.len() - 1], 2000),
        (&good, 999),
        (&[], 0),
        (&[0; 22], 22),
        (&renamed, 2000),
    ] {
        assert_eq!(manifest(bytes, size), None);
    }
    assert_eq!(
        manifest(&tail(1001, 1000, &[], false), 2000),
        None,
        "it would begin before the archive"
    );
}

/// An archive with this manifest and nothing else but `before` bytes.
fn archive(before: usize, manifest: &str) -> (Cursor<Vec<u8>>, u64) {
    let mut bytes = vec![0; before];
    bytes.extend(manifest.as_bytes());
    bytes.extend(tail(manifest.len() as u32, bytes.len() as u64, &[], false));
    let size = bytes.len() as u64;
    (Cursor::new(bytes), size)
}

#[test]
fn only_what_lies_before_the_manifest_is_a_picture() {
    let manifest = |images: &[(u64, u64, u64)]| {
        let image = |(number, offset, length): &(u64, u64, u64)| {
            serde_json::json!({
                "number": number, "name": "a.png", "timestamp_s": 0.5, "width": 1, "height": 1, "decode_errors": false, "sha256": "",
                "offset": offset, "length": length,
            })
        };
        serde_json::json!({
            "source": { "container": "mov", "codec": "h264", "duration_s": null, "width": 1, "height": 1, "frame_rate": null, "pixel_format": "gray" },
            "complete": true, "expected": 1, "written": 1, "missing": [], "images": images.iter().map(image).collect::<Vec<_>>(),
        })
        .to_string()
    };
    let read = |images: &[(u64, u64, u64)]| {
        let (mut archive, size) = archive(100, &manifest(images));
        contents(&mut archive, size)
    };
    let good = read(&[(1, 0, 60), (3, 60, 40)]).expect("it is in order");
    assert_eq!(good.picture(3).map(Picture::range), Some(60..100));
    assert!(good.picture(2).is_none());
    for wrong in
        [&[(1, 60, 41)][..], &[(1, u64::MAX, 2)], &[(2, 0, 1), (1, 1, 1)], &[(1, 0, 1), (1, 1, 1)]]
    {
        assert!(read(wrong).is_err(), "{wrong:?}");
    }
    assert!(contents(&mut Cursor::new(b"no archive"), 10).is_err());
    let (mut bad, size) = archive(0, "{}");
    assert!(contents(&mut bad, size).is_err());
}
