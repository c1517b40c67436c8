//! The archive writer against two readers that are not ours: whatever is put in comes out of both.

#![no_main]

use std::io::{Cursor, Read};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rc_zip_sync::ReadZip;
use zip::ZipArchive;

#[derive(Arbitrary, Debug)]
struct File<'a> {
    /// The engine's names are made of digits; these may be anything that a name can be.
    name: &'a str,
    bytes: &'a [u8],
}

fuzz_target!(|files: Vec<File>| {
    let mut names = std::collections::BTreeSet::new();
    let named = |file: &File| (1..1000).contains(&file.name.len()) && !file.name.contains('\0');
    let files: Vec<(String, &[u8])> = files
        .iter()
        .filter(|file| named(file) && names.insert(file.name))
        .map(|file| (file.name.to_owned(), file.bytes))
        .collect();
    let mut archive = Vec::new();
    let size = frames::stages::archive(&files, &mut archive).expect("memory takes everything");
    assert_eq!(size, archive.len() as u64);

    let mut one = ZipArchive::new(Cursor::new(&archive)).expect("the first reader opens it");
    let bytes = archive.as_slice();
    let other = bytes.read_zip().expect("the second reader opens it");
    assert_eq!((one.len(), other.entries().count()), (files.len(), files.len()));
    for (index, ((name, bytes), theirs)) in files.iter().zip(other.entries()).enumerate() {
        let mut entry = one.by_index(index).expect("the entry is there");
        let mut read = Vec::new();
        entry.read_to_end(&mut read).expect("its CRC is right");
        assert_eq!((&*entry.name().expect("it is text"), read.as_slice()), (name.as_str(), *bytes));
        assert_eq!(theirs.name, *name);
        assert_eq!(theirs.bytes().expect("its CRC is right"), *bytes);
    }
});
