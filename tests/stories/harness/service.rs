//! A service in the process of the tests.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use app::service::{Roles, RunningService};
use app::settings::Settings;
use broker::Queue;
use database::accept::Video;
use database::{Database, Rules};
use jobs::{Clock, JobId, VideoFormat};
use worker::maintenance::Maintenance;
use worker::sweep::Swept;

use super::checks::eventually;
use super::client::Client;
use super::clips::scratch;
use super::mails::{Mail, distinct, parse_mails, read_mails, write_mails};
use super::parts::{Namespaces, Parts, objects};
use super::programs::{fiapx_path, output, tool};

/// A service in this process, with its own data directory.
pub struct Service {
    /// Its data directory.
    pub directory: tempfile::TempDir,
    /// Its namespaces on servers, if it does not run on embedded parts.
    pub namespaces: Option<Namespaces>,
    /// Its clock.
    pub clock: Clock,
    /// The service itself.
    pub running: RunningService,
    client: Client,
}

impl Deref for Service {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Settings of a service on a data directory and embedded parts.
pub fn settings(directory: &Path) -> Settings {
    settings_on(directory, None)
}

/// Settings of a service on a data directory and these namespaces.
pub fn settings_on(directory: &Path, namespaces: Option<&Namespaces>) -> Settings {
    let variable = |name: &str| namespaces?.setting(name);
    let mut settings = app::settings::load(None, variable, app::settings::Overrides::default())
        .expect("the settings are valid");
    directory.clone_into(&mut settings.data_dir);
    settings.server.listen = "127.0.0.1:0".parse().expect("a valid address");
    settings.worker.cell_program = Some(fiapx_path());
    // Stories of other topics create more jobs than a user may by default.
    settings.limits.uploads_at_once = 100;
    settings.limits.unfinished_jobs = 1000;
    settings.limits.jobs_per_hour = 10_000;
    settings
}

/// Let sessions and access tokens last for 60 days, for stories that advance the clock.
pub fn long_sessions(settings: &mut Settings) {
    settings.accounts.access_minutes = 60 * 24 * 60;
    settings.accounts.refresh_days = 60;
    settings.accounts.session_days = 60;
}

impl Parts {
    /// Start a service with the default settings.
    pub async fn start(self) -> Service {
        self.with(|_| {}).await
    }

    /// Start a service with other settings.
    pub async fn with(self, change: impl FnOnce(&mut Settings)) -> Service {
        Service::at(scratch(), self.namespaces().await, Clock::default(), change).await
    }
}

impl Service {
    /// Start a service on embedded parts with the default settings.
    pub async fn start() -> Self {
        Parts::Embedded.start().await
    }

    /// Start a service on embedded parts with other settings.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Parts::Embedded.with(change).await
    }

    /// Start a service on the data of an earlier one, or on new data.
    pub async fn at(
        directory: tempfile::TempDir,
        namespaces: Option<Namespaces>,
        clock: Clock,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut settings = settings_on(directory.path(), namespaces.as_ref());
        change(&mut settings);
        let running = RunningService::start(settings, Roles::ALL, clock.clone())
            .await
            .expect("the service starts");
        let client = Client::of(&running.address().expect("it listens").to_string());
        Self { directory, namespaces, clock, running, client }
    }

    /// Its maintenance.
    pub fn maintenance(&self) -> &Maintenance {
        self.running.maintenance().expect("it has a store")
    }

    /// Its store.
    pub fn storage(&self) -> &dyn storage::Storage {
        &*self.maintenance().storage
    }

    /// Its database.
    pub fn database(&self) -> &Database {
        &self.maintenance().database
    }

    /// Run the background maintenance once, now.
    pub async fn run_maintenance(&self) {
        let maintenance = self.maintenance();
        maintenance.reap().await.expect("leases are reaped");
        maintenance.expire().await.expect("files are deleted");
        maintenance.delete_abandoned_uploads().await.expect("uploads are deleted");
        maintenance.database.purge_expired().await.expect("rows are deleted");
    }

