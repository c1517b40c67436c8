//! Files that mean harm get nothing: no crash, no memory, no other file, no connection.

use std::collections::BTreeSet;
use std::io::{Cursor, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use frames::{Limits, Options, Stop};

use crate::harness::{
    Archive, Run, clips, each, extract_from, fiapx, file_name, fixture, listing, reason, root, run,
    same, scratch, single_line, tool, within,
};

const SUFFIXES: [&str; 7] = ["mp4", "mov", "mkv", "webm", "avi", "wmv", "flv"];
/// Bytes of address space that any broken file has to make do with. It covers the libraries, two
/// threads and one large picture.
const MEMORY: &str = "1500000000";
/// Seconds that a broken file may take, with room for a busy machine.
const SECONDS: &str = "20";

/// Run the command on a file with bounded time and memory; also gives the names of what is left
/// where the archive should go.
fn attempt(file: &Path) -> (Run, Vec<String>) {
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
    (run, listing(directory.path()))
}

/// The command has to refuse a file in one line that ends in a code, and to leave nothing. Gives
/// the code.
fn refused(file: &Path) -> Result<String, String> {
    let (run, left) = attempt(file);
    same("exit code", run.code, Some(1))?;
    same("standard output", run.stdout.len(), 0)?;
    same("files left", left, Vec::new())?;
    let line = single_line(&run)?;
    let code = line.strip_suffix(']').and_then(|line| Some(line.rsplit_once(" [")?.1));
    code.map(str::to_owned).ok_or_else(|| format!("no code at the end of {line:?}"))
}

#[test]
fn broken_files_are_refused_with_a_code() {
    let expected = |name: &str| match name {
        "audio_only.mp4" | "cover_art_only.mp4" => "NO_VIDEO_STREAM",
        "empty.mp4" => "EMPTY_FILE",
        "four_bytes.avi" | "noise.mp4" | "program.mp4" => "UNSUPPORTED_CONTAINER",
        "picture_bomb.avi" => "PICTURE_TOO_LARGE",
        _ => "VIDEO_DAMAGED",
    };
    each(&clips("broken"), |clip| {
        same("code", refused(clip)?.as_str(), expected(&file_name(clip)))
    });
}

/// The guard above would be no proof if no video could pass it.
#[test]
fn good_files_make_do_with_the_memory_of_broken_ones() {
    let (run, left) = attempt(&fixture("good/seventy_seconds.mp4"));
    assert_eq!((run.code, left), (Some(0), vec!["archive.zip".to_owned()]), "{}", run.stderr);
}

#[test]
fn playlists_reach_neither_the_network_nor_other_files() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.set_nonblocking(true).expect("the listener can be asked");
    let address = listener.local_addr().expect("the listener has an address");
    let directory = scratch();
    let canary = directory.path().join("canary.mp4");
    std::fs::copy(fixture("good/h264_aac.mp4"), &canary).expect("the clip can be copied");
    let canary = canary.display();
    let playlists = [
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nhttp://{address}/a.ts\n#EXTINF:6,\nfile://{canary}\n#EXT-X-ENDLIST\n"
        ),
        format!("ffconcat version 1.0\nfile 'http://{address}/a.mp4'\nfile '{canary}'\n"),
        format!("ffconcat version 1.0\nfile '{canary}'\n"),
        format!(
            "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT6S\"><Period>\
             <AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\"><BaseURL>http://{address}/a.mp4</BaseURL></Representation>\
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
            std::fs::write(&file, playlist).expect("there is room");
            files.push(file);
        }
    }
    each(&files, |file| same("code", refused(file)?.as_str(), "UNSUPPORTED_CONTAINER"));
    // Connections wait in the kernel until they are accepted, so one that was made is seen even
    // now.
    let knocked = listener.accept().map(|(_, from)| from).map_err(|error| error.kind());
    assert_eq!(knocked, Err(ErrorKind::WouldBlock));
    let _own = TcpStream::connect(address).expect("the listener is there");
    assert!(listener.accept().is_ok(), "the listener would not have seen a connection");
}

