//! Malicious files cause no crash, exhaust no memory, and reach no other file and no network.

use std::collections::BTreeSet;
use std::io::{Cursor, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use frames::{Limits, Options, Stop};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::harness::archive::Archive;
use crate::harness::checks::{check_all, expect_equal, panic_message, story_seed, with_timeout};
use crate::harness::clips::{SHORT, clips, file_name, file_names, fixture, paths, scratch};
use crate::harness::extraction::extract_from;
use crate::harness::programs::{ProgramOutput, error_line, fiapx, output, root, run, tool};

const SUFFIXES: [&str; 7] = ["mp4", "mov", "mkv", "webm", "avi", "wmv", "flv"];
/// Bytes of address space that suffice for any broken file: libraries, two threads and one large
/// frame.
const MEMORY: &str = "1500000000";
/// Longest time for a broken file in seconds, with a margin for a busy machine.
const SECONDS: &str = "20";

/// Run the command on a file with limited time and memory. Also return the names of the files that
/// it leaves.
fn extract_limited(file: &Path) -> (ProgramOutput, Vec<String>) {
    let directory = scratch();
    let mut bounded = tool("prlimit");
    bounded
        .arg(format!("--as={MEMORY}"))
        .args(["timeout", "--signal=KILL", SECONDS])
        .arg(fiapx().get_program());
    let run = run(bounded
        .args(["extract", "--threads", "2"])
        .arg(file)
        .arg("-o")
        .arg(directory.path().join("archive.zip")));
    (run, file_names(directory.path()))
}

/// Check that the command rejects a file with one line that ends with a code, and leaves nothing.
/// Return the code.
fn rejection_code(file: &Path) -> Result<String, String> {
    let (run, left) = extract_limited(file);
    expect_equal("exit code", run.code, Some(1))?;
    expect_equal("standard output", run.stdout.len(), 0)?;
    expect_equal("files left", left, Vec::new())?;
    let line = error_line(&run)?;
    let code = line.strip_suffix(']').and_then(|line| Some(line.rsplit_once(" [")?.1));
    code.map(str::to_owned).ok_or_else(|| format!("no code at the end of {line:?}"))
}

#[test]
fn broken_files_are_rejected_with_a_code() {
    let expected = |name: &str| match name {
        "audio_only.mp4" | "cover_art_only.mp4" => "NO_VIDEO_STREAM",
        "empty.mp4" => "EMPTY_FILE",
        "four_bytes.avi" | "noise.mp4" | "program.mp4" => "UNSUPPORTED_CONTAINER",
        "huge_frame.avi" => "PICTURE_TOO_LARGE",
        _ => "VIDEO_DAMAGED",
    };
    check_all(&clips("broken"), |clip| {
        expect_equal("code", rejection_code(clip)?.as_str(), expected(&file_name(clip)))
    });
}

/// Decoders that libav has, and that no video may reach.
#[test]
fn codecs_that_are_not_accepted_are_not_decoded() {
    let directory = scratch();
    let source = ["-v", "error", "-f", "lavfi", "-i", "testsrc=size=64x48:duration=1"];
    for codec in ["zmbv", "snow", "asv1"] {
        let video = directory.path().join(format!("{codec}.avi"));
        let arguments = ["-strict", "-2", "-c:v", codec];
        output(tool("ffmpeg").args(source).args(arguments).arg(&video)).expect("ffmpeg makes it");
        let (run, _) = extract_limited(&video);
        let line = error_line(&run).expect("one line");
        assert!(line.contains("it is not accepted"), "{line}");
        assert!(line.ends_with("[FFMPEG_CODEC_ERROR]"), "{line}");
    }
}

/// Check that the limits above are high enough for a valid video.
#[test]
fn a_valid_file_is_extracted_within_the_same_limits() {
    let (run, left) = extract_limited(&fixture("good/seventy_seconds.mp4"));
    assert_eq!((run.code, left), (Some(0), vec!["archive.zip".to_owned()]), "{}", run.stderr);
}

#[test]
fn playlists_reach_neither_the_network_nor_other_files() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.set_nonblocking(true).expect("it can be set");
    let address = listener.local_addr().expect("the listener has an address");
    let directory = scratch();
    let canary = directory.path().join("canary.mp4");
    std::fs::copy(fixture(SHORT), &canary).expect("the clip can be copied");
    let canary = canary.display();
    let playlists = [
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nhttp://{address}/a.ts\n\
             #EXTINF:6,\nfile://{canary}\n#EXT-X-ENDLIST\n"
        ),
        format!("ffconcat version 1.0\nfile 'http://{address}/a.mp4'\nfile '{canary}'\n"),
        format!("ffconcat version 1.0\nfile '{canary}'\n"),
        format!(
            "<?xml version=\"1.0\"?>\n\
             <MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
             mediaPresentationDuration=\"PT6S\"><Period>\
             <AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\">\
             <BaseURL>http://{address}/a.mp4</BaseURL></Representation>\
             </AdaptationSet></Period></MPD>\n"
        ),
        format!(
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nm=video {} RTP/AVP 96\n",
            address.port()
        ),
        format!("[Reference]\nRef1=http://{address}/a.wmv\nRef2=file://{canary}\n"),
        format!(
            "<asx version=\"3.0\"><entry><ref href=\"http://{address}/a.wmv\"/></entry></asx>\n"
        ),
    ];
    let mut files = Vec::new();
    for (index, playlist) in playlists.iter().enumerate() {
        for suffix in SUFFIXES {
            let file = directory.path().join(format!("playlist{index}.{suffix}"));
            std::fs::write(&file, playlist).expect("it can be written");
            files.push(file);
        }
    }
    check_all(&files, |file| {
        expect_equal("code", rejection_code(file)?.as_str(), "UNSUPPORTED_CONTAINER")
    });
    // The kernel queues connections until they are accepted, so an earlier one is still there.
    let connection = listener.accept().map(|(_, from)| from).map_err(|error| error.kind());
    assert_eq!(connection, Err(ErrorKind::WouldBlock));
    let _own = TcpStream::connect(address).expect("it listens");
    assert!(listener.accept().is_ok(), "the listener does not notice connections");
}

