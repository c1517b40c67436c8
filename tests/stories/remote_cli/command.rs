//! The command with a home directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::client::User;
use crate::harness::clips::scratch;
use crate::harness::programs::{ProgramOutput, fiapx_path, run};

/// A user's terminal.
pub struct Terminal {
    home: TempDir,
    url: String,
    key: Option<String>,
}

impl Terminal {
    /// Terminal of a user who is not logged in, with the URL of a service in the environment.
    pub fn at(url: &str) -> Self {
        Self { home: scratch(), url: url.to_owned(), key: None }
    }

    /// Terminal with an API key of a user in the environment.
    pub async fn of(user: &User<'_>) -> Self {
        let key = user.create_key(&["videos:read", "videos:write"]).await;
        Self { key: Some(key.key), ..Self::at(user.client.base()) }
    }

    /// The same, with another key.
    pub fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// The same, at another URL.
    pub fn via(mut self, url: &str) -> Self {
        url.clone_into(&mut self.url);
        self
    }

    /// Working directory.
    pub fn directory(&self) -> &Path {
        self.home.path()
    }

    /// File with the stored keys.
    pub fn credentials(&self) -> PathBuf {
        self.directory().join("config/fiapx/remote.json")
    }

    /// Set the environment of a command.
    pub fn prepare(&self, command: &mut Command) {
        command
            .current_dir(self.directory())
            .env("XDG_CONFIG_HOME", self.directory().join("config"));
        command.env("XDG_STATE_HOME", self.directory().join("config/state"));
        for name in ["FIAPX_URL", "FIAPX_API_KEY", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
            command.env_remove(name);
        }
        command.env("FIAPX_URL", &self.url);
        if let Some(key) = &self.key {
            command.env("FIAPX_API_KEY", key);
        }
    }

    /// `fiapx remote` with arguments.
    pub fn command<S: AsRef<str>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(fiapx_path());
        command.arg("remote").args(arguments.iter().map(AsRef::as_ref));
        self.prepare(&mut command);
        command
    }

    /// Run `fiapx remote`.
    pub fn run<S: AsRef<str>>(&self, arguments: &[S]) -> ProgramOutput {
        run(&mut self.command(arguments))
    }

    /// Run `fiapx remote`, which has to succeed without a word on standard error, and return the
    /// lines on standard output.
    #[track_caller]
    pub fn lines<S: AsRef<str>>(&self, arguments: &[S]) -> Vec<String> {
        let run = self.run(arguments);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        run.lines()
    }

    /// Run `fiapx remote --json` in the same way, and return its objects.
    #[track_caller]
    pub fn json<S: AsRef<str>>(&self, arguments: &[S]) -> Vec<Value> {
        let mut all: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        all.push("--json");
        let parse = |line: String| serde_json::from_str(&line).expect("each line is JSON");
        self.lines(&all).into_iter().map(parse).collect()
    }

    /// Run `fiapx remote` with these lines on standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &[&str]) -> ProgramOutput {
        let file = self.directory().join("input");
        std::fs::write(&file, input.join("\n") + "\n").expect("it can be written");
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" < input", "sh"]).arg(fiapx_path()).arg("remote");
        command.args(arguments);
        self.prepare(&mut command);
        run(&mut command)
    }

    /// Start `fiapx remote`, to interrupt it.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("fiapx can be started")
    }

    /// Names of the files in the working directory, but for its own.
    pub fn files(&self) -> Vec<String> {
        let entries = self.directory().read_dir().expect("it can be read").flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> =
            names.filter(|name| name != "config" && name != "input").collect();
        names.sort();
        names
    }
}

/// Send a signal to a process, and return its exit code and its standard error.
pub fn interrupt(child: Child, signal: &str) -> (Option<i32>, String) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args([&format!("-{signal}"), &id]).status();
    assert!(sent.expect("kill can be started").success());
    let output = child.wait_with_output().expect("it can be waited for");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
