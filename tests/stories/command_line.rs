//! The command keeps its word to the shell: exit codes, one line for each failure, and never half
//! an archive.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use frames::Options;
use serde_json::Value;

use crate::harness::{
    Archive, Run, extract, fiapx, fixture, listing, output, poll, run, scratch, single_line, tool,
    within,
};

/// `fiapx extract VIDEO -o OUTPUT`.
fn extract_to(video: &Path, archive: &Path) -> Command {
    let mut command = fiapx();
    command.arg("extract").arg(video).arg("-o").arg(archive);
    command
}

/// The command has to fail in one line; gives it.
fn failure(run: &Run) -> String {
    assert_eq!((run.code, run.stdout.len()), (Some(1), 0), "{}", run.stderr);
    single_line(run).expect("one line says what is wrong").to_owned()
}

#[test]
fn what_is_no_video_is_refused_in_a_line() {
    let directory = scratch();
    let (empty, pipe) = (directory.path().join("empty.mp4"), directory.path().join("pipe.mp4"));
    std::fs::write(&empty, "").expect("there is room");
    output(tool("mkfifo").arg(&pipe)).expect("a pipe can be made");
    let before = listing(directory.path());
    let cases = [
        (directory.path().to_owned(), "is a directory, not a video"),
        (directory.path().join("missing.mp4"), "No such file or directory"),
        (empty, "the file is empty [EMPTY_FILE]"),
        // Nobody writes to the pipe, so opening it would wait for ever.
        (pipe, "is not a regular file"),
        ("/dev/zero".into(), "is not a regular file"),
    ];
    for (video, complaint) in cases {
        let archive = directory.path().join("archive.zip");
        for command in [&mut extract_to(&video, &archive), fiapx().arg("probe").arg(&video)] {
            let line = failure(&run(command));
            assert!(line.contains(complaint) && line.contains(&*video.to_string_lossy()), "{line}");
        }
    }
    assert_eq!(listing(directory.path()), before);
}

#[test]
fn outputs_that_cannot_be_are_refused_in_a_line() {
    let (directory, clip) = (scratch(), fixture("good/h264_aac.mp4"));
    let video = directory.path().join("video.mp4");
    std::fs::copy(&clip, &video).expect("there is room");
    let alias = directory.path().join("alias.zip");
    symlink(&video, &alias).expect("a link can be made");
    let before = listing(directory.path());
    let cases = [
        (Path::new("/dev/full").to_owned(), "No space left on device"),
        (directory.path().join("nowhere/archive.zip"), "No such file or directory"),
        (directory.path().to_owned(), "is a directory"),
        (video.clone(), "is the video itself"),
        (alias, "is the video itself"),
    ];
    for (archive, complaint) in cases {
        let line = failure(&run(&mut extract_to(&video, &archive)));
        assert!(line.contains(complaint), "{line}");
    }
    assert_eq!(listing(directory.path()), before);
    assert!(
        std::fs::read(video).expect("the video is there")
            == std::fs::read(clip).expect("the clip is there"),
        "the video was touched"
    );
}

#[test]
fn a_closed_pipe_ends_the_command() {
    // So large an archive that no pipe holds it.
    let clip = fixture("long/10.mp4");
    let directory = scratch();
    let [error, code] = ["error", "code"].map(|name| directory.path().join(name));
    let mut shell = Command::new("sh");
    shell.args(["-c", "{ \"$1\" extract \"$2\" -o - 2> \"$3\"; echo $? > \"$4\"; } | true", "sh"]);
    output(shell.arg(fiapx().get_program()).arg(clip).arg(&error).arg(&code))
        .expect("the pipe's other end succeeds");
    let read = |path| std::fs::read_to_string(path).expect("the shell has written it");
    let failed =
        Run { code: read(code).trim().parse().ok(), stdout: Vec::new(), stderr: read(error) };
    assert!(failure(&failed).contains("Broken pipe"), "{}", failed.stderr);
}

#[test]
fn an_interrupt_leaves_nothing() {
    for signal in ["INT", "TERM"] {
        let directory = scratch();
        let archive = directory.path().join("archive.zip");
        let mut command = extract_to(&fixture("long/120.mp4"), &archive);
        let child = command
            .args(["--every", "1/25", "--threads", "1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let child = child.expect("the command can be started");
        // Once there are bytes, the signals are listened for.
        poll("a part of the archive", || {
            let part = directory.path().read_dir().ok()?.next()?.ok()?;
            (part.metadata().ok()?.len() > 0).then_some(())
        });
        output(Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]))
            .expect("the command is still at work");
        let ended = within("an interrupted command", || child.wait_with_output())
            .expect("the command ends");
        let run = Run {
            code: ended.status.code(),
            stdout: ended.stdout,
            stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
        };
        assert!(failure(&run).ends_with("cancelled [CANCELLED]"), "SIG{signal}: {}", run.stderr);
        assert_eq!(listing(directory.path()), Vec::<String>::new(), "SIG{signal}");
    }
}

#[test]
fn wrong_usage_is_told_apart() {
    let clip = fixture("good/h264_aac.mp4");
    let clip = clip.to_str().expect("a plain path");
    let wrong: [&[&str]; 8] = [
        &[],
        &["extract"],
        &["explode", clip],
        &["extract", clip, "--every", "0"],
        &["extract", clip, "--every", "-1"],
        &["extract", clip, "--threads", "0"],
        &["extract", clip, "--compression", "none"],
        &["extract", clip, clip],
    ];
    let directory = scratch();
    for arguments in wrong {
        let run = run(fiapx().args(arguments).current_dir(directory.path()));
        assert_eq!((run.code, run.stdout.len()), (Some(2), 0), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains("help"), "{arguments:?}: {}", run.stderr);
    }
    assert_eq!(listing(directory.path()), Vec::<String>::new());
    let help = output(fiapx().arg("--help")).expect("help is no error");
    assert!(String::from_utf8_lossy(&help).contains("extract"));
}

