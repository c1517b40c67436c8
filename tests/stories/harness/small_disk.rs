//! A small file system of its own, for a story that fills its disk.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::statvfs;

use super::programs::{run, tool};

/// Variable that is set in a process with mounts of its own.
const VARIABLE: &str = "STORY_WITH_MOUNTS";

/// Run a story, by its full name, in a process that may mount file systems which no other process
/// sees. Returns `true` in that process. In the other one, starts it, checks that the story
/// succeeds there, and returns `false`.
pub fn has_own_mounts(story: &str) -> bool {
    if std::env::var_os(VARIABLE).is_some() {
        return true;
    }
    // In a user namespace, everybody may mount.
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let is_possible = |way: &&[&str]| run(tool("unshare").args(*way).arg("true")).code == Some(0);
    let way = ways.into_iter().find(is_possible).expect(
        "this story mounts a small file system: run it as root with CAP_SYS_ADMIN, or allow user \
         namespaces",
    );
    let program = std::env::current_exe().expect("the program of the tests is known");
    let mut command = tool("unshare");
    command.args(way).arg(program).args(["--exact", story, "--nocapture"]).env(VARIABLE, "1");
    // Without a limit of time, so that the story can report what it waits for in vain.
    let mut child = command.stdout(Stdio::piped()).spawn().expect("unshare can be started");
    let lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
    let mut passed = false;
    for line in lines.map_while(Result::ok) {
        println!("{line}");
        passed |= line.contains("1 passed");
    }
    let status = child.wait().expect("it can be waited for");
    assert!(status.success() && passed, "{status}");
    false
}

/// Whether this user may mount file systems and run servers as other users there.
pub fn is_possible_for_servers() -> bool {
    run(tool("unshare").args(["--mount", "true"])).code == Some(0)
}

/// Free space of the file system of a directory, in bytes.
pub fn free_space(directory: &Path) -> u64 {
    let disk = statvfs(directory).expect("the file system responds");
    disk.blocks_available() * disk.fragment_size()
}

/// Occupy all of the space but `left` bytes with a file in the directory, at once.
pub fn fill(directory: &Path, name: &str, left: u64) {
    let file = File::create(directory.join(name)).expect("a file can be created");
    loop {
        let length = free_space(directory).saturating_sub(left);
        // Another process may write meanwhile.
        if fallocate(&file, FallocateFlags::empty(), 0, length as i64).is_ok() {
            return;
        }
    }
}

/// Bytes that a file occupies; 0 if it does not exist.
pub fn occupied(path: &Path) -> u64 {
    // `st_blocks` counts units of 512 bytes (stat(2)).
    path.metadata().map_or(0, |metadata| metadata.blocks() * 512)
}
