//! A browser without a screen, driven as a person would (W3C WebDriver).

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::harness::checks::{TIMEOUT, eventually};
use crate::harness::client::PASSWORD;
use crate::harness::clips::scratch;
use crate::harness::programs::{npm_package, root, tool};

/// How the browser is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// 1280 by 900 pixels.
    Desk,
    /// 360 by 740 points, touched.
    Phone,
}

/// What its user prefers.
#[derive(Debug, Clone, Copy)]
pub struct Taste {
    pub screen: Screen,
    /// As in `Accept-Language`.
    pub languages: &'static str,
    pub dark: bool,
}

impl Default for Taste {
    fn default() -> Self {
        Self { screen: Screen::Desk, languages: "en", dark: false }
    }
}

/// A browser with an empty profile. Dropping it ends it.
pub struct Browser {
    pub client: Client,
    base: String,
    driver: Child,
    port: String,
    /// Where it saves what it downloads.
    pub downloads: PathBuf,
    _directory: TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browsers before itself.
        if let Ok(mut driver) = TcpStream::connect(format!("127.0.0.1:{}", self.port)) {
            let _ = driver.write_all(
                b"GET /shutdown HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            );
            let _ = std::io::copy(&mut driver, &mut std::io::sink());
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// Open the page of a service.
    pub async fn open(base: &str, taste: Taste) -> Self {
        let directory = scratch();
        let downloads = directory.path().join("downloads");
        std::fs::create_dir(&downloads).expect("there is room");
        let mut driver = tool("chromedriver");
        tool("chromium");
        let mut driver = driver
            .arg("--port=0")
            .env("HOME", directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let lines = BufReader::new(driver.stdout.take().expect("its output is piped")).lines();
        let told = lines.map_while(Result::ok).find_map(|line| {
            line.split_once("successfully on port ").map(|told| told.1.to_owned())
        });
        let port = told.expect("the driver tells its port").trim_end_matches('.').to_owned();
        let mut arguments = vec![
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--window-size=1280,900".to_owned(),
            format!("--user-data-dir={}", directory.path().join("profile").display()),
        ];
        if taste.dark {
            arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let mut options = json!({
            "args": arguments,
            "prefs": {
                "intl.accept_languages": taste.languages,
                "download.default_directory": downloads,
                "credentials_enable_service": false,
            },
        });
        if taste.screen == Screen::Phone {
            options["mobileEmulation"] = json!({ "deviceMetrics": { "width": 360, "height": 740, "pixelRatio": 2.0, "touch": true, "mobile": true } });
        }
        let capabilities = json!({ "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let Value::Object(capabilities) = capabilities else { unreachable!("it is one") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.into_iter().collect())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("the browser starts");
        let browser =
            Self { client, base: base.to_owned(), driver, port, downloads, _directory: directory };
        browser.goto("/").await;
        browser
    }

    /// Go to an address of the service.
    pub async fn goto(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.base)).await.expect("the address can be opened");
    }

    /// Run a script in the page.
    pub async fn js(&self, script: &str) -> Value {
        self.client
            .execute(script, Vec::new())
            .await
            .unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Wait until a script gives something true.
    pub async fn until(&self, script: &str) {
        eventually(script, || async {
            (self.js(&format!("return Boolean({script})")).await == json!(true)).then_some(())
        })
        .await;
    }

    /// The first element of a selector, as soon as there is one.
    pub async fn find(&self, selector: &str) -> Element {
        let found = self
            .client
            .wait()
            .at_most(TIMEOUT)
            .every(Duration::from_millis(20))
            .for_element(Locator::Css(selector))
            .await;
        match found {
            Ok(element) => element,
            Err(error) => {
                panic!("there is no {selector}: {error}; the page says: {}", self.said().await)
            }
        }
    }

    /// All that can be read on the page.
    pub async fn said(&self) -> String {
        self.js("return document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    /// Wait until a text can be read on the page.
    pub async fn reads(&self, text: &str) {
        let script = format!("document.body.innerText.includes({})", json!(text));
        self.until(&script).await;
    }

    /// Click on an element, as soon as it is there.
    pub async fn click(&self, selector: &str) {
        self.find(selector)
            .await
            .click()
            .await
            .unwrap_or_else(|error| panic!("{selector} cannot be clicked: {error}"));
    }

    /// Type into a field, in place of what is there.
    pub async fn fill(&self, selector: &str, text: &str) {
        let field = self.find(selector).await;
        field.clear().await.expect("it is a field");
        field.send_keys(text).await.expect("it is a field");
    }

    /// Press keys, wherever the focus is.
    pub async fn press(&self, keys: &str) {
        let strokes =
            keys.chars().flat_map(|value| [KeyAction::Down { value }, KeyAction::Up { value }]);
        let strokes = strokes.fold(KeyActions::new("keyboard".to_owned()), InputSource::then);
        self.client.perform_actions(strokes).await.expect("keys can be pressed");
    }

    /// Choose files to upload.
    pub async fn choose(&self, files: &[PathBuf]) {
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        self.find("#files").await.send_keys(&names.join("\n")).await.expect("files can be chosen");
    }

    /// Register somebody new by the form, who is logged in then.
    pub async fn register(&self, email: &str) {
        self.click("a[href='#/register']").await;
        self.fill("#name", "Ana").await;
        self.fill("#email", email).await;
        self.fill("#password", PASSWORD).await;
        self.click("form button[type=submit]").await;
        self.find(".drop").await;
    }

    /// Log in by the form.
    pub async fn log_in(&self, email: &str) {
        self.fill("#email", email).await;
        self.fill("#password", PASSWORD).await;
        self.click("form button[type=submit]").await;
        self.find(".drop").await;
    }

    /// Keep a picture of the page as `target/screenshots/{name}.png`.
    pub async fn shot(&self, name: &str) {
        let directory = root().join("target/screenshots");
        std::fs::create_dir_all(&directory).expect("there is room");
        let picture = self.client.screenshot().await.expect("the browser shows something");
        std::fs::write(directory.join(format!("{name}.png")), picture).expect("there is room");
    }

    /// Fail if axe-core finds a serious fault of accessibility in what is shown, or if something
    /// sticks out of the screen; and keep a picture of it.
    pub async fn accessible(&self, name: &str) {
        self.shot(name).await;
        self.js(&std::fs::read_to_string(axe()).expect("axe is installed")).await;
        let script = "const done = arguments[arguments.length - 1];
            axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => done(violations), (error) => done([String(error)]));";
        let Value::Array(found) =
            self.client.execute_async(script, Vec::new()).await.expect("axe runs")
        else {
            panic!("no list")
        };
        let grave = |fault: &&Value| {
            fault.is_string() || fault["impact"] == "serious" || fault["impact"] == "critical"
        };
        let grave: Vec<String> = found.iter().filter(grave).map(told).collect();
        assert!(grave.is_empty(), "{name}: {}", grave.join("\n"));
        let wide = self.js("return document.documentElement.scrollWidth - innerWidth").await;
        assert!(
            wide.as_i64().is_some_and(|pixels| pixels <= 0),
            "{name} is {wide} pixels too wide"
        );
    }

    /// Fail if the browser complained of anything: a script that broke, or what the content
    /// security policy stopped. Answers that the page expects to be refusals are no complaints.
    pub async fn content(&self) {
        let Value::Array(log) = self.command("se/log", json!({ "type": "browser" })).await else {
            panic!("no log")
        };
        let complaint = |line: &&Value| {
            let (level, text) = (
                line["level"].as_str().unwrap_or_default(),
                line["message"].as_str().unwrap_or_default(),
            );
            level == "SEVERE" && !text.contains("Failed to load resource")
                || text.contains("Content Security Policy")
        };
        let complaints: Vec<&Value> = log.iter().filter(complaint).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
    }

    /// Let uploads be so slow, in bytes a second; as fast as they can with -1.
    pub async fn slow_uploads(&self, bytes: i64) {
        let conditions = json!({ "offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes });
        for (cmd, params) in
            [("Network.enable", json!({})), ("Network.emulateNetworkConditions", conditions)]
        {
            self.command("goog/cdp/execute", json!({ "cmd": cmd, "params": params })).await;
        }
    }

    async fn command(&self, path: &'static str, body: Value) -> Value {
        let command = Extension { path, body };
        self.client.issue_cmd(command).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A file of this suffix that was downloaded, once it is whole.
    pub async fn downloaded(&self, suffix: &str) -> PathBuf {
        // An empty file holds the name until the whole one takes its place.
        let found = |directory: &Path| {
            let files = directory.read_dir().expect("it can be read").flatten();
            let mut whole = files
                .filter(|file| file.metadata().is_ok_and(|file| file.len() > 0))
                .map(|file| file.path());
            whole.find(|path| path.to_string_lossy().ends_with(suffix))
        };
        eventually("the download", || async { found(&self.downloads) }).await
    }
}

/// What axe says of a fault.
fn told(fault: &Value) -> String {
    let nodes = fault["nodes"].as_array().into_iter().flatten();
    let nodes: Vec<String> =
        nodes.map(|node| format!("{} {}", node["target"], node["failureSummary"])).collect();
    format!("{fault_id} {help}: {nodes:?}", fault_id = fault["id"], help = fault["help"])
}

/// A command of the driver's own.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// axe-core, the script.
fn axe() -> PathBuf {
    static AXE: OnceLock<PathBuf> = OnceLock::new();
    AXE.get_or_init(|| npm_package("axe-core", "4.14.1").join("axe-core/axe.min.js")).clone()
}