#[test]
fn json_is_one_line_with_these_keys() {
    let directory = scratch();
    let archive = directory.path().join("archive.zip");
    let run = run(extract_to(&fixture("good/ten_point_5.mp4"), &archive).arg("--json"));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let text = String::from_utf8(run.stdout).expect("JSON is UTF-8");
    assert_eq!((text.lines().count(), text.ends_with('\n')), (1, true));
    let mut line: Value = serde_json::from_str(&text).expect("JSON");
    for time in ["elapsed_s", "decode_s", "encode_s"] {
        let taken = line
            .as_object_mut()
            .and_then(|line| line.remove(time))
            .unwrap_or_else(|| panic!("{time} should be in {text}"));
        assert!(taken.as_f64().is_some_and(|seconds| seconds > 0.0), "{time}: {taken}");
    }
    let size = archive.metadata().expect("the archive is there").len();
    let expected = serde_json::json!({
        "frames": 11, "expected": 11, "complete": true, "duration_s": 10.5, "zip_bytes": size, "warnings": [],
    });
    assert_eq!(line, expected);
}

#[test]
fn a_damaged_video_is_a_success_with_warnings() {
    let directory = scratch();
    let run = run(extract_to(
        &fixture("cut/cut_at_60_percent.mp4"),
        &directory.path().join("archive.zip"),
    )
    .arg("--json"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let line: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    assert_eq!((&line["complete"], &line["expected"]), (&Value::from(false), &Value::from(70)));
    let told =
        run.stderr.lines().all(|line| line.starts_with("fiapx: ") && line.contains(": warning: "));
    assert!(
        told && run.stderr.contains(&format!("{} of 70 frames", line["frames"])),
        "{}",
        run.stderr
    );
}

#[test]
fn standard_output_and_files_get_the_same_bytes() {
    let (directory, clip) = (scratch(), fixture("good/hevc_pyramid.mkv"));
    let run = run(fiapx().args(["extract", "-o", "-"]).arg(&clip).current_dir(directory.path()));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(listing(directory.path()), Vec::<String>::new());
    let archive = directory.path().join("archive.zip");
    let printed = output(&mut extract_to(&clip, &archive)).expect("the clip is good");
    assert!(String::from_utf8_lossy(&printed).contains("archive.zip: 8 frames"), "{printed:?}");
    let bytes = std::fs::read(archive).expect("the archive is there");
    assert!(run.stdout == bytes, "the archive on standard output is another");
    assert!(
        bytes == extract(&clip, &Options::default()).expect("the clip is good"),
        "the library's archive is another"
    );
}

#[test]
fn the_archive_is_named_after_the_video() {
    let (directory, elsewhere) = (scratch(), scratch());
    let video = elsewhere.path().join("a film.of mine.mp4");
    std::fs::copy(fixture("good/h264_aac.mp4"), &video).expect("there is room");
    output(fiapx().arg("extract").arg(&video).current_dir(directory.path()))
        .expect("the clip is good");
    assert_eq!(listing(directory.path()), ["a film.of mine.zip"]);
    assert_eq!(listing(elsewhere.path()), ["a film.of mine.mp4"]);
    let archive =
        std::fs::read(directory.path().join("a film.of mine.zip")).expect("the archive is there");
    assert_eq!(Archive::read(archive).expect("the archive is whole").pictures.len(), 6);
}

#[test]
fn an_archive_that_is_there_survives_a_failure_and_yields_to_a_success() {
    let directory = scratch();
    let archive = directory.path().join("archive.zip");
    std::fs::write(&archive, "precious").expect("there is room");
    failure(&run(&mut extract_to(&fixture("broken/noise_in_mkv.mkv"), &archive)));
    assert_eq!(std::fs::read(&archive).expect("it is still there"), b"precious");
    output(&mut extract_to(&fixture("good/h264_aac.mp4"), &archive)).expect("the clip is good");
    Archive::read(std::fs::read(&archive).expect("it is there")).expect("it is an archive now");
    assert_eq!(listing(directory.path()), ["archive.zip"]);
}

#[test]
fn probe_foretells_the_archive() {
    let clip = fixture("good/seventy_seconds.mp4");
    let printed = output(fiapx().args(["probe", "--json"]).arg(&clip)).expect("the clip is good");
    let line = String::from_utf8(printed).expect("JSON is UTF-8");
    assert_eq!(line.lines().count(), 1);
    let forecast: Value = serde_json::from_str(&line).expect("JSON");
    let archive = Archive::read(extract(&clip, &Options::default()).expect("the clip is good"))
        .expect("the archive is whole");
    assert_eq!(forecast["frames"], archive.manifest["written"]);
    // Whether pictures are interlaced is seen only where they are decoded.
    assert_eq!(forecast["source"], archive.manifest["source"]);
    let size = forecast["zip_bytes"].as_u64().expect("a size") as f64 / archive.bytes.len() as f64;
    assert!((0.3..3.0).contains(&size), "foretold {size} times the archive's size");
    let text = output(fiapx().arg("probe").arg(&clip)).expect("the clip is good");
    assert!(String::from_utf8_lossy(&text).contains("70 frames"), "{text:?}");
}
