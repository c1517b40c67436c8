//! Control of a server: the operations that all servers have in common.

use std::path::{Path, PathBuf};

use crate::directory::Directory;
use crate::disk;
use crate::process::{Process, Program};

/// Expectation of the operations that need a running server.
const EXPECT_RUNNING: &str = "the server is running";

/// A server that can be stopped and started again with the same port and directory.
#[derive(Debug)]
pub(crate) struct Server {
    // Declared first, so that the process ends before its directory is removed.
    process: Option<Process>,
    pub(crate) port: u16,
    pub(crate) directory: Directory,
}

impl Server {
    /// Reserve a port and a directory for a server, which is not started yet.
    pub(crate) fn new(name: &str) -> Self {
        Self { process: None, port: crate::port::free(), directory: Directory::new(name) }
    }

    /// Like [`new`](Self::new), with a directory on a file system of its own of this size in MiB.
    pub(crate) fn on_disk(name: &str, mib: usize) -> Self {
        let server = Self::new(name);
        disk::mount(server.directory(), mib);
        server
    }

    /// Directory of all its data.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Start the program and wait until it is ready. It receives `end_signal` when the test process
    /// ends.
    ///
    /// # Panics
    /// The server is running, or it does not start.
    pub(crate) fn start(
        &mut self,
        program: &Program,
        end_signal: &str,
        ready: impl FnMut() -> bool,
    ) {
        self.assert_stopped();
        let process = self.process.insert(program.start(end_signal, &self.log_path()));
        process.wait_until(ready);
    }

    /// Send a signal and wait until the process has ended.
    ///
    /// # Panics
    /// The server is not running, or it does not stop.
    pub(crate) fn stop(&mut self, signal: &str) {
        self.process.take().expect(EXPECT_RUNNING).stop(signal);
    }

    /// Send a signal.
    ///
    /// # Panics
    /// The server is not running.
    pub(crate) fn signal(&self, signal: &str) {
        self.process.as_ref().expect(EXPECT_RUNNING).signal(signal);
    }

    /// Send a signal to the server and its child processes.
    ///
    /// # Panics
    /// The server is not running.
    pub(crate) fn signal_family(&self, signal: &str) {
        self.process.as_ref().expect(EXPECT_RUNNING).signal_family(signal);
    }

    /// # Panics
    /// The server is running.
    pub(crate) fn assert_stopped(&self) {
        assert!(self.process.is_none(), "the server must be stopped");
    }

    /// Whether the server has ended although nobody stopped it. It can be started again then.
    pub(crate) fn has_ended(&mut self) -> bool {
        let ended = self.process.as_mut().is_some_and(Process::has_ended);
        if ended {
            self.process = None;
        }
        ended
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Path of the log, which contains the output of the process.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

/// Implements what all types with the field `server: Server` have in common.
macro_rules! supervision_methods {
    () => {
        /// Start the server again if it has ended by itself, as a supervisor does. Returns whether
        /// it had.
        ///
        /// # Panics
        /// It does not start.
        pub fn start_if_ended(&mut self) -> bool {
            let ended = self.server.has_ended();
            if ended {
                self.start_again();
            }
            ended
        }

        /// Directory of all its data.
        #[must_use]
        pub fn directory(&self) -> &std::path::Path {
            self.server.directory()
        }
    };
}

/// Implements the operations of a type with the field `server: Server`.
macro_rules! control_methods {
    () => {
        $crate::server::supervision_methods!();

        /// Stop the server like an operator.
        ///
        /// # Panics
        /// The server is not running.
        pub fn stop(&mut self) {
            self.server.stop("TERM");
        }

        /// Kill the server, without giving it time to clean up.
        ///
        /// # Panics
        /// The server is not running.
        pub fn kill(&mut self) {
            self.server.stop("KILL");
        }

        /// Suspend the server, like a machine that hangs; its connections stay open.
        ///
        /// # Panics
        /// The server is not running.
        pub fn pause(&self) {
            self.server.signal("STOP");
        }

        /// Continue after a [pause](Self::pause).
        ///
        /// # Panics
        /// The server is not running.
        pub fn resume(&self) {
            self.server.signal("CONT");
        }
    };
}

pub(crate) use {control_methods, supervision_methods};