/// Result of a program, and its system calls.
struct Trace {
    run: ProgramOutput,
    /// Paths that it opens or looks up.
    paths: BTreeSet<PathBuf>,
    /// Calls that use the network.
    network: Vec<String>,
}

/// Run a program and trace its system calls.
fn trace(program: &mut Command) -> Trace {
    let directory = scratch();
    let log = directory.path().join("strace");
    let mut strace = tool("strace");
    strace
        .args(["-f", "-qq", "-s", "4096", "-e", "signal=none", "-e", "trace=%file,%network", "-o"])
        .arg(&log);
    let run = run(strace.arg(program.get_program()).args(program.get_args()));
    let log =
        std::fs::read_to_string(log).expect("strace can trace (the machine has to allow ptrace)");
    let (mut paths, mut network) = (BTreeSet::new(), Vec::new());
    for line in log.lines() {
        let call = line.split_once(' ').and_then(|(_, call)| call.trim_start().split_once('('));
        let Some((name, arguments)) = call else { continue };
        // Signals wake the process by a pair of sockets, which leads nowhere else.
        if name == "socketpair" && arguments.starts_with("AF_UNIX") {
            continue;
        }
        if NETWORK_CALLS.iter().any(|call| name.starts_with(call)) {
            network.push(line.to_owned());
        } else if !name.starts_with("exec") {
            let quoted = arguments.split('"').skip(1).step_by(2);
            // With AT_EMPTY_PATH, a call such as newfstatat(2) looks up no path: it is about the
            // open descriptor. glibc implements fstat(3) that way.
            let of_descriptor = arguments.contains("AT_EMPTY_PATH");
            paths.extend(
                quoted.filter(|path| !(path.is_empty() && of_descriptor)).map(PathBuf::from),
            );
        }
    }
    assert!(!paths.is_empty(), "strace recorded nothing");
    Trace { run, paths, network }
}

/// Beginnings of the names of system calls that use the network.
const NETWORK_CALLS: [&str; 10] = [
    "socket",
    "connect",
    "bind",
    "listen",
    "accept",
    "send",
    "recv",
    "getsockname",
    "getpeername",
    "shutdown",
];

