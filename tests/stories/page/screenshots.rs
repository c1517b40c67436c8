//! Screenshots of every screen, to look at: in both languages, light and dark, on a phone and on a
//! desktop.
//!
//! `make screenshots` writes all of them to `target/screenshots`, in a directory for each variant.
//! Without `SCREENSHOTS=all`, those of one variant are taken, so that the story stays brief.

mod account_with_everything;

use serde_json::json;

use self::account_with_everything::{Jobs, receiver, webhook_with_deliveries};
use super::account::{change, submit};
use super::browser::{Browser, EMAIL, Preferences, Screen};
use crate::harness::client::{PASSWORD, User};
use crate::harness::clips::{SHORT, fixture};
use crate::harness::mails::Mail;
use crate::harness::programs::root;
use crate::harness::service::Service;

/// Whether the finished jobs in sight have their thumbnails.
const THUMBNAILS: &str = "
    [...document.querySelectorAll('.jobs > li')].filter((row) => {
        const { top, bottom } = row.getBoundingClientRect();
        return top >= 0 && bottom <= innerHeight && row.querySelector('[data-state=DONE]');
    }).every((row) => row.querySelector('.thumbnail img[src]'))";

/// Whether nothing on the screen is about to change.
const SETTLED: &str = "
    !document.querySelector('main .loading, .pending')
        && [...document.images].every(({ complete }) => complete)
        && document.getAnimations().every((animation) =>
            animation.playState !== 'running'
                || animation.effect.getComputedTiming().endTime === Infinity)";
const ESCAPE: &str = "\u{E00C}";

/// Appearance of the page.
#[derive(Debug, Clone, Copy)]
struct Variant {
    language: &'static str,
    dark: bool,
    screen: Screen,
}

impl Variant {
    /// All variants in a language.
    fn all(language: &'static str) -> Vec<Self> {
        let screens = [Screen::Desktop, Screen::Phone];
        let of = |dark| screens.map(|screen| Self { language, dark, screen });
        [of(false), of(true)].concat()
    }

    /// Name of the directory.
    fn name(self) -> String {
        let Self { language, dark, screen } = self;
        let scheme = if dark { "dark" } else { "light" };
        let screen = match screen {
            Screen::Desktop => "desktop",
            Screen::Phone => "phone",
        };
        format!("{language}-{scheme}-{screen}")
    }
}

/// Browser that takes the screenshots of a variant.
struct Camera {
    browser: Browser,
    variant: Variant,
}

impl Camera {
    async fn open(service: &Service, variant: Variant) -> Self {
        let Variant { language, dark, screen } = variant;
        let languages = if language == "pt" { "pt-BR" } else { "en" };
        let browser = Browser::open(service, Preferences { screen, languages, dark }).await;
        // The size of the window includes parts of the browser.
        let (width, height, scale) = match screen {
            Screen::Desktop => (1280, 800, 1),
            Screen::Phone => (390, 844, 2),
        };
        let metrics = json!({
            "width": width,
            "height": height,
            "deviceScaleFactor": scale,
            "mobile": screen == Screen::Phone,
        });
        browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        Self { browser, variant }
    }

    /// Take a screenshot once the screen has settled.
    async fn take(&self, name: &str) {
        self.browser.wait_until(SETTLED).await;
        self.browser.screenshot(&format!("{}/{name}", self.variant.name())).await;
    }

    /// Wait for an element, and take a screenshot.
    async fn take_with(&self, selector: &str, name: &str) {
        self.browser.find(selector).await;
        self.take(name).await;
    }

    /// Go to a path, wait for an element, and take a screenshot.
    async fn take_at(&self, path: &str, selector: &str, name: &str) {
        self.browser.goto(path).await;
        self.take_with(selector, name).await;
    }

    /// Screens without an account.
    async fn take_login(&self) {
        self.take_with("#password", "login").await;
        self.take_at("/#/register", "#name", "registration").await;
        self.take_at("/#/forgot", "main:not(:has(#password)) #email", "forgotten-password").await;
        self.browser.fill("#email", EMAIL).await;
        self.browser.click("main [type=submit]").await;
        self.take_with("main:not(:has(form))", "check-mail").await;
        self.browser.goto("/").await;
    }

    /// Screens of an account without videos.
    async fn take_empty(&self, user: &User<'_>) {
        self.browser.log_in(&user.email).await;
        self.take_with(".empty", "empty-list").await;
        self.browser.click(".options summary").await;
        self.browser.find("#option-select").await;
        self.browser.js("document.querySelector('.options').scrollIntoView()").await;
        self.take("options").await;
        self.take_at("/#/webhooks", "#add-webhook", "no-webhooks").await;
        self.browser.click("#logout").await;
        self.browser.find("#password").await;
    }

