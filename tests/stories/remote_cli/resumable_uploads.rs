//! Uploads that continue, at the tus server of the protocol's authors.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::clip;
use super::command::{Terminal, interrupt};
use crate::harness::checks::eventually;
use crate::harness::clips::{LONG, clip_bytes, paths, scratch};
use crate::harness::line::{Direction, Fault, Line};
use crate::harness::programs::{npm_packages, root, tool};

/// Id of the job that each upload becomes.
const JOB: &str = "0190a000-0000-7000-8000-0000000000aa";

/// Files of the server.
const SOURCES: &str = "tests/contract/clients";

/// A tus server in Node.js, which stores uploads in a directory.
struct TusServer {
    directory: TempDir,
    process: Child,
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl TusServer {
    /// Start the server.
    fn start() -> Self {
        let directory = scratch();
        let path = |name: &str| directory.path().join(name);
        let modules = npm_packages(SOURCES, "generated-clients");
        symlink(modules, path("node_modules")).expect("the modules can be linked");
        let script = path("tus-server.mjs");
        std::fs::copy(root().join(SOURCES).join("tus-server.mjs"), &script)
            .expect("it can be copied");
        std::fs::create_dir(path("uploads")).expect("it can be created");
        let mut command = tool("node");
        command.arg(script).arg(path("uploads")).arg(JOB).stdout(Stdio::piped());
        let mut process = command.spawn().expect("node can be started");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let url = lines.next().expect("a line").expect("it is text");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().push(line);
            }
        });
        Self { directory, process, url, requests }
    }

    /// Methods and offsets of the requests since the last call, without that for capabilities.
    fn requests(&self) -> Vec<String> {
        let mut requests = std::mem::take(&mut *self.requests.lock());
        requests.retain(|request| request != "OPTIONS");
        requests
    }

    /// Files of the uploads, without their descriptions.
    fn uploads(&self) -> Vec<PathBuf> {
        let mut files = paths(&self.directory.path().join("uploads"));
        files.retain(|file| file.extension().is_none());
        files
    }
}

impl Drop for TusServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Assert that requests begin one upload, and continue it after some bytes.
#[track_caller]
fn assert_continued(requests: &[String], expected: &[&str]) {
    let shown: Vec<&str> = requests
        .iter()
        .map(|request| match request.strip_prefix("PATCH ") {
            Some("0") => "PATCH 0",
            Some(_) => "PATCH n",
            None => request,
        })
        .collect();
    assert_eq!(shown, expected, "{requests:?}");
}

/// Records of unfinished uploads.
fn records(terminal: &Terminal) -> Vec<PathBuf> {
    let directory = terminal.directory().join("config/state/fiapx/uploads");
    if directory.is_dir() { paths(&directory) } else { Vec::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_continues_after_a_lost_connection() {
    let server = TusServer::start();
    let line = Line::to(&server.url).await;
    let terminal = Terminal::at(line.url()).with_key("fx_any");
    line.fail(Direction::Up, 200 << 10, Fault::Cut);
    let [accepted] = &terminal.json(&["upload", &clip(LONG)])[..] else { panic!("one job") };
    assert_eq!([&accepted["job_id"], &accepted["filename"]], [JOB, "240_frames.mp4"]);
    assert!(line.has_failed());
    assert_continued(&server.requests(), &["POST", "HEAD", "PATCH 0", "HEAD", "PATCH n"]);
    let [upload] = &server.uploads()[..] else { panic!("one upload") };
    assert!(std::fs::read(upload).expect("it exists") == clip_bytes(LONG), "other bytes");
    assert_eq!(records(&terminal), [""; 0].map(PathBuf::from));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_command_continues_an_upload() {
    let server = TusServer::start();
    let line = Line::to(&server.url).await;
    let terminal = Terminal::at(line.url()).with_key("fx_any");
    let file = terminal.directory().join("long.mp4");
    std::fs::copy(clip(LONG), &file).expect("it can be copied");
    let upload = ["upload", "long.mp4"];
    let interrupted = async || {
        line.fail(Direction::Up, 200 << 10, Fault::Stall);
        let process = terminal.start(&upload);
        eventually("some bytes are stored", async || {
            let is_stored = |file: &PathBuf| {
                let size = file.metadata().map_or(0, |file| file.len());
                (1..clip_bytes(LONG).len() as u64).contains(&size)
            };
            (line.has_failed() && server.uploads().iter().any(is_stored)).then_some(())
        })
        .await;
        assert_eq!(interrupt(process, "INT").0, Some(130));
    };
    interrupted().await;
    assert_continued(&server.requests(), &["POST", "HEAD", "PATCH 0"]);
    assert_eq!(records(&terminal).len(), 1);
    assert_eq!(terminal.json(&upload)[0]["job_id"], JOB);
    assert_continued(&server.requests(), &["HEAD", "PATCH n"]);
    assert_eq!(records(&terminal).len(), 0);
    let stored = std::fs::read(&server.uploads()[0]).expect("it exists");
    assert!(stored == clip_bytes(LONG), "other bytes");

    // Another recipe, or another content, is another upload.
    interrupted().await;
    server.requests();
    assert_eq!(terminal.json(&["upload", "long.mp4", "--every", "2"])[0]["job_id"], JOB);
    assert_continued(&server.requests(), &["POST", "HEAD", "PATCH 0"]);
    let mut changed = clip_bytes(LONG);
    changed.push(0);
    std::fs::write(&file, &changed).expect("it can be written");
    assert_eq!(terminal.json(&upload)[0]["job_id"], JOB);
    assert_continued(&server.requests(), &["POST", "HEAD", "PATCH 0"]);
    assert_eq!(records(&terminal).len(), 1, "that of the first content");

    // One that has expired begins again.
    interrupted().await;
    server.requests();
    for file in paths(&server.directory.path().join("uploads")) {
        std::fs::remove_file(file).expect("it can be deleted");
    }
    assert_eq!(terminal.json(&upload)[0]["job_id"], JOB);
    assert_continued(&server.requests(), &["HEAD", "POST", "HEAD", "PATCH 0"]);
    assert!(std::fs::read(&server.uploads()[0]).expect("it exists") == changed, "other bytes");
}