/// What a program opens or asks after by name, and its calls that have to do with the network.
fn traced(program: &mut Command) -> (Run, BTreeSet<PathBuf>, Vec<String>) {
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
        let Some((call, arguments)) =
            line.split_once(' ').and_then(|(_, call)| call.trim_start().split_once('('))
        else {
            continue;
        };
        let calls = [
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
        if calls.iter().any(|network| call.starts_with(network)) {
            network.push(line.to_owned());
        } else if call.starts_with("exec") {
            // Its arguments are no paths that are opened; what it runs is the program itself.
        } else {
            paths.extend(arguments.split('"').skip(1).step_by(2).map(PathBuf::from));
        }
    }
    assert!(!paths.is_empty(), "strace saw nothing");
    (run, paths, network)
}

/// Trace the command on a file: it may open that file, its output and what it opens for `--version`
/// too, which are its libraries.
fn opens_nothing_else(file: &Path) -> Result<Run, String> {
    let directory = scratch();
    let (_, at_start, _) = traced(fiapx().arg("--version"));
    let (run, paths, network) = traced(
        fiapx().arg("extract").arg(file).arg("-o").arg(directory.path().join("archive.zip")),
    );
    let kernel = ["/proc/self/cgroup", "/proc/self/mountinfo", "/sys/fs/cgroup"];
    let allowed = |path: &Path| {
        at_start.contains(path)
            || path == file
            || path.starts_with(directory.path())
            || kernel.iter().any(|place| path.starts_with(place))
    };
    let others: Vec<_> = paths.iter().filter(|path| !allowed(path)).collect();
    same("other files", others, Vec::new())?;
    same("calls to the network", network, Vec::new())?;
    same("the video is opened", paths.contains(file), true)?;
    Ok(run)
}

#[test]
fn only_the_video_is_opened() {
    let noise = ["noise.mp4", "noise_in_mp4.mp4", "noise_in_mkv.mkv", "noise_in_flv.flv"]
        .map(|name| format!("broken/{name}"));
    let clips = ["good/h264_aac.mp4", "good/wmv2.wmv"]
        .map(str::to_owned)
        .into_iter()
        .chain(noise)
        .map(|clip| fixture(&clip));
    each(&clips.collect::<Vec<_>>(), |clip| opens_nothing_else(clip).map(drop));
}

/// Put `entry` in place of a video's first data reference (ISO/IEC 14496-12, 8.7.2). The index has
/// to stand behind the pictures, whose places then stay the same.
fn with_reference(video: &[u8], entry: &[u8]) -> Vec<u8> {
    let size = |bytes: &[u8], at: usize| {
        u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
    };
    let (mut patched, mut at, mut end) = (video.to_vec(), 0, video.len());
    let mut around = Vec::new();
    for name in [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"] {
        while &video[at + 4..at + 8] != name {
            at += size(video, at);
            assert!(at < end, "no box {name:?}");
        }
        around.push(at);
        end = at + size(video, at);
        at += 8;
    }
    assert_eq!(
        end,
        at + 8 + 12,
        "more than the one reference that says that the pictures are in this file"
    );
    for start in around {
        let grown = (size(video, start) + entry.len() - 12) as u32;
        patched[start..start + 4].copy_from_slice(&grown.to_be_bytes());
    }
    patched.splice(at + 8..end, entry.iter().copied());
    patched
}

/// A box of this type; version and flags are zero, so it says that the data lies elsewhere.
fn reference(kind: &str, content: &[u8]) -> Vec<u8> {
    [&(12 + content.len() as u32).to_be_bytes(), kind.as_bytes(), &[0; 4], content].concat()
}

/// A Macintosh alias record as QuickTime stores it, of which libav reads the two counts of levels
/// and the path (libavformat/mov.c).
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
    let video = std::fs::read(fixture("good/h264_no_b.mp4")).expect("the clip is there");
    let url = reference("url ", format!("file://{}\0", canary.display()).as_bytes());
    let [by_url, by_alias] =
        [("url.mp4", url), ("alias.mov", alias(&canary))].map(|(name, entry)| {
            let file = directory.path().join(name);
            std::fs::write(&file, with_reference(&video, &entry)).expect("there is room");
            file
        });
    for file in [&by_url, &by_alias] {
        let run = opens_nothing_else(file).expect("only the video is opened");
        assert!(matches!(run.code, Some(0 | 1)), "{}: {run:?}", file.display());
    }
    // The bait is real: libav goes after it where it is told to.
    let mut careless = tool("ffmpeg");
    careless
        .args(["-v", "error", "-enable_drefs", "1", "-use_absolute_path", "1", "-i"])
        .arg(&by_alias)
        .args(["-f", "null", "-"]);
    let (_, paths, _) = traced(&mut careless);
    assert!(
        paths.iter().any(|path| path.to_string_lossy().contains("canary")),
        "the reference to {} is none",
        canary.display()
    );
}