    /// Screens of jobs in all states.
    async fn take_jobs(&self, jobs: &Jobs) {
        self.browser.find(".jobs .thumbnail img[src]").await;
        self.browser.wait_until(THUMBNAILS).await;
        self.take("list").await;
        for (name, id) in &jobs.others {
            let state = name.to_uppercase();
            let badge = format!(".job-head [data-state={state}]");
            self.take_at(&format!("/#/jobs/{id}"), &badge, &format!("job-{name}")).await;
        }
        self.browser.goto(&format!("/#/jobs/{}", jobs.done)).await;
        self.browser.wait_until("document.querySelectorAll('.frames img[src]').length > 3").await;
        self.take("job").await;
        self.browser.click(".job-head .quiet:not(:last-child)").await;
        self.take_with(".again[open]", "process-again").await;
        self.browser.press(ESCAPE).await;
        self.browser.wait_for_count("dialog", 0).await;
        self.browser.view_third_frame().await;
        self.take("large-view").await;
        self.browser.press(ESCAPE).await;
        self.browser.wait_for_count("dialog", 0).await;
    }

    /// Screens of the account and its webhooks.
    async fn take_account(&self, webhook: &str) {
        self.take_at("/#/account", "[data-session]", "account").await;
        for section in ["sessions", "keys", "webhooks"] {
            let heading = format!("#{section}-title");
            self.browser.find(&heading).await;
            let scroll = format!("document.querySelector('{heading}').scrollIntoView()");
            self.browser.js(&scroll).await;
            self.take(&format!("account-{section}")).await;
        }
        for (setting, name) in [("mails", "account-mails"), ("password", "account-password")] {
            change(&self.browser, setting).await;
            self.take(name).await;
            self.browser.press(ESCAPE).await;
            self.browser.wait_for_count("dialog", 0).await;
        }
        change(&self.browser, "second_factor").await;
        self.browser.fill("#password", PASSWORD).await;
        submit(&self.browser).await;
        self.take_with("dialog #secret", "account-second-factor").await;
        self.browser.press(ESCAPE).await;
        self.browser.wait_for_count("dialog", 0).await;
        self.take_at("/#/webhooks", "[data-webhook]", "webhooks").await;
        self.take_at(&format!("/#/webhooks/{webhook}"), "[data-status]", "webhook").await;
        self.take_at("/#/nowhere", "main .primary", "absent-page").await;
    }

    /// Upload tray: two uploads in progress and one that is not accepted. They are cancelled,
    /// because otherwise they become jobs when the browser closes, and with it the limit of speed.
    async fn take_uploads(&self) {
        self.browser.goto("/#/").await;
        self.browser.limit_uploads(20_000).await;
        let sample = root().join("fixtures/sample.mp4");
        self.browser.choose(&[sample, fixture(SHORT), root().join("README.md")]).await;
        self.browser
            .wait_until(
                "document.querySelector('#uploads [data-state=sending] progress')?.value > 0",
            )
            .await;
        self.browser.screenshot(&format!("{}/uploads", self.variant.name())).await;
        let cancel = "document.querySelectorAll('#uploads [title^=Cancel]')
            .forEach((button) => button.click())";
        self.browser.js(cancel).await;
        self.browser.wait_for_count("#uploads [data-state=sending]", 0).await;
    }

    /// Mails, as a mail program shows them.
    async fn take_mails(&self, mails: &[Mail]) {
        for (number, mail) in (1..).zip(mails) {
            let file = self.browser.downloads.join("mail.html");
            std::fs::write(&file, &mail.html).expect("the file can be written");
            let url = format!("file://{}", file.display());
            self.browser.client.goto(&url).await.expect("the file can be opened");
            self.take(&format!("mail-{number}")).await;
        }
    }
}

/// Take all screenshots of variants in the same language.
async fn take_all(language: &'static str, variants: Vec<Variant>) {
    let service = Service::with(|settings| {
        settings.webhooks.allow_private = true;
        settings.worker.concurrency = 1;
        settings.limits.logins_per_minute = 1000;
    })
    .await;
    let (empty, user) = (service.user_of(language).await, service.user_of(language).await);
    let receiver = receiver().await;
    let webhook = webhook_with_deliveries(&user, &receiver).await;
    user.create_key(&["videos:read"]).await;
    let jobs = Jobs::create(&service, &user).await;
    // Those of the key, and of five jobs: done, done and expired, incomplete, damaged, and failed.
    let mails = service.mails_to(&user.email, 6).await;
    for variant in variants {
        let camera = Camera::open(&service, variant).await;
        camera.take_login().await;
        camera.take_empty(&empty).await;
        camera.browser.log_in(&user.email).await;
        camera.take_jobs(&jobs).await;
        camera.take_account(&webhook).await;
        camera.browser.assert_no_console_errors().await;
        camera.take_mails(&mails).await;
        camera.browser.goto("/").await;
        camera.take_uploads().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_is_rendered() {
    match std::env::var("SCREENSHOTS").as_deref() {
        Err(_) => {
            let brief = Variant { language: "pt", dark: true, screen: Screen::Phone };
            take_all("pt", vec![brief]).await;
        }
        Ok("all") => {
            for language in ["en", "pt"] {
                take_all(language, Variant::all(language)).await;
            }
        }
        Ok(other) => panic!("SCREENSHOTS is {other}: set it to all, or unset it"),
    }
    println!("the screenshots are in {}", root().join("target/screenshots").display());
}
