//! Programs that control browsers by W3C WebDriver: chromedriver and geckodriver.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, mpsc};

use fantoccini::wd::WebDriverCompatibleCommand;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::Value;
use url::Url;

use crate::harness::checks::TIMEOUT;
use crate::harness::programs::tool;

/// Starts of a driver whose port is in use.
const STARTS: usize = 5;

/// Browser in which the stories run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Chromium,
    Firefox,
}

impl Program {
    /// The one that `STORY_BROWSER` names, by default Chromium.
    pub fn of_stories() -> Self {
        match std::env::var("STORY_BROWSER").as_deref() {
            Err(_) | Ok("chromium") => Self::Chromium,
            Ok("firefox") => Self::Firefox,
            Ok(other) => panic!("STORY_BROWSER is {other}: set it to chromium or firefox"),
        }
    }

    /// Its name in the list of sessions.
    pub fn session_name(self) -> &'static str {
        match self {
            Self::Chromium => "Chrome, Linux",
            Self::Firefox => "Firefox, Linux",
        }
    }
}

/// Running driver of a browser. Dropping it closes the browser.
pub struct Driver {
    pub program: Program,
    /// Id of the session, once it is known.
    pub session: Option<String>,
    process: Child,
    port: String,
    script_errors: Arc<Mutex<Vec<String>>>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The driver closes its browser; killing it would leave the browser running.
        let session = self.session.as_deref().unwrap_or_default();
        let request = match self.program {
            Program::Chromium => "GET /shutdown".to_owned(),
            Program::Firefox => format!("DELETE /session/{session}"),
        };
        if let Ok(mut driver) = TcpStream::connect(format!("127.0.0.1:{}", self.port)) {
            // Geckodriver refuses another host than its own.
            let host = format!("Host: localhost:{}", self.port);
            let head = format!("{request} HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n");
            let _ = driver.write_all(head.as_bytes());
            let _ = std::io::copy(&mut driver, &mut std::io::sink());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Driver {
    /// Start a driver on a free port, with a home directory.
    pub fn start(program: Program, home: &Path) -> Self {
        // Chromedriver takes a free port of IPv4, and exits if the same one of IPv6 is in use.
        (0..STARTS)
            .find_map(|_| Self::on_a_port(program, home))
            .unwrap_or_else(|| panic!("{program:?} found no port in {STARTS} starts"))
    }

    /// Start a driver; `None` if it exits before it listens.
    fn on_a_port(program: Program, home: &Path) -> Option<Self> {
        let mut command = match program {
            Program::Chromium => {
                tool("chromium");
                let mut command = tool("chromedriver");
                command.arg("--port=0");
                command
            }
            Program::Firefox => {
                tool("firefox-esr");
                let mut command = tool("geckodriver");
                command.args(["--port=0", "--host=127.0.0.1"]);
                command
            }
        };
        let mut process = command
            .env("HOME", home)
            .stdout(Stdio::piped())
            .stderr(match program {
                Program::Chromium => Stdio::inherit(),
                Program::Firefox => Stdio::piped(),
            })
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let output = BufReader::new(process.stdout.take().expect("its output is piped")).lines();
        let errors = process.stderr.take().map(|errors| BufReader::new(errors).lines());
        let script_errors = Arc::new(Mutex::new(Vec::new()));
        let (send_port, port) = mpsc::channel();
        // Both are read to their ends, so that the browser never waits for a reader.
        std::thread::spawn(move || {
            for line in output.map_while(Result::ok) {
                if let Some(port) = announced_port(&line) {
                    // The receiver needs the first one only.
                    let _ = send_port.send(port.to_owned());
                }
            }
        });
        let found = Arc::clone(&script_errors);
        std::thread::spawn(move || {
            let is_of_page = |line: &String| line.starts_with("JavaScript error: http");
            let lines = errors.into_iter().flatten().map_while(Result::ok);
            for line in lines.filter(is_of_page) {
                found.lock().push(line);
            }
        });
        let port = match port.recv_timeout(TIMEOUT) {
            Ok(port) => port,
            Err(RecvTimeoutError::Disconnected) => {
                process.wait().expect("it can be waited for");
                return None;
            }
            Err(RecvTimeoutError::Timeout) => panic!("the driver does not print its port"),
        };
        Some(Self { program, session: None, process, port, script_errors })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Errors of scripts of the page that Firefox has printed. It prints no violations of the
    /// content security policy.
    pub fn script_errors(&self) -> Vec<String> {
        self.script_errors.lock().clone()
    }
}

/// Command of chromedriver that is not in the WebDriver standard.
#[derive(Debug)]
pub struct DriverCommand {
    pub path: &'static str,
    pub body: Value,
}

impl WebDriverCompatibleCommand for DriverCommand {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// Port in the line in which a driver announces it.
fn announced_port(line: &str) -> Option<&str> {
    let chromedriver = line.split_once("successfully on port ");
    let (_, port) = chromedriver.or_else(|| line.split_once("Listening on 127.0.0.1:"))?;
    Some(port.trim_end_matches('.'))
}
