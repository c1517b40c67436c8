//! The command line: exit codes, one line for each failure, and never a partial archive.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use frames::Options;
use serde_json::Value;

use crate::harness::archive::Archive;
use crate::harness::checks::{poll, with_timeout};
use crate::harness::clips::{MJPEG, SHORT, file_names, fixture, scratch};
use crate::harness::extraction::extract;
use crate::harness::programs::{ProgramOutput, error_line, fiapx, fiapx_path, output, run, tool};

/// `fiapx extract VIDEO -o OUTPUT`.
fn extract_to(video: &Path, archive: &Path) -> Command {
    let mut command = fiapx();
    command.arg("extract").arg(video).arg("-o").arg(archive);
    command
}

/// Check that the command fails with one line; return it.
fn failure(run: &ProgramOutput) -> String {
    assert_eq!((run.code, run.stdout.len()), (Some(1), 0), "{}", run.stderr);
    error_line(run).expect("one line").to_owned()
}

/// What `fiapx` with these arguments, in a directory, shows on a terminal.
fn on_terminal(arguments: &[&str], directory: &Path) -> String {
    let mut script = tool("script");
    // The shell of `script` gets the arguments by variables, so that no quotes are needed.
    let names: Vec<_> = (0..arguments.len()).map(|number| format!("ARGUMENT_{number}")).collect();
    let words: Vec<_> = names.iter().map(|name| format!("\"${name}\"")).collect();
    let command = format!("\"$FIAPX\" {}", words.join(" "));
    script.args(["-qec", &command, "/dev/null"]).current_dir(directory);
    script.env("FIAPX", fiapx_path()).env("TERM", "xterm-256color").env("SHELL", "/bin/sh");
    script.env_remove("NO_COLOR").envs(names.iter().zip(arguments));
    String::from_utf8(run(&mut script).stdout).expect("text")
}

#[test]
fn invalid_inputs_fail_with_one_line() {
    let directory = scratch();
    let (empty, pipe) = (directory.path().join("empty.mp4"), directory.path().join("pipe.mp4"));
    std::fs::write(&empty, "").expect("it can be written");
    output(tool("mkfifo").arg(&pipe)).expect("a pipe can be made");
    let before = file_names(directory.path());
    let cases = [
        (directory.path().to_owned(), "is a directory, not a video"),
        (directory.path().join("missing.mp4"), "No such file or directory"),
        (empty, "the file is empty [EMPTY_FILE]"),
        // Nothing writes to the pipe, so opening it would block forever.
        (pipe, "is not a regular file"),
        ("/dev/zero".into(), "is not a regular file"),
    ];
    for (video, message) in cases {
        let archive = directory.path().join("archive.zip");
        for command in [&mut extract_to(&video, &archive), fiapx().arg("probe").arg(&video)] {
            let line = failure(&run(command));
            assert!(line.contains(message) && line.contains(&*video.to_string_lossy()), "{line}");
        }
    }
    assert_eq!(file_names(directory.path()), before);
}

#[test]
fn invalid_outputs_fail_with_one_line() {
    let (directory, clip) = (scratch(), fixture(SHORT));
    let video = directory.path().join("video.mp4");
    std::fs::copy(&clip, &video).expect("it can be written");
    let alias = directory.path().join("alias.zip");
    symlink(&video, &alias).expect("a link can be made");
    let before = file_names(directory.path());
    let cases = [
        (Path::new("/dev/full").to_owned(), "No space left on device"),
        (directory.path().join("nowhere/archive.zip"), "No such file or directory"),
        (directory.path().to_owned(), "is a directory"),
        (video.clone(), "is the video itself"),
        (alias, "is the video itself"),
    ];
    for (archive, message) in cases {
        let line = failure(&run(&mut extract_to(&video, &archive)));
        assert!(line.contains(message), "{line}");
    }
    assert_eq!(file_names(directory.path()), before);
    assert!(
        std::fs::read(video).expect("the video exists")
            == std::fs::read(clip).expect("the clip is there"),
        "the video was changed"
    );
}

#[test]
fn a_closed_pipe_ends_the_command() {
    // The archive is larger than the buffer of a pipe.
    let clip = fixture("long/10.mp4");
    let directory = scratch();
    let [error, code] = ["error", "code"].map(|name| directory.path().join(name));
    let mut shell = Command::new("sh");
    shell.args(["-c", "{ \"$1\" extract \"$2\" -o - 2> \"$3\"; echo $? > \"$4\"; } | true", "sh"]);
    output(shell.arg(fiapx().get_program()).arg(clip).arg(&error).arg(&code))
        .expect("the reader succeeds");
    let read = |path| std::fs::read_to_string(path).expect("the shell wrote it");
    let failed = ProgramOutput {
        code: read(code).trim().parse().ok(),
        stdout: Vec::new(),
        stderr: read(error),
    };
    assert!(failure(&failed).contains("Broken pipe"), "{}", failed.stderr);
}

