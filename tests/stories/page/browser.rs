//! Headless browser, controlled by W3C WebDriver.

mod driver;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::driver::{Driver, DriverCommand, Program};
use crate::harness::checks::{TIMEOUT, eventually};
use crate::harness::client::{self, PASSWORD, User};
use crate::harness::clips::scratch;
use crate::harness::programs::{npm_package, root};

/// Address of the user that [`Browser::registered`] adds.
pub const EMAIL: &str = "ana.souza@example.com";
/// Frames of `fixtures/sample.mp4`, which lasts ten seconds.
pub const SAMPLE_FRAMES: usize = 10;

/// Screen of the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// 1280 by 900 pixels, with a mouse.
    Desktop,
    /// 360 by 740 points, with touch.
    Phone,
}

/// Preferences of the browser's user.
#[derive(Debug, Clone, Copy)]
pub struct Preferences {
    pub screen: Screen,
    /// Value of `Accept-Language`.
    pub languages: &'static str,
    pub dark: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { screen: Screen::Desktop, languages: "en", dark: false }
    }
}

impl Preferences {
    /// Options of Chromium for a profile in this directory.
    fn chrome_options(&self, directory: &Path, downloads: &Path) -> Value {
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
            format!("--user-data-dir={}", directory.join("profile").display()),
        ];
        if self.dark {
            arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let mut options = json!({
            "args": arguments,
            "prefs": {
                "intl.accept_languages": self.languages,
                "download.default_directory": downloads,
                "credentials_enable_service": false,
                // The browser asks a user before the second download of one click.
                "profile.default_content_setting_values.automatic_downloads": 1,
            },
        });
        if self.screen == Screen::Phone {
            options["mobileEmulation"] = json!({
                "deviceMetrics": {
                    "width": 360,
                    "height": 740,
                    "pixelRatio": 2.0,
                    "touch": true,
                    "mobile": true,
                },
            });
        }
        options
    }

    /// Options of Firefox, which emulates of a phone the finger only.
    fn firefox_options(&self, downloads: &Path) -> Value {
        let is_phone = self.screen == Screen::Phone;
        // Bits of its pointers: 1 is coarse, 2 fine, and 4 can hover.
        let pointers = if is_phone { 1 } else { 6 };
        json!({
            "binary": "/usr/bin/firefox-esr",
            "args": ["-headless"],
            "prefs": {
                "intl.accept_languages": self.languages,
                // 0 is dark, and 1 light.
                "layout.css.prefers-color-scheme.content-override": i32::from(!self.dark),
                "browser.download.dir": downloads,
                "browser.download.folderList": 2,
                "dom.w3c_touch_events.enabled": i32::from(is_phone),
                "ui.primaryPointerCapabilities": pointers,
                "ui.allPointerCapabilities": pointers,
                // Errors of scripts are printed.
                "browser.dom.window.dump.enabled": true,
            },
        })
    }

    /// Capabilities of a session of this browser, with a profile in this directory.
    fn capabilities(&self, program: Program, directory: &Path, downloads: &Path) -> Value {
        match program {
            Program::Chromium => json!({
                "browserName": "chrome",
                "goog:chromeOptions": self.chrome_options(directory, downloads),
                "goog:loggingPrefs": { "browser": "ALL" },
            }),
            Program::Firefox => json!({
                "browserName": "firefox",
                "moz:firefoxOptions": self.firefox_options(downloads),
            }),
        }
    }
}

/// Browser with an empty profile. Dropping it closes it.
pub struct Browser {
    pub client: Client,
    base: String,
    driver: Driver,
    /// Directory of downloaded files.
    pub downloads: PathBuf,
    _directory: TempDir,
}

impl Browser {
    /// Open the page of a service.
    pub async fn open(service: &client::Client, preferences: Preferences) -> Self {
        let directory = scratch();
        let downloads = directory.path().join("downloads");
        std::fs::create_dir(&downloads).expect("the directory can be created");
        let mut driver = Driver::start(Program::of_stories(), directory.path());
        let capabilities = preferences.capabilities(driver.program, directory.path(), &downloads);
        let Value::Object(capabilities) = capabilities else { unreachable!("it is an object") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.into_iter().collect())
            .connect(&driver.url())
            .await
            .expect("the browser starts");
        driver.session = client.session_id().await.expect("the session has an id");
        if driver.program == Program::Firefox {
            // Its windows are at least 500 pixels wide.
            let (width, height) =
                if preferences.screen == Screen::Phone { (500, 740) } else { (1280, 900) };
            client.set_window_size(width, height).await.expect("the window has a size");
        }
        let base = service.base().to_owned();
        let browser = Self { client, base, driver, downloads, _directory: directory };
        browser.goto("/").await;
        browser
    }

    /// Open the page of a service and register [`EMAIL`].
    pub async fn registered(service: &client::Client, preferences: Preferences) -> Self {
        let browser = Self::open(service, preferences).await;
        browser.register(EMAIL).await;
        browser
    }

