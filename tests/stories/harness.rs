//! What the stories share: clips, the command, the library, archives and other programs.

use std::fmt::Debug;
use std::io::{Cursor, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use frames::Options;
use jobs::Recipe;
use jobs::recipe::Selection;
use serde_json::Value;

/// Longest time that a program or a step may take before it counts as hanging. No story comes near
/// it.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in the repository")
        .to_owned()
}

/// Directory of the clips, which are made on the first call.
pub fn fixtures() -> &'static Path {
    static FIXTURES: OnceLock<PathBuf> = OnceLock::new();
    FIXTURES.get_or_init(|| {
        for needed in ["ffmpeg", "perl", "flock"] {
            tool(needed);
        }
        let directory = root().join("target/fixtures");
        let made = Command::new(root().join("fixtures/make.sh"))
            .arg(&directory)
            .stdin(Stdio::null())
            .output();
        let made = made.expect("fixtures/make.sh can be started");
        assert!(
            made.status.success(),
            "fixtures/make.sh failed: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        directory
    })
}

/// A clip by its path under the fixtures.
pub fn fixture(path: &str) -> PathBuf {
    let clip = fixtures().join(path);
    assert!(clip.is_file(), "fixtures/make.sh does not make {path}");
    clip
}

/// All clips of a directory of the fixtures, in the order of their names.
pub fn clips(directory: &str) -> Vec<PathBuf> {
    let entries = fixtures().join(directory).read_dir().expect("the fixtures are there");
    let mut clips: Vec<PathBuf> =
        entries.map(|entry| entry.expect("the directory can be read").path()).collect();
    clips.retain(|clip| !file_name(clip).starts_with('.'));
    clips.sort();
    assert!(!clips.is_empty(), "there are no clips under {directory}");
    clips
}

/// Last part of a path.
pub fn file_name(path: &Path) -> String {
    path.file_name().expect("a file has a name").to_string_lossy().into_owned()
}

/// Run `check` on every item, two at a time, and fail with all the complaints at the end.
pub fn each<T: Sync + Debug>(items: &[T], check: impl Fn(&T) -> Result<(), String> + Sync) {
    let (next, complaints) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(complaint) = check(item) {
                        complaints
                            .lock()
                            .expect("no check panics")
                            .push(format!("{item:?}: {complaint}"));
                    }
                }
            });
        }
    });
    let complaints = complaints.into_inner().expect("no check panics");
    assert!(
        complaints.is_empty(),
        "{} of {} fail:\n{}",
        complaints.len(),
        items.len(),
        complaints.join("\n")
    );
}

/// Fails the check that it is called in unless both sides are equal.
#[expect(
    clippy::needless_pass_by_value,
    reason = "most callers have no further use for what they compare"
)]
pub fn same<T: PartialEq + Debug>(what: &str, ours: T, theirs: T) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: ours {ours:?}, expected {theirs:?}")) }
}

/// Run `work` on a thread of its own and fail if it does not come to an end.
pub fn within<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let worker = std::thread::spawn(move || sender.send(work()));
    match receiver.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{name} hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            panic!("{name} panics: {:?}", worker.join().err().map(reason))
        }
    }
}

/// What a panic said.
pub fn reason(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().unwrap_or(&"no reason given").to_string(),
    }
}

/// Wait until `condition` gives something; fail if it never does.
pub fn poll<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Options with another interval between the pictures.
pub fn every(num: i64, den: i64) -> Options {
    let interval = format!("{num}/{den}").parse().expect("a valid interval");
    let recipe = Recipe { select: Selection::Every(interval), ..Recipe::default() };
    Options { recipe, ..Options::default() }
}

/// Options with another number of threads.
pub fn threads(number: usize) -> Options {
    Options {
        threads: NonZeroUsize::new(number).expect("a number of threads"),
        ..Options::default()
    }
}

/// The archive that the library makes of a clip.
pub fn extract(clip: &Path, options: &Options) -> Result<Vec<u8>, frames::Error> {
    let source = std::fs::File::open(clip).map_err(frames::Error::Read)?;
    extract_from(source, options)
}

/// The archive that the library makes of anything.
pub fn extract_from(
    source: impl frames::source::Source,
    options: &Options,
) -> Result<Vec<u8>, frames::Error> {
    let mut archive = Vec::new();
    frames::extract(source, &mut archive, options, |_| {})?;
    Ok(archive)
}

