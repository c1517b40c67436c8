//! Processes with mounts or a network of their own, which no other process sees.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::programs::{output, run, tool};

/// What a process has for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// The right to mount file systems.
    Mounts,
    /// Network interfaces, at first only the loopback interface, and the right to add some.
    Network,
}

impl Own {
    /// Variable that is set in such a process.
    fn variable(self) -> &'static str {
        match self {
            Self::Mounts => "STORY_WITH_MOUNTS",
            Self::Network => "STORY_WITH_NETWORK",
        }
    }

    /// Arguments of unshare(1), for root and for everybody, who may do it in a user namespace.
    /// Servers refuse to run as root, which the user is only for mounts.
    fn ways(self) -> [&'static [&'static str]; 2] {
        match self {
            Self::Mounts => [&["--mount"], &["--user", "--map-root-user", "--mount"]],
            Self::Network => {
                [&["--net"], &["--user", "--map-current-user", "--keep-caps", "--net"]]
            }
        }
    }
}

/// Run a story, by its full name, in a process with something of its own. Returns `true` in that
/// process. In the other one, starts it, checks that the story succeeds there, and returns `false`.
pub fn has_own(own: Own, story: &str) -> bool {
    if std::env::var_os(own.variable()).is_some() {
        if own == Own::Network {
            output(tool("ip").args(["link", "set", "lo", "up"])).expect("it is in the namespace");
        }
        return true;
    }
    let is_possible = |way: &&[&str]| run(tool("unshare").args(*way).arg("true")).code == Some(0);
    let way = own.ways().into_iter().find(is_possible).unwrap_or_else(|| {
        panic!("{story} needs {own:?} of its own: run it as root, or allow user namespaces")
    });
    let program = std::env::current_exe().expect("the program of the tests is known");
    let mut command = tool("unshare");
    command.args(way).arg(program).args(["--exact", story, "--nocapture"]).env(own.variable(), "1");
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
pub fn can_mount_for_servers() -> bool {
    run(tool("unshare").args(["--mount", "true"])).code == Some(0)
}