/// Run the command on a file and check that it opens only that file, its output, and what it opens
/// for `--version` too, which are its libraries.
fn extract_opening_nothing_else(file: &Path) -> Result<ProgramOutput, String> {
    let directory = scratch();
    let Trace { paths: at_start, .. } = trace(fiapx().arg("--version"));
    let Trace { run, paths, network } =
        trace(fiapx().arg("extract").arg(file).arg("-o").arg(directory.path().join("archive.zip")));
    // The memory allocator reads the last one before it returns memory of a thread to the kernel
    // (glibc, malloc/arena.c, `shrink_heap`).
    let kernel = [
        "/proc/self/cgroup",
        "/proc/self/mountinfo",
        "/sys/fs/cgroup",
        "/proc/sys/vm/overcommit_memory",
    ];
    let allowed = |path: &Path| {
        at_start.contains(path)
            || path == file
            || path.starts_with(directory.path())
            || kernel.iter().any(|place| path.starts_with(place))
    };
    let others: Vec<_> = paths.iter().filter(|path| !allowed(path)).collect();
    expect_equal("other files", others, Vec::new())?;
    expect_equal("network calls", network, Vec::new())?;
    expect_equal("the video is opened", paths.contains(file), true)?;
    Ok(run)
}

#[test]
fn only_the_video_is_opened() {
    let noise = ["noise.mp4", "noise_in_mp4.mp4", "noise_in_mkv.mkv", "noise_in_flv.flv"]
        .map(|name| format!("broken/{name}"));
    let clips = [SHORT, "good/wmv2.wmv"]
        .map(str::to_owned)
        .into_iter()
        .chain(noise)
        .map(|clip| fixture(&clip));
    check_all(&clips.collect::<Vec<_>>(), |clip| extract_opening_nothing_else(clip).map(drop));
}

/// Replace a video's first data reference (ISO/IEC 14496-12, 8.7.2) by `entry`. The index has to
/// follow the frames, so that their offsets stay valid.
fn with_reference(video: &[u8], entry: &[u8]) -> Vec<u8> {
    let size = |bytes: &[u8], at: usize| {
        u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
    };
    let (mut patched, mut at, mut end) = (video.to_vec(), 0, video.len());
    let mut parents = Vec::new();
    for name in [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"] {
        while &video[at + 4..at + 8] != name {
            at += size(video, at);
            assert!(at < end, "no box {name:?}");
        }
        parents.push(at);
        end = at + size(video, at);
        at += 8;
    }
    assert_eq!(end, at + 8 + 12, "not exactly one data reference, which means this file");
    for start in parents {
        let grown = (size(video, start) + entry.len() - 12) as u32;
        patched[start..start + 4].copy_from_slice(&grown.to_be_bytes());
    }
    patched.splice(at + 8..end, entry.iter().copied());
    patched
}

/// A data reference of this type. Flags of zero mean that the data is in another file.
fn reference(kind: &str, content: &[u8]) -> Vec<u8> {
    [&(12 + content.len() as u32).to_be_bytes(), kind.as_bytes(), &[0; 4], content].concat()
}

/// A Macintosh alias record as QuickTime stores it. libav reads the two level counts and the path
/// (libavformat/mov.c).
fn alias(path: &Path) -> Vec<u8> {
    let path = path.to_str().expect("a plain path").as_bytes();
    let mut record = vec![0; 10 + 28 + 12 + 64 + 16];
    record.extend([0, 1, 0, 1]);
    record.extend([0; 16]);
    record.extend([0, 2, 0, path.len() as u8]);
    record.extend(path);
    record.resize(record.len() + path.len() % 2, 0);
    record.extend([0xFF, 0xFF, 0, 0]);
    reference("alis", &record)
}

#[test]
fn references_to_other_files_are_not_followed() {
    let directory = scratch();
    let canary = directory.path().join("canary");
    std::fs::copy(fixture("good/h264_no_b.mp4"), &canary).expect("the clip can be copied");
    let video = std::fs::read(fixture("good/h264_no_b.mp4")).expect("the clip can be read");
    let url = reference("url ", format!("file://{}\0", canary.display()).as_bytes());
    let [by_url, by_alias] =
        [("url.mp4", url), ("alias.mov", alias(&canary))].map(|(name, entry)| {
            let file = directory.path().join(name);
            std::fs::write(&file, with_reference(&video, &entry)).expect("it can be written");
            file
        });
    for file in [&by_url, &by_alias] {
        let run = extract_opening_nothing_else(file).expect("only the video is opened");
        assert!(matches!(run.code, Some(0 | 1)), "{}: {run:?}", file.display());
    }
    // The reference is valid: libav follows it if that is enabled.
    let mut careless = tool("ffmpeg");
    careless
        .args(["-v", "error", "-enable_drefs", "1", "-use_absolute_path", "1", "-i"])
        .arg(&by_alias)
        .args(["-f", "null", "-"]);
    let Trace { paths, .. } = trace(&mut careless);
    assert!(
        paths.iter().any(|path| path.to_string_lossy().contains("canary")),
        "the reference to {} is not valid",
        canary.display()
    );
}

