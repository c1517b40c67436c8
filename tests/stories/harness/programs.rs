//! Running `fiapx` and other programs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::checks::TIMEOUT;

/// Root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are in a directory of the repository")
        .to_owned()
}

/// Exit code and output of a program.
#[derive(Debug)]
pub struct ProgramOutput {
    /// Exit code; `None` if a signal ended the program.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl ProgramOutput {
    /// Lines of standard output.
    pub fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.stdout).lines().map(str::to_owned).collect()
    }
}

/// Run a program to its end; one that hangs is killed, and then has no exit code.
pub fn run(command: &mut Command) -> ProgramOutput {
    let mut bounded = Command::new("timeout");
    bounded
        .arg("--signal=KILL")
        .arg(TIMEOUT.as_secs().to_string())
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
    ProgramOutput { code: output.status.code(), stdout: output.stdout, stderr }
}

/// Standard output of a program that has to succeed.
pub fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    let run = run(command);
    if run.code == Some(0) {
        Ok(run.stdout)
    } else {
        Err(format!("{command:?} exits with {:?}: {}", run.code, run.stderr))
    }
}

/// The only line on standard error that a failing `fiapx` may write.
pub fn error_line(run: &ProgramOutput) -> Result<&str, String> {
    let mut lines = run.stderr.lines();
    match (lines.next(), lines.next()) {
        (Some(line), None) if run.stderr.ends_with('\n') && line.starts_with("fiapx: ") => Ok(line),
        _ => Err(format!("not one line of fiapx on standard error: {:?}", run.stderr)),
    }
}

/// The command `fiapx`.
pub fn fiapx() -> Command {
    Command::new(fiapx_path())
}

/// Path of the command `fiapx`, which is next to the directory of the test's executable.
pub fn fiapx_path() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let command =
        test.ancestors().nth(2).expect("the test is in a profile's directory").join("fiapx");
    assert!(
        command.is_file(),
        "{} is missing: build it with `cargo build --workspace --bins --tests`",
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
        "openssl" => "openssl",
        "man" => "man-db",
        "python3" => "python3",
        "strace" => "strace",
        "perl" => "perl",
        "prlimit" | "flock" | "unshare" | "nsenter" | "setpriv" => "util-linux",
        "ip" => "iproute2",
        "mount" => "mount",
        "script" => "bsdutils",
        "mkfifo" => "coreutils",
        "sqlite3" => "sqlite3",
        "psql" => "postgresql-client",
        "chromium" => "chromium",
        "chromedriver" => "chromium-driver",
        "firefox-esr" | "geckodriver" => "firefox-esr, and geckodriver by ./setup.sh firefox",
        "node" => "nodejs",
        "npm" => "npm",
        "ldd" => "libc-bin",
        "nm" => "binutils",
        other => panic!("no package is known for {other}"),
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
    assert!(found, "the command {name} is missing: install the Debian package {package}");
    Command::new(name)
}

/// Directory of the modules of an npm package, which is installed if it is missing.
pub fn npm_package(name: &str, version: &str) -> PathBuf {
    let directory = root().join(format!("target/{name}-{version}"));
    let modules = directory.join("node_modules");
    // A lock keeps two installations apart, and the marker distinguishes a complete one from one
    // that was interrupted.
    let complete = directory.join("complete");
    if !complete.is_file() {
        let mut install = tool("flock");
        tool("npm");
        std::fs::create_dir_all(&directory).expect("the directory can be created");
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
        std::fs::write(complete, "").expect("the marker can be written");
    }
    modules
}

/// Directory of the modules of the packages in the lock file of a directory of the repository. They
/// are installed below `target`, if they are missing or the lock file has changed.
pub fn npm_packages(directory: &str, name: &str) -> PathBuf {
    let (source, target) = (root().join(directory), root().join("target").join(name));
    std::fs::create_dir_all(&target).expect("the directory is writable");
    // Tests in this and other processes may need the programs at the same time.
    let guard = File::create(target.join("lock")).expect("the directory is writable");
    guard.lock().expect("the file can be locked");
    let wanted = std::fs::read(source.join("package-lock.json")).expect("the lock file exists");
    let installed = target.join("installed.json");
    if std::fs::read(&installed).ok().as_deref() != Some(&wanted) {
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(source.join(file), target.join(file)).expect("the files are readable");
        }
        let mut install = tool("npm");
        install.args([
            "ci",
            "--omit=dev",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--silent",
            "--prefix",
        ]);
        output(install.arg(&target)).expect("the installation needs the registry of npm");
        std::fs::write(installed, wanted).expect("the directory is writable");
    }
    target.join("node_modules")
}

/// Directory of the programs of a virtual environment with a Python package, which is installed if
/// it is missing.
pub fn python_package(name: &str, version: &str) -> PathBuf {
    let environment = root().join(format!("target/{name}-python-{version}"));
    let programs = environment.join("bin");
    // An interrupted installation has no such file.
    let complete = environment.join("complete");
    if !complete.is_file() {
        std::fs::create_dir_all(&environment).expect("the directory can be created");
        let mut install = tool("flock");
        let script = format!(
            "[ -e complete ] || (python3 -m venv . && bin/python3 -m pip install --quiet \
             --disable-pip-version-check {name}=={version} && touch complete)"
        );
        tool("python3");
        install.current_dir(&environment).args([".", "sh", "-c", &script]);
        output(&mut install).expect("needs the Debian package python3-venv, and PyPI once");
    }
    programs
}
