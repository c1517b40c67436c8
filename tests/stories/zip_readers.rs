//! Common programs can read the archives.

use frames::Options;

use crate::harness::archive::Archive;
use crate::harness::checks::{check_all, expect_equal};
use crate::harness::clips::{ONE_FRAME, SHORT, fixture, scratch};
use crate::harness::extraction::extract;
use crate::harness::programs::{output, tool};

/// Names in an archive, as a reader that cannot seek finds them: from local header to local header
/// (APPNOTE 4.3.7).
fn names_in_stream(bytes: &[u8]) -> Result<Vec<String>, String> {
    let field = |at: usize, length: usize| {
        let field = bytes.get(at..at + length).ok_or("a header is truncated")?;
        Ok::<_, String>(field.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    let (mut at, mut names) = (0, Vec::new());
    while bytes[at..].starts_with(b"PK\x03\x04") {
        let (name_length, extra_length, size) =
            (field(at + 26, 2)?, field(at + 28, 2)?, field(at + 18, 4)?);
        let name = bytes.get(at + 30..at + 30 + name_length).ok_or("a name is truncated")?;
        let name = String::from_utf8_lossy(name).into_owned();
        expect_equal(&format!("data descriptor of {name}"), field(at + 6, 2)? & 1 << 3, 0)?;
        expect_equal(&format!("compression of {name}"), field(at + 8, 2)?, 0)?;
        expect_equal(&format!("both sizes of {name}"), size, field(at + 22, 4)?)?;
        names.push(name);
        at += 30 + name_length + extra_length + size;
    }
    expect_equal("signature after the entries", &bytes[at..at + 4], b"PK\x01\x02")?;
    Ok(names)
}

#[test]
fn other_programs_read_the_archives() {
    let clips = [SHORT, ONE_FRAME, "good/alpha16.mov", "cut/cut_at_60_percent.mkv"];
    check_all(&clips, |clip| {
        let bytes =
            extract(&fixture(clip), &Options::default()).map_err(|error| error.to_string())?;
        let archive = Archive::read(bytes.clone())?;
        let mut names: Vec<String> = archive.frames.iter().map(|(name, _)| name.clone()).collect();
        names.push("manifest.json".to_owned());
        expect_equal("names in the stream", &names_in_stream(&bytes)?, &names)?;

        let directory = scratch();
        let file = directory.path().join("archive.zip");
        std::fs::write(&file, &bytes).map_err(|error| error.to_string())?;
        let listed = output(tool("bsdtar").arg("-tf").arg(&file))?;
        expect_equal(
            "names by bsdtar",
            String::from_utf8_lossy(&listed).lines().collect::<Vec<_>>(),
            names.iter().map(String::as_str).collect(),
        )?;
        output(tool("unzip").arg("-tqq").arg(&file))?;
        output(tool("python3").args(["-m", "zipfile", "-t"]).arg(&file))?;
        output(tool("7z").arg("t").arg(&file))?;
        output(tool("bsdtar").arg("-xf").arg(&file).arg("-C").arg(directory.path()))?;
        for (name, png) in &archive.frames {
            let extracted =
                std::fs::read(directory.path().join(name)).map_err(|error| error.to_string())?;
            expect_equal(&format!("{name} by bsdtar"), extracted == *png, true)?;
        }
        Ok(())
    });
}
