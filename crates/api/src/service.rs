//! Shared state of all operations.

use std::sync::Arc;

use database::Database;
use jobs::UserId;
use jobs::trace::CurrentTraceparent;
use jobs::video::Container;
use storage::Storage;
use storage::disk::Disk;
use tokio_util::sync::CancellationToken;

use crate::archives::ArchiveReader;
use crate::concurrency::UserSlots;
use crate::fair_queue::FairQueue;
use crate::health::HealthChecks;
use crate::job_watch::JobWatcher;
use crate::key_uses::KeyUses;
use crate::passwords::PasswordHashes;
use crate::rate_limit::RateLimiter;
use crate::selection_links::SelectionLinks;
use crate::settings::Settings;
use crate::tokens::AccessTokens;
use crate::upload_slots::UploadSlots;

/// Detects the container of a file from its first [`Container::HEAD_BYTES`] bytes.
pub type DetectContainer = fn(&[u8]) -> Option<Container>;

/// Renders the metrics of this process in Prometheus's text format.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Parts that the interface works with.
pub struct Parts {
    /// Users and jobs.
    pub database: Database,
    /// Videos and archives.
    pub storage: Arc<dyn Storage>,
    /// The same store, if this process serves its download links.
    pub disk: Option<Arc<Disk>>,
    /// Dependencies whose health is reported.
    pub health: HealthChecks,
    /// Rate limits.
    pub rate_limiter: Arc<dyn RateLimiter>,
    /// Detector of containers.
    pub detect_container: DetectContainer,
    /// Metrics, if this port serves them.
    pub metrics: Option<RenderMetrics>,
    /// Position of the caller in a trace.
    pub current_traceparent: CurrentTraceparent,
    /// Cancelled when the process has to stop. Requests are still accepted then, but connections
    /// are closed after each response.
    pub stop: CancellationToken,
    /// Cancelled when requests are no longer accepted. Event streams end then.
    pub closing: CancellationToken,
}

/// Shared state of all operations.
pub struct Service {
    pub(crate) parts: Parts,
    pub(crate) settings: Settings,
    pub(crate) passwords: PasswordHashes,
    pub(crate) access_tokens: AccessTokens,
    pub(crate) selection_links: SelectionLinks,
    pub(crate) key_uses: Arc<KeyUses>,
    pub(crate) job_watcher: JobWatcher,
    pub(crate) upload_slots: Arc<UploadSlots>,
    pub(crate) archives: ArchiveReader,
    /// Event streams that are open.
    pub(crate) event_streams: Arc<UserSlots>,
    /// Frames, thumbnails and lists of frames that are read.
    pub(crate) reads: Arc<UserSlots>,
    /// Archives that are downloaded, also by links, which a user may have given to others.
    pub(crate) downloads: Arc<UserSlots>,
    /// Transactions of uploads. Those of a user with many uploads would precede everybody else's
    /// where they wait for a connection.
    pub(crate) upload_transactions: Arc<FairQueue<UserId>>,
}

impl Service {
    /// Create the state from its parts and settings.
    #[must_use]
    pub fn new(parts: Parts, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            passwords: PasswordHashes::default(),
            access_tokens: AccessTokens::new(&settings, parts.database.clock().clone()),
            selection_links: SelectionLinks::new(&settings, parts.database.clock().clone()),
            key_uses: Arc::default(),
            job_watcher: JobWatcher::new(parts.database.clone()),
            upload_slots: Arc::default(),
            archives: ArchiveReader::new(Arc::clone(&parts.storage)),
            event_streams: UserSlots::new(settings.event_streams_at_once),
            reads: UserSlots::new(settings.reads_at_once),
            downloads: UserSlots::new(settings.reads_at_once),
            upload_transactions: FairQueue::new(parts.database.transactions_at_once(), 0),
            parts,
            settings,
        })
    }

    pub(crate) fn database(&self) -> &Database {
        &self.parts.database
    }
}
