//! The archive writer: two independent readers read back every file that was written.

#![no_main]

use std::io::{Cursor, Read};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rc_zip_sync::ReadZip;
use zip::ZipArchive;

#[derive(Arbitrary, Debug)]
struct File<'a> {
    /// Any valid name, unlike the engine's, which consist of ASCII characters.
    name: &'a str,
    bytes: &'a [u8],
}

fuzz_target!(|files: Vec<File>| {
    let mut names = std::collections::BTreeSet::new();
    let is_valid = |name: &str| (1..1000).contains(&name.len()) && !name.contains('\0');
    let files: Vec<(String, &[u8])> = files
        .iter()
        .filter(|file| is_valid(file.name) && names.insert(file.name))
        .map(|file| (file.name.to_owned(), file.bytes))
        .collect();
    let mut archive = Vec::new();
    let size = frames::stages::archive(&files, &mut archive).expect("memory suffices");
    assert_eq!(size, archive.len() as u64);

    let mut first = ZipArchive::new(Cursor::new(&archive)).expect("a valid archive");
    let bytes = archive.as_slice();
    let second = bytes.read_zip().expect("a valid archive");
    assert_eq!((first.len(), second.entries().count()), (files.len(), files.len()));
    for (index, ((name, bytes), other)) in files.iter().zip(second.entries()).enumerate() {
        let mut entry = first.by_index(index).expect("an entry");
        let mut read = Vec::new();
        entry.read_to_end(&mut read).expect("a valid CRC");
        let entry_name = entry.name().expect("a name in UTF-8");
        assert_eq!((&*entry_name, read.as_slice()), (name.as_str(), *bytes));
        assert_eq!(other.name, *name);
        assert_eq!(other.bytes().expect("a valid CRC"), *bytes);
    }
});