    /// Remove files that no row refers to and that are older than `age`; return their number.
    pub async fn sweep(&self, age: Duration) -> u64 {
        let swept = self.maintenance().sweeper().sweep(age, false).await;
        match swept.expect("the sweep succeeds") {
            Swept::Deleted(files) => files,
            Swept::Refused(refusal) => panic!("{refusal}"),
        }
    }

    /// Files in its store, by path from the store's root, with their sizes. Files that are being
    /// written are in `unfinished/`, with a size of 0 on an S3 store, which does not report it.
    /// Previews are left out, because a worker may remove them a moment after the end of their job.
    pub async fn files(&self) -> BTreeMap<String, u64> {
        let mut files = self.files_and_previews().await;
        files.retain(|path, _| !is_preview(path));
        files
    }

    /// All files in its store, as in [`Self::files`].
    pub async fn files_and_previews(&self) -> BTreeMap<String, u64> {
        let Some(namespaces) = &self.namespaces else {
            return stored_and_previews(self.directory.path());
        };
        let mut files = objects(self.storage()).await;
        files.extend(
            (0..namespaces.unfinished().await).map(|number| (format!("unfinished/{number}"), 0)),
        );
        files
    }

    /// Source of the mails that it has sent.
    pub fn mails(&self) -> Vec<String> {
        if let Some(namespaces) = &self.namespaces {
            return namespaces.mailbox.received().into_iter().map(|mail| mail.data).collect();
        }
        let directory = self.directory.path().join("mails");
        let Ok(entries) = directory.read_dir() else { return Vec::new() };
        let paths = entries.map(|entry| entry.expect("it can be listed").path());
        // A file that is being written has another suffix until it is complete.
        let written = paths.filter(|path| path.extension().is_some_and(|suffix| suffix == "eml"));
        written.map(|path| std::fs::read_to_string(path).expect("a mail is text")).collect()
    }

    /// Wait until it has sent `count` mails to an address, and return them, sorted by subject.
    pub async fn mails_to(&self, address: &str, count: usize) -> Vec<Mail> {
        eventually("the mails to an address", || async {
            let mails = parse_mails(self.mails());
            let to_address: Vec<_> = mails.into_iter().filter(|mail| mail.to == address).collect();
            (to_address.len() >= count).then_some(to_address)
        })
        .await
    }

    /// Stop it once it has sent `count` mails and has nothing more to do. Return all mails,
    /// whose number has to be `count`, each sent once.
    pub async fn expect_mails(self, count: usize) -> Vec<Mail> {
        let (mails, repeated) = self.expect_distinct_mails(count).await;
        assert_eq!(repeated, 0, "mails were sent twice: {mails:?}");
        mails
    }

    /// Like [`expect_mails`](Self::expect_mails) for a service that was killed, perhaps between
    /// sending a mail and recording that: it then sends the mail again with the same `Message-ID`,
    /// and mail programs show it once. Also return the number of such repetitions.
    pub async fn expect_distinct_mails(self, count: usize) -> (Vec<Mail>, usize) {
        eventually("the mails", || async { (distinct(self.mails()).len() >= count).then_some(()) })
            .await;
        self.wait_until_idle().await;
        self.running.stop_token().cancel();
        let rows = self.database().clone();
        let (directory, namespaces) = (self.directory, self.namespaces);
        self.running.stopped().await.expect("the service stops without errors");
        let due =
            rows.take_notifications(100, Duration::ZERO).await.expect("the database responds");
        assert!(due.is_empty(), "more notifications are due: {due:?}");
        let due =
            rows.take_account_mails(100, Duration::ZERO).await.expect("the database responds");
        assert!(due.is_empty(), "more mails about accounts are due: {due:?}");
        let mut repeated = 0;
        if let Some(namespaces) = namespaces {
            let sent: Vec<String> =
                namespaces.mailbox.received().into_iter().map(|mail| mail.data).collect();
            repeated = sent.len();
            let sent = distinct(sent);
            repeated -= sent.len();
            write_mails(&sent, directory.path());
        }
        let mails = read_mails(directory.path());
        assert_eq!(mails.len(), count, "{mails:?}");
        (mails, repeated)
    }