/// The library's archive of a clip that has to give one, opened.
pub fn open(clip: &Path, options: &Options) -> Result<Archive, String> {
    Archive::read(extract(clip, options).map_err(|error| format!("{error} [{}]", error.code()))?)
}

/// An archive, read by a program that is not ours.
#[derive(Debug)]
pub struct Archive {
    /// The file itself.
    pub bytes: Vec<u8>,
    /// Names and contents of the entries but the manifest, in their order.
    pub pictures: Vec<(String, Vec<u8>)>,
    /// The manifest, which has to be the last entry.
    pub manifest: Value,
}

impl Archive {
    /// Read all entries.
    pub fn read(bytes: Vec<u8>) -> Result<Self, String> {
        let mut archive =
            zip::ZipArchive::new(Cursor::new(&bytes)).map_err(|error| error.to_string())?;
        let mut pictures = Vec::new();
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(|error| error.to_string())?;
            let name = entry.name().map_err(|error| error.to_string())?.into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(|error| format!("{name}: {error}"))?;
            pictures.push((name, content));
        }
        let (name, manifest) = pictures.pop().ok_or("the archive is empty")?;
        same("last entry", name.as_str(), "manifest.json")?;
        let manifest = serde_json::from_slice(&manifest).map_err(|error| error.to_string())?;
        Ok(Self { bytes, pictures, manifest })
    }

    /// What the manifest says of the pictures.
    pub fn images(&self) -> &[Value] {
        self.manifest["frames"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// A decoded PNG.
#[derive(Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// libav's name of the layout of `bytes`.
    pub layout: &'static str,
    /// The rows one after another.
    pub bytes: Vec<u8>,
}

impl Pixels {
    /// Decode a PNG as it is; only palettes and single bits become bytes, for want of a raw format
    /// to compare them in.
    pub fn of(png: &[u8]) -> Result<Self, String> {
        use png::{BitDepth, ColorType, Transformations};
        let decode = |transformations| -> Result<_, png::DecodingError> {
            let mut decoder = png::Decoder::new(Cursor::new(png));
            decoder.set_transformations(transformations);
            let mut reader = decoder.read_info()?;
            let mut bytes = vec![0; reader.output_buffer_size().unwrap_or(0)];
            let frame = reader.next_frame(&mut bytes)?;
            bytes.truncate(frame.buffer_size());
            Ok((
                frame.width,
                frame.height,
                (reader.info().color_type, reader.info().bit_depth),
                bytes,
            ))
        };
        let mut decoded = decode(Transformations::IDENTITY).map_err(|error| error.to_string())?;
        let (layout, transformations) = match decoded.2 {
            (ColorType::Rgb, BitDepth::Eight) => ("rgb24", None),
            (ColorType::Rgb, BitDepth::Sixteen) => ("rgb48be", None),
            (ColorType::Rgba, BitDepth::Eight) => ("rgba", None),
            (ColorType::Rgba, BitDepth::Sixteen) => ("rgba64be", None),
            (ColorType::Grayscale, BitDepth::Eight) => ("gray", None),
            (ColorType::Grayscale, BitDepth::Sixteen) => ("gray16be", None),
            (ColorType::GrayscaleAlpha, BitDepth::Eight) => ("ya8", None),
            (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => ("ya16be", None),
            (ColorType::Grayscale, BitDepth::One) => ("gray", Some(Transformations::EXPAND)),
            (ColorType::Indexed, _) => {
                ("rgba", Some(Transformations::EXPAND | Transformations::ALPHA))
            }
            other => return Err(format!("a PNG of {other:?}")),
        };
        if let Some(transformations) = transformations {
            decoded = decode(transformations).map_err(|error| error.to_string())?;
        }
        let (width, height, _, bytes) = decoded;
        Ok(Self { width, height, layout, bytes })
    }
}

/// How a program ended.
#[derive(Debug)]
pub struct Run {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it complained about.
    pub stderr: String,
}

/// Run a program to its end; one that hangs is killed, and then has no exit code.
pub fn run(command: &mut Command) -> Run {
    let mut bounded = Command::new("timeout");
    bounded
        .arg("--signal=KILL")
        .arg(PATIENCE.as_secs().to_string())
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        bounded.current_dir(directory);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bounded.env(name, value),
            None => bounded.env_remove(name),
        };
    }
    let output =
        bounded.stdin(Stdio::null()).output().expect("timeout (package coreutils) can be started");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Run { code: output.status.code(), stdout: output.stdout, stderr }
}