/// Damage a video in one of four ways.
fn mutate(video: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut mutant = video.to_vec();
    match random.random_range(0..4) {
        0 => {
            for _ in 0..random.random_range(1..=200) {
                let at = random.random_range(0..mutant.len());
                mutant[at] = random.random();
            }
        }
        // Most of a container's structure is at its two ends.
        1 => {
            for _ in 0..random.random_range(1..=8) {
                let at = random.random_range(0..mutant.len().min(2_000));
                let at = if random.random() { at } else { mutant.len() - 1 - at };
                mutant[at] ^= 1 << random.random_range(0..8);
            }
        }
        2 => mutant.truncate(random.random_range(1..=video.len())),
        _ => {
            let from = random.random_range(0..video.len());
            let length = random.random_range(1..=5_000).min(video.len() - from);
            let at = random.random_range(0..video.len());
            mutant.splice(at..at, video[from..from + length].iter().copied());
        }
    }
    mutant
}

#[test]
fn random_damage_results_in_an_archive_or_an_error() {
    let clips = [
        "h264_no_b.mp4",
        "hevc_radl.mp4",
        "h264_open_gop.mkv",
        "vp9.webm",
        "av1.mkv",
        "mpeg4_bframes.avi",
        "mjpeg.avi",
        "wmv2.wmv",
        "flv1.flv",
        "h264.flv",
        "prores.mov",
        "palette.mov",
    ];
    let videos = clips.map(|clip| {
        (clip, std::fs::read(fixture(&format!("good/{clip}"))).expect("the clip can be read"))
    });
    let seed = story_seed();
    let seeds: Vec<u64> = (0..60).map(|case| seed.wrapping_add(case)).collect();
    check_all(&seeds, |seed| {
        let (clip, video) = &videos[(seed % videos.len() as u64) as usize];
        expect_harmless(clip, mutate(video, &mut StdRng::seed_from_u64(*seed)))
    });
}

/// Inputs that once caused a failure in fuzzing.
#[test]
fn inputs_that_fuzzing_found_are_harmless() {
    let inputs = root().join("tests/fuzz/inputs/extract");
    let inputs = paths(&inputs);
    assert!(!inputs.is_empty());
    check_all(&inputs, |input| {
        expect_harmless(&file_name(input), std::fs::read(input).map_err(|error| error.to_string())?)
    });
}

/// Check that a video results in a consistent archive or an error that describes the video, in time
/// and without a panic.
fn expect_harmless(name: &str, video: Vec<u8>) -> Result<(), String> {
    let limits =
        Limits { max_side: 2_048, max_pixels: 2_000_000, max_frames: 500, ..Limits::default() };
    let options = Options {
        limits,
        stop: Stop::at(Instant::now() + Duration::from_secs(30)),
        ..Options::default()
    };
    let result = with_timeout(name, move || {
        std::panic::catch_unwind(AssertUnwindSafe(|| extract_from(Cursor::new(video), &options)))
            .map_err(panic_message)
    });
    match result.map_err(|message| format!("{name}: a panic: {message}"))? {
        Ok(archive) => {
            let manifest = Archive::read(archive)?.manifest;
            let (expected, written) = (manifest["expected"].as_u64(), manifest["written"].as_u64());
            let missing = manifest["missing"].as_array().ok_or("no list of what is missing")?;
            let length = |range: &serde_json::Value| {
                Some(range["last_number"].as_u64()? + 1 - range["first_number"].as_u64()?)
            };
            expect_equal(
                name,
                missing.iter().filter_map(length).sum::<u64>() + written.unwrap_or(0),
                expected.unwrap_or(0),
            )
        }
        // The storage works, and nothing cancels the extraction or takes long.
        Err(
            error @ (frames::Error::Read(_)
            | frames::Error::Write(_)
            | frames::Error::Cancelled
            | frames::Error::Timeout),
        ) => Err(format!("{name}: {error} [{}]", error.code())),
        Err(_) => Ok(()),
    }
}