    /// Wait until no message is in the outbox or a queue.
    pub async fn wait_until_idle(&self) {
        eventually("no message waits", || async {
            let outbox = self.database().next_outgoing().await.expect("the database responds");
            let mut waiting = u64::from(outbox.is_some());
            for queue in Queue::ALL {
                waiting += self
                    .maintenance()
                    .broker
                    .message_count(queue)
                    .await
                    .expect("the broker responds");
            }
            (waiting == 0).then_some(())
        })
        .await;
    }

    /// Insert queued jobs without videos for a user directly into the database, which has to be the
    /// embedded one; return their ids, oldest first. Their messages are due in an hour, so that no
    /// worker gets them before the story ends.
    pub async fn insert_jobs(&self, owner: &str, filenames: Vec<String>) -> Vec<String> {
        let owner = owner.parse().expect("a user's id");
        let clock = Clock::default();
        clock.advance(Duration::from_hours(1));
        let file = self.directory.path().join("fiapx.db");
        let database =
            Database::sqlite(&file, clock, Rules::default()).await.expect("the database opens");
        let video = |filename: String| {
            let id = JobId::generate();
            let path = format!("videos/{owner}/{id}/input.mp4");
            Video {
                id,
                filename,
                format: VideoFormat::Mp4,
                path,
                size_bytes: 1,
                source: None,
                recipe: jobs::Recipe::default(),
            }
        };
        let videos: Vec<Video> = filenames.into_iter().map(video).collect();
        for some in videos.chunks(500) {
            for video in some {
                let begun = database.begin_upload(owner, video.id, &video.path, 0..=0).await;
                begun.expect("the upload is recorded");
            }
            database.accept(owner, some, None, None).await.expect("the jobs are accepted");
        }
        videos.iter().map(|video| video.id.to_string()).collect()
    }

    /// Execute statements in its database, which has to be the embedded one.
    pub fn execute_sql(&self, statements: &str) {
        let program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=60); \
                       c.executescript(sys.argv[2]); c.close()";
        let file = self.directory.path().join("fiapx.db");
        output(tool("python3").args(["-c", program]).arg(file).arg(statements))
            .expect("the statements are valid");
    }

    /// Advance its clock.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Stop it gracefully and return its data directory.
    pub async fn stop(self) -> tempfile::TempDir {
        self.running.stop_token().cancel();
        self.running.stopped().await.expect("the service stops without errors");
        self.directory
    }
}

/// Whether a file of a store is a preview.
pub fn is_preview(path: &str) -> bool {
    path.contains("/preview-")
}

/// Files in the store of a data directory, as in [`Service::files`].
pub fn stored(data_directory: &Path) -> BTreeMap<String, u64> {
    let mut files = stored_and_previews(data_directory);
    files.retain(|path, _| !is_preview(path));
    files
}

/// All files in the store of a data directory.
pub fn stored_and_previews(data_directory: &Path) -> BTreeMap<String, u64> {
    let root = data_directory.join("files");
    let (mut found, mut left) = (BTreeMap::new(), vec![root.clone()]);
    while let Some(directory) = left.pop() {
        // A running service creates and removes directories meanwhile.
        let Ok(entries) = directory.read_dir() else { continue };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(kind) if kind.is_dir() => left.push(entry.path()),
                Ok(file) => {
                    let path = entry.path();
                    let path = path.strip_prefix(&root).expect("it is below the root");
                    if path == Path::new("installation") {
                        continue;
                    }
                    found.insert(path.to_string_lossy().into_owned(), file.len());
                }
                Err(_) => {}
            }
        }
    }
    found
}