    /// Open the page of a service, log in and go to a path.
    pub async fn logged_in(service: &client::Client, user: &User<'_>, path: &str) -> Self {
        let browser = Self::open(service, Preferences::default()).await;
        browser.log_in(&user.email).await;
        browser.goto(path).await;
        browser
    }

    /// Go to a path of the service.
    pub async fn goto(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.base)).await.expect("the address can be opened");
    }

    /// Run a script in the page and return its result.
    pub async fn js(&self, script: &str) -> Value {
        self.client
            .execute(script, Vec::new())
            .await
            .unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Run a script in the page and return what its promise resolves to.
    pub async fn js_async(&self, script: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
            (async () => {{ {script} }})().then(done, (error) => done(String(error)));"
        );
        self.client
            .execute_async(&script, Vec::new())
            .await
            .unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Wait until a script returns a true value.
    pub async fn wait_until(&self, script: &str) {
        eventually(script, || async {
            (self.js(&format!("return Boolean({script})")).await == json!(true)).then_some(())
        })
        .await;
    }

    /// Wait until the number of elements that match a selector is `count`.
    pub async fn wait_for_count(&self, selector: &str, count: usize) {
        let script = format!("document.querySelectorAll({}).length === {count}", json!(selector));
        self.wait_until(&script).await;
    }

    /// Wait until the page shows a text.
    pub async fn wait_for_text(&self, text: &str) {
        let script = format!("document.body.innerText.includes({})", json!(text));
        self.wait_until(&script).await;
    }

    /// Wait for an element that matches a selector, and return the first one.
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
                let text = self.js("return document.body.innerText").await;
                panic!("no element matches {selector}: {error}; text of the page: {text}")
            }
        }
    }

    /// Wait for an element and click it, again if the page renders it again meanwhile.
    pub async fn click(&self, selector: &str) {
        eventually(selector, async || match self.find(selector).await.click().await {
            Ok(()) => Some(()),
            Err(error) if error.is_stale_element_reference() => None,
            Err(error) => panic!("{selector} cannot be clicked: {error}"),
        })
        .await;
    }

    /// Replace the content of a field. If the page renders the field again meanwhile, the new one
    /// is filled.
    pub async fn fill(&self, selector: &str, text: &str) {
        eventually(selector, async || {
            let field = self.find(selector).await;
            let filled = async {
                field.clear().await?;
                field.send_keys(text).await
            };
            match filled.await {
                Ok(()) => Some(()),
                Err(error) if error.is_stale_element_reference() => None,
                Err(error) => panic!("{selector} cannot be filled: {error}"),
            }
        })
        .await;
    }

    /// Press keys on the focused element.
    pub async fn press(&self, keys: &str) {
        let strokes =
            keys.chars().flat_map(|value| [KeyAction::Down { value }, KeyAction::Up { value }]);
        let strokes = strokes.fold(KeyActions::new("keyboard".to_owned()), InputSource::then);
        self.client.perform_actions(strokes).await.expect("keys can be pressed");
    }

    /// Fill in the registration form of the login view and submit it.
    pub async fn register(&self, email: &str) {
        self.click("a[href='#/register']").await;
        self.fill("#name", "Ana").await;
        self.log_in(email).await;
    }

    /// Fill in the login form, submit it and wait for the list.
    pub async fn log_in(&self, email: &str) {
        self.submit_login(email, PASSWORD).await;
        self.find(".drop-area").await;
    }

    /// Fill in the login form and submit it.
    pub async fn submit_login(&self, email: &str, password: &str) {
        self.fill("#email", email).await;
        self.fill("#password", password).await;
        self.click("form button[type=submit]").await;
    }

    /// Choose files to upload.
    pub async fn choose(&self, files: &[PathBuf]) {
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        self.find("#files").await.send_keys(&names.join("\n")).await.expect("files can be chosen");
    }

    /// Choose the sample clip to upload.
    pub async fn choose_sample(&self) {
        self.choose(&[root().join("fixtures/sample.mp4")]).await;
    }

    /// Upload the sample clip, which has [`SAMPLE_FRAMES`] frames, and wait until it is processed.
    pub async fn upload_sample(&self) {
        self.choose_sample().await;
        self.find(".jobs [data-state=DONE]").await;
    }

    /// Open the first job of the list and wait for all thumbnails of the sample clip.
    pub async fn open_sample(&self) {
        self.click(".name").await;
        self.wait_for_count(".frames img[src]", SAMPLE_FRAMES).await;
    }

    /// Open the viewer with the third frame of the sample clip and wait until it is drawn.
    pub async fn view_third_frame(&self) {
        self.click(".frames a[href$='/3']").await;
        self.wait_until("document.querySelector('.viewer img')?.naturalWidth === 640").await;
        self.wait_until("!document.querySelector('.pending')").await;
    }

    /// Save a screenshot as `target/screenshots/{name}.png`.
    pub async fn screenshot(&self, name: &str) {
        let file = root().join("target/screenshots").join(format!("{name}.png"));
        std::fs::create_dir_all(file.parent().expect("it is in a directory"))
            .expect("the directory can be created");
        let screenshot = self.client.screenshot().await.expect("the browser takes screenshots");
        std::fs::write(file, screenshot).expect("the screenshot can be written");
    }

    /// Save a screenshot. Fail if axe-core finds a serious violation of accessibility rules, or if
    /// the content is wider than the screen.
    pub async fn assert_accessible(&self, name: &str) {
        self.screenshot(name).await;
        self.js(&std::fs::read_to_string(axe()).expect("axe-core is installed")).await;
        let script = "const types = { resultTypes: ['violations'] };
            return (await axe.run(document, types)).violations;";
        let violations = self.js_async(script).await;
        let violations = violations.as_array().unwrap_or_else(|| panic!("{violations}"));
        let serious: Vec<String> = violations
            .iter()
            .filter(|violation| ["serious", "critical"].iter().any(|it| violation["impact"] == *it))
            .map(describe)
            .collect();
        assert!(serious.is_empty(), "{name}: {}", serious.join("\n"));
        let overflow = self.js("return document.documentElement.scrollWidth - innerWidth").await;
        assert!(
            overflow.as_i64().is_some_and(|pixels| pixels <= 0),
            "{name} is {overflow} pixels wider than the screen"
        );
    }

    /// Fail if the console has an error of a script or a violation of the content security policy.
    /// Error responses that the page expects are ignored.
    pub async fn assert_no_console_errors(&self) {
        if self.driver.program == Program::Firefox {
            let errors = self.driver.script_errors();
            assert!(errors.is_empty(), "{errors:?}");
            return;
        }
        let log = self.command("se/log", json!({ "type": "browser" })).await;
        let log = log.as_array().unwrap_or_else(|| panic!("{log}"));
        let is_error = |line: &&Value| {
            let text = line["message"].as_str().unwrap_or_default();
            line["level"] == "SEVERE" && !text.contains("Failed to load resource")
                || text.contains("Content Security Policy")
        };
        let errors: Vec<&Value> = log.iter().filter(is_error).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }

    /// Limit uploads to a rate in bytes per second. -1 removes the limit.
    pub async fn limit_uploads(&self, rate: i64) {
        let conditions = json!({
            "offline": false,
            "latency": 0,
            "downloadThroughput": -1,
            "uploadThroughput": rate,
        });
        self.devtools("Network.enable", json!({})).await;
        self.devtools("Network.emulateNetworkConditions", conditions).await;
    }

    /// Run a script before those of each document that is loaded from now on.
    pub async fn run_in_new_documents(&self, script: &str) {
        let parameters = json!({ "source": script });
        self.devtools("Page.addScriptToEvaluateOnNewDocument", parameters).await;
    }

    /// Execute a command of the DevTools protocol, which only Chromium has.
    pub async fn devtools(&self, cmd: &str, params: Value) -> Value {
        self.command("goog/cdp/execute", json!({ "cmd": cmd, "params": params })).await
    }

    /// Name of the browser in the list of sessions.
    pub fn session_name(&self) -> &'static str {
        self.driver.program.session_name()
    }

    async fn command(&self, path: &'static str, body: Value) -> Value {
        let command = DriverCommand { path, body };
        self.client.issue_cmd(command).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Wait for a download with this suffix to finish, and return and remove the file.
    pub async fn take_download(&self, suffix: &str) -> Vec<u8> {
        // Chromium reserves the name with an empty file, and renames the finished download to it.
        let find = || {
            let files = self.downloads.read_dir().expect("the directory can be read").flatten();
            files
                .filter(|file| file.metadata().is_ok_and(|file| file.len() > 0))
                .map(|file| file.path())
                .find(|path| path.to_string_lossy().ends_with(suffix))
        };
        let path = eventually("the download", || async { find() }).await;
        let bytes = std::fs::read(&path).expect("the file can be read");
        std::fs::remove_file(path).expect("the file can be removed");
        bytes
    }
}

/// Description of a violation that axe-core found.
fn describe(violation: &Value) -> String {
    let nodes = violation["nodes"].as_array().into_iter().flatten();
    let nodes: Vec<String> =
        nodes.map(|node| format!("{} {}", node["target"], node["failureSummary"])).collect();
    format!("{} {}: {nodes:?}", violation["id"], violation["help"])
}

/// Path of the axe-core script.
fn axe() -> PathBuf {
    static AXE: OnceLock<PathBuf> = OnceLock::new();
    AXE.get_or_init(|| npm_package("axe-core", "4.14.1").join("axe-core/axe.min.js")).clone()
}