#[test]
fn an_interrupted_command_leaves_no_file() {
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let directory = scratch();
        let archive = directory.path().join("archive.zip");
        let mut command = extract_to(&fixture("long/120.mp4"), &archive);
        let child = command
            .args(["--every", "1/25", "--threads", "1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let child = child.expect("the command can be started");
        // The signal handlers are installed before the first byte is written.
        poll("the first bytes of the archive", || {
            let part = directory.path().read_dir().ok()?.next()?.ok()?;
            (part.metadata().ok()?.len() > 0).then_some(())
        });
        output(Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]))
            .expect("the command is still running");
        let ended = with_timeout("an interrupted command", || child.wait_with_output())
            .expect("the command ends");
        let run = ProgramOutput {
            code: ended.status.code(),
            stdout: ended.stdout,
            stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
        };
        assert_eq!((run.code, run.stdout.len()), (Some(status), 0), "SIG{signal}: {}", run.stderr);
        let line = error_line(&run).expect("one line");
        assert!(line.ends_with("120.mp4: interrupted"), "SIG{signal}: {line}");
        assert_eq!(file_names(directory.path()), Vec::<String>::new(), "SIG{signal}");
    }
}

#[test]
fn wrong_usage_has_its_own_exit_code() {
    let clip = fixture(SHORT);
    let clip = clip.to_str().expect("a plain path");
    let wrong: [&[&str]; 10] = [
        &[],
        &["extract"],
        &["explode", clip],
        &["extract", clip, "--every", "0"],
        &["extract", clip, "--every", "-1"],
        &["extract", clip, "--threads", "0"],
        &["extract", clip, "--format", "jpeg", "--quality", "+5"],
        &["extract", clip, "--max-width", "+5"],
        &["probe", clip, "--count", "+5"],
        &["extract", clip, "--compression", "none"],
    ];
    let directory = scratch();
    for arguments in wrong {
        let run = run(fiapx().args(arguments).current_dir(directory.path()));
        assert_eq!((run.code, run.stdout.len()), (Some(2), 0), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains("help"), "{arguments:?}: {}", run.stderr);
    }
    assert_eq!(file_names(directory.path()), Vec::<String>::new());
    let help = output(fiapx().arg("--help")).expect("help succeeds");
    assert!(String::from_utf8_lossy(&help).contains("extract"));
}

#[test]
fn mistyped_words_get_a_suggestion() {
    for (arguments, suggestion) in [
        (&["extrct"][..], "'extract'"),
        (&["extract", "a.mp4", "--evry", "2"], "'--every'"),
        (&["extract", "a.mp4", "--compression", "balancd"], "'balanced'"),
        (&["jobs", "faild"], "'failed'"),
    ] {
        let run = run(fiapx().args(arguments));
        assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.stderr);
        let tip = run.stderr.lines().find(|line| line.contains("tip: ")).unwrap_or_default();
        assert!(tip.contains("similar") && tip.contains(suggestion), "{}", run.stderr);
        assert!(!run.stderr.contains('\u{1b}'), "colours without a terminal: {}", run.stderr);
    }
}

#[test]
fn help_has_colours_on_a_terminal() {
    let shown = on_terminal(&["--help"], scratch().path());
    let bold_green = "\u{1b}[1m\u{1b}[32mUsage:\u{1b}[0m";
    assert!(shown.contains(bold_green), "{}", shown.escape_debug());
}

#[test]
fn the_progress_bar_shows_a_rate_in_the_colour_of_the_terminal() {
    let (directory, clip) = (scratch(), fixture(SHORT));
    let clip = clip.to_str().expect("a plain path");
    let shown = on_terminal(&["extract", clip, "--every", "1/25"], directory.path());
    let bar = shown.split('\r').find(|line| line.contains("/s")).expect("a progress bar");
    let rate = bar.split(", ").find_map(|part| part.strip_suffix(" frames/s"));
    let rate = rate.unwrap_or_else(|| panic!("no rate in {}", bar.escape_debug()));
    assert!(rate.parse::<u64>().is_ok(), "{}", rate.escape_debug());
    assert_eq!(file_names(directory.path()), ["h264_aac.zip"]);
}