/// A small multiplicative generator (Lehmer, MINSTD) keeps the cases the same on every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0 * 48_271 % 2_147_483_647;
        self.0 as usize % limit
    }
}

/// Damage a video in one of the ways in which files come to harm.
fn mutate(video: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut mutant = video.to_vec();
    match dice.below(4) {
        0 => {
            for _ in 0..=dice.below(200) {
                let at = dice.below(mutant.len());
                mutant[at] = dice.below(256) as u8;
            }
        }
        // Most structure lies at the two ends.
        1 => {
            for _ in 0..=dice.below(8) {
                let at = dice.below(mutant.len().min(2_000));
                let at = if dice.below(2) == 0 { at } else { mutant.len() - 1 - at };
                mutant[at] ^= 1 << dice.below(8);
            }
        }
        2 => mutant.truncate(1 + dice.below(video.len())),
        _ => {
            let from = dice.below(video.len());
            let block = &video[from..video.len().min(from + 1 + dice.below(5_000))];
            let at = dice.below(video.len());
            mutant.splice(at..at, block.iter().copied());
        }
    }
    mutant
}

#[test]
fn damage_of_any_kind_ends_in_an_archive_or_an_error() {
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
        (clip, std::fs::read(fixture(&format!("good/{clip}"))).expect("the clip is there"))
    });
    each(&(0..60).collect::<Vec<u64>>(), |case| {
        let (clip, video) = &videos[*case as usize % videos.len()];
        harmless(clip, mutate(video, &mut Dice(case + 1)))
    });
}

/// What fuzzing has found is kept, so that it is found no more.
#[test]
fn what_once_did_harm_does_none() {
    let inputs = root().join("tests/fuzz/inputs/extract");
    let inputs: Vec<PathBuf> = inputs
        .read_dir()
        .expect("they are there")
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    assert!(!inputs.is_empty());
    each(&inputs, |input| {
        harmless(&file_name(input), std::fs::read(input).map_err(|error| error.to_string())?)
    });
}

/// A video ends in an archive that adds up, or in an error that is its own fault; soon, and without
/// a panic.
fn harmless(name: &str, video: Vec<u8>) -> Result<(), String> {
    let limits =
        Limits { max_side: 2_048, max_pixels: 2_000_000, max_frames: 500, ..Limits::default() };
    let options = Options {
        limits,
        stop: Stop::at(Instant::now() + Duration::from_secs(30)),
        ..Options::default()
    };
    let result = within(name, move || {
        std::panic::catch_unwind(AssertUnwindSafe(|| extract_from(Cursor::new(video), &options)))
            .map_err(reason)
    });
    match result.map_err(|reason| format!("{name}: a panic: {reason}"))? {
        Ok(archive) => {
            let manifest = Archive::read(archive)?.manifest;
            let (expected, written) = (manifest["expected"].as_u64(), manifest["written"].as_u64());
            let missing = manifest["missing"].as_array().ok_or("no list of what is missing")?;
            let length = |range: &serde_json::Value| {
                Some(range["last_number"].as_u64()? + 1 - range["first_number"].as_u64()?)
            };
            same(
                name,
                missing.iter().filter_map(length).sum::<u64>() + written.unwrap_or(0),
                expected.unwrap_or(0),
            )
        }
        // Neither the memory nor the storage has failed, and nobody has cancelled: the fault is the
        // file's.
        Err(
            error @ (frames::Error::Read(_)
            | frames::Error::Write(_)
            | frames::Error::Cancelled
            | frames::Error::Timeout),
        ) => Err(format!("{name}: {error} [{}]", error.code())),
        Err(_) => Ok(()),
    }
}