/// The command `fiapx`, which lies beside the directory of the test's executable.
pub fn fiapx() -> Command {
    Command::new(program())
}

/// Where that command lies.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let command =
        test.ancestors().nth(2).expect("the test lies in a profile's directory").join("fiapx");
    assert!(
        command.is_file(),
        "{} is missing: build it with `cargo build --package app`",
        command.display()
    );
    command
}

/// Another program; fails with the name of its Debian package if it is missing.
pub fn tool(name: &str) -> Command {
    let package = match name {
        "ffmpeg" | "ffprobe" => "ffmpeg",
        "unzip" => "unzip",
        "7z" => "p7zip-full",
        "bsdtar" => "libarchive-tools",
        "curl" => "curl",
        "python3" => "python3",
        "strace" => "strace",
        "perl" => "perl",
        "prlimit" | "flock" => "util-linux",
        "mkfifo" => "coreutils",
        "sqlite3" => "sqlite3",
        "psql" => "postgresql-client",
        "chromium" => "chromium",
        "chromedriver" => "chromium-driver",
        "npm" => "npm",
        other => panic!("no package is known for {other}"),
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
    assert!(found, "the command {name} is missing: install the Debian package {package}");
    Command::new(name)
}

/// The modules of a package from npm, in a directory of its own that is made if it is missing.
pub fn npm_package(name: &str, version: &str) -> PathBuf {
    let directory = root().join(format!("target/{name}-{version}"));
    let modules = directory.join("node_modules");
    // Two at once would step on each other, and one that was stopped leaves half of it.
    let whole = directory.join("whole");
    if !whole.is_file() {
        let mut install = tool("flock");
        tool("npm");
        std::fs::create_dir_all(&directory).expect("there is room");
        install.arg(&directory).args([
            "npm",
            "install",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--silent",
            "--prefix",
        ]);
        output(install.arg(&directory).arg(format!("{name}@{version}")))
            .expect("needs the Debian package npm, and its registry once");
        std::fs::write(whole, "").expect("there is room");
    }
    modules
}

/// Standard output of a program that has to succeed.
pub fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    let run = run(command);
    if run.code == Some(0) {
        Ok(run.stdout)
    } else {
        Err(format!("{command:?} ends with {:?}: {}", run.code, run.stderr))
    }
}

/// What the ffmpeg command writes to standard output for a clip; `arguments` stand behind the
/// input.
pub fn ffmpeg(clip: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    output(
        tool("ffmpeg").args(["-v", "error", "-nostdin", "-i"]).arg(clip).args(arguments).arg("-"),
    )
}

/// The pictures that the ffmpeg command takes of a clip, one after another, in the layout that it
/// would write to a PNG. Where it takes none, the first picture.
pub fn oracle(clip: &Path, rate: &str, layout: &str) -> Result<Vec<u8>, String> {
    let raw = ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", layout];
    let taken = ffmpeg(clip, &[&["-vf", &format!("fps={rate}")], raw.as_slice()].concat())?;
    if taken.is_empty() {
        ffmpeg(clip, &[&["-frames:v", "1"], raw.as_slice()].concat())
    } else {
        Ok(taken)
    }
}

/// What ffprobe says of a clip, as JSON.
pub fn ffprobe(clip: &Path, arguments: &[&str]) -> Result<Value, String> {
    let json =
        output(tool("ffprobe").args(["-v", "error", "-of", "json"]).args(arguments).arg(clip))?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}

/// The one line that a failing command may write.
pub fn single_line(run: &Run) -> Result<&str, String> {
    let mut lines = run.stderr.lines();
    match (lines.next(), lines.next()) {
        (Some(line), None) if run.stderr.ends_with('\n') && line.starts_with("fiapx: ") => Ok(line),
        _ => Err(format!("not one line of ours on standard error: {:?}", run.stderr)),
    }
}

/// The names in a directory.
pub fn listing(directory: &Path) -> Vec<String> {
    let entries = directory.read_dir().expect("the directory is there");
    let mut names: Vec<String> =
        entries.map(|entry| file_name(&entry.expect("it can be read").path())).collect();
    names.sort();
    names
}

/// A directory for the files of one test, gone at its end.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("there is room for temporary files")
}