#[test]
fn several_videos_get_an_archive_each() {
    let directory = scratch();
    let extract = |arguments: &[&Path]| {
        run(fiapx().arg("extract").args(arguments).current_dir(directory.path()))
    };
    let (first, second) = (fixture(SHORT), fixture("good/ten_point_5.mp4"));
    let wrong = fixture("broken/audio_only.mp4");
    let done = extract(&[&first, &second, Path::new("--json")]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let results: Vec<Value> =
        done.lines().iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let text = |result: &Value, member: &str| result[member].as_str().map(str::to_owned);
    let archives: Vec<_> = results.iter().filter_map(|result| text(result, "archive")).collect();
    assert_eq!(archives, ["h264_aac.zip", "ten_point_5.zip"]);
    let videos: Vec<_> = results.iter().filter_map(|result| text(result, "video")).collect();
    assert_eq!(videos.iter().map(Path::new).collect::<Vec<_>>(), [&*first, &*second]);
    assert_eq!((&results[0]["frames"], &results[1]["frames"]), (&6.into(), &11.into()));
    assert_eq!(file_names(directory.path()), archives);

    // A video that fails does not keep the others from their archives.
    std::fs::remove_file(directory.path().join("ten_point_5.zip")).expect("it can be removed");
    let failed = extract(&[&wrong, &second]);
    assert_eq!((failed.code, failed.lines().len()), (Some(1), 1), "{}", failed.stderr);
    let errors: Vec<_> = failed.stderr.lines().collect();
    assert!(errors[0].ends_with("[NO_VIDEO_STREAM]"), "{errors:?}");
    assert_eq!(errors[1..], ["fiapx: 1 of 2 videos failed"]);
    assert_eq!(file_names(directory.path()), archives);

    // Archives that would replace each other, or that have one name, are wrong usage.
    let (one, other) = (first.as_path(), second.as_path());
    for arguments in [&[one, one][..], &[one, other, Path::new("-oboth.zip")]] {
        let rejected = extract(arguments);
        assert_eq!((rejected.code, rejected.stdout.len()), (Some(2), 0), "{}", rejected.stderr);
        error_line(&rejected).expect("one line");
    }
    assert_eq!(file_names(directory.path()), archives);
}

#[test]
fn invalid_recipe_files_are_wrong_usage_with_one_line() {
    let directory = scratch();
    let file = directory.path().join("recipe.json");
    for (recipe, message) in [
        ("", "it is not JSON: EOF while parsing a value at line 1 column 0"),
        ("\u{feff}[]", "`[]` is not an object"),
        (r#"{"image":{"quality":0}}"#, "`image.quality`: `0` is not a whole number from 1 to 100"),
        (
            "{\"select\":{\"a\\nb\":1}}",
            concat!(
                r"`select.a\nb`: this member is unknown; there are `every`, `at`, `count`, ",
                "`keyframes`, `scenes` and `sharpest`"
            ),
        ),
    ] {
        std::fs::write(&file, recipe).expect("it can be written");
        let run = run(fiapx().arg("probe").arg(fixture(SHORT)).arg("--recipe").arg(&file));
        let line = error_line(&run).expect("one line");
        let expected = format!("fiapx: the recipe {} cannot be used: {message}", file.display());
        assert_eq!((run.code, line), (Some(2), expected.as_str()));
    }
    let endless = run(fiapx().arg("probe").arg(fixture(SHORT)).args(["--recipe", "/dev/zero"]));
    assert_eq!(endless.code, Some(2), "{}", endless.stderr);
    assert!(endless.stderr.contains("it is larger than 65536 bytes"), "{}", endless.stderr);
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
    let read = line.as_object_mut().and_then(|line| line.remove("bytes_read"));
    let video = fixture("good/ten_point_5.mp4").metadata().expect("the clip exists").len();
    assert!(read.as_ref().and_then(Value::as_u64) >= Some(video), "{read:?}");
    let size = archive.metadata().expect("the archive exists").len();
    let expected = serde_json::json!({
        "video": fixture("good/ten_point_5.mp4"),
        "archive": archive,
        "frames": 11,
        "expected": 11,
        "complete": true,
        "skipped": 0,
        "omitted": 0,
        "duration_s": 10.5,
        "zip_bytes": size,
        "warnings": [],
    });
    assert_eq!(line, expected);
}

#[test]
fn a_damaged_video_succeeds_with_warnings() {
    let directory = scratch();
    let run = run(extract_to(
        &fixture("cut/cut_at_60_percent.mp4"),
        &directory.path().join("archive.zip"),
    )
    .arg("--json"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let line: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    assert_eq!((&line["complete"], &line["expected"]), (&Value::from(false), &Value::from(70)));
    let are_warnings =
        run.stderr.lines().all(|line| line.starts_with("fiapx: ") && line.contains(": warning: "));
    assert!(
        are_warnings && run.stderr.contains(&format!("{} of 70 frames", line["frames"])),
        "{}",
        run.stderr
    );
}

#[test]
fn standard_output_and_files_get_the_same_bytes() {
    let (directory, clip) = (scratch(), fixture("good/hevc_pyramid.mkv"));
    let run = run(fiapx().args(["extract", "-o", "-"]).arg(&clip).current_dir(directory.path()));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(file_names(directory.path()), Vec::<String>::new());
    let archive = directory.path().join("archive.zip");
    let printed = output(&mut extract_to(&clip, &archive)).expect("the clip is valid");
    assert!(String::from_utf8_lossy(&printed).contains("archive.zip: 8 frames"), "{printed:?}");
    let bytes = std::fs::read(archive).expect("the archive exists");
    assert!(run.stdout == bytes, "the archive on standard output differs");
    assert!(
        bytes == extract(&clip, &Options::default()).expect("the clip is valid"),
        "the library's archive differs"
    );
}

#[test]
fn the_archive_is_named_after_the_video() {
    let (directory, elsewhere) = (scratch(), scratch());
    let video = elsewhere.path().join("a video.of mine.mp4");
    std::fs::copy(fixture(SHORT), &video).expect("it can be written");
    output(fiapx().arg("extract").arg(&video).current_dir(directory.path()))
        .expect("the clip is valid");
    assert_eq!(file_names(directory.path()), ["a video.of mine.zip"]);
    assert_eq!(file_names(elsewhere.path()), ["a video.of mine.mp4"]);
    let archive =
        std::fs::read(directory.path().join("a video.of mine.zip")).expect("the archive exists");
    assert_eq!(Archive::read(archive).expect("the archive is complete").frames.len(), 6);
}

#[test]
fn only_an_archive_of_the_same_video_is_replaced() {
    let directory = scratch();
    let archive = directory.path().join("archive.zip");
    let read = || std::fs::read(&archive).expect("it still exists");
    let other = extract(&fixture(MJPEG), &Options::default()).expect("the clip is valid");
    let mut renamed = output(&mut extract_to(&fixture(SHORT), Path::new("-"))).expect("an archive");
    // The manifest of another program.
    let name = renamed.windows(7).rposition(|bytes| bytes == b"\"fiapx\"").expect("the manifest");
    renamed[name + 1] = b'F';
    for precious in [b"precious".to_vec(), b"PK\x05\x06".to_vec(), other, renamed] {
        std::fs::write(&archive, &precious).expect("it can be written");
        for video in [SHORT, "broken/noise_in_mkv.mkv"] {
            let line = failure(&run(&mut extract_to(&fixture(video), &archive)));
            assert!(line.contains("archive.zip exists") && line.contains("--force"), "{line}");
            assert!(read() == precious, "the file was changed");
        }
    }
    let broken = fixture("broken/noise_in_mkv.mkv");
    let before = read();
    failure(&run(extract_to(&broken, &archive).arg("--force")));
    assert!(read() == before, "a failed extraction changed the file");
    output(extract_to(&fixture(SHORT), &archive).arg("--force")).expect("the clip is valid");
    let first = read();
    Archive::read(first.clone()).expect("it is an archive");

    // With another recipe it is still the same video.
    output(extract_to(&fixture(SHORT), &archive).args(["--every", "2"])).expect("it is replaced");
    assert!(read() != first, "the archive was not replaced");
    std::fs::write(&archive, "").expect("it can be written");
    output(&mut extract_to(&fixture(SHORT), &archive)).expect("an empty file is replaced");
    assert!(read() == first, "another archive");
    assert_eq!(file_names(directory.path()), ["archive.zip"]);
}

#[test]
fn threads_are_bounded_by_cores() {
    let cores = std::thread::available_parallelism().expect("a number of cores");
    let directory = scratch();
    let mut command = extract_to(&fixture(SHORT), &directory.path().join("archive.zip"));
    let run = run(command.args(["--threads", "10000"]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let expected =
        format!("fiapx: --threads 10000 is reduced to {cores}, the number of available cores\n");
    assert_eq!(run.stderr, expected);
}

#[test]
fn probe_predicts_the_archive() {
    let clip = fixture("good/seventy_seconds.mp4");
    let printed = output(fiapx().args(["probe", "--json"]).arg(&clip)).expect("the clip is valid");
    let line = String::from_utf8(printed).expect("JSON is UTF-8");
    assert_eq!(line.lines().count(), 1);
    let forecast: Value = serde_json::from_str(&line).expect("JSON");
    let archive = Archive::read(extract(&clip, &Options::default()).expect("the clip is valid"))
        .expect("the archive is complete");
    assert_eq!(forecast["frames"], archive.manifest["written"]);
    assert_eq!(forecast["source"], archive.manifest["source"]);
    let size = forecast["zip_bytes"].as_u64().expect("a size") as f64 / archive.bytes.len() as f64;
    assert!((0.3..3.0).contains(&size), "predicted {size} times the archive's size");
    let text = output(fiapx().arg("probe").arg(&clip)).expect("the clip is valid");
    assert!(String::from_utf8_lossy(&text).contains("70 frames"), "{text:?}");
}
