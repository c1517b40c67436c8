//! How the database is reached.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobs::retry::RetryPolicy;
use jobs::{Clock, Time};
use migrations::Migrator;
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    RuntimeErr, SqliteTransactionMode, SqlxError, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Notify;

use crate::Error;

/// The rules of time that the rows follow.
#[derive(Debug, Clone)]
pub struct Rules {
    /// When a failed attempt is followed by another.
    pub retries: RetryPolicy,
    /// How long a worker has a job without a sign of life.
    pub lease: Duration,
    /// How long files are kept.
    pub retention: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            retries: RetryPolicy::default(),
            lease: Duration::from_mins(1),
            retention: Duration::from_hours(7 * 24),
        }
    }
}

/// A connected database. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Database {
    /// SQLite has one writer at a time: with one connection nobody ever meets a locked database.
    pub(crate) write: DatabaseConnection,
    pub(crate) read: DatabaseConnection,
    pub(crate) clock: Clock,
    pub(crate) rules: Arc<Rules>,
    outbox: Arc<Notify>,
}

impl Database {
    /// Open the SQLite database in a file, which is made if it is not there.
    pub async fn sqlite(file: &Path, clock: Clock, rules: Rules) -> Result<Self, Error> {
        const READERS: u32 = 4;
        /// How long one process waits for another that writes.
        const BUSY: Duration = Duration::from_secs(10);
        let connect = async |readers: Option<u32>| {
            let mut options = ConnectOptions::new("sqlite::memory:");
            let file = file.to_owned();
            options.sqlx_logging(false).max_connections(readers.unwrap_or(1)).map_sqlx_sqlite_opts(
                move |options| {
                    // An accepted upload survives a power cut: WAL alone would let the last commits
                    // go (SQLite, "PRAGMA synchronous").
                    options
                        .in_memory(false)
                        .shared_cache(false)
                        .filename(&file)
                        .create_if_missing(true)
                        .foreign_keys(true)
                        .pragma("journal_mode", "WAL")
                        .pragma("synchronous", "FULL")
                        .busy_timeout(BUSY)
                        .read_only(false)
                },
            );
            // Two processes that turn the write-ahead log on at once do not wait for each other,
            // whatever the time-out says.
            let began = Instant::now();
            loop {
                match sea_orm::Database::connect(options.clone()).await {
                    Err(error) if is_busy(&error) && began.elapsed() < BUSY => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    connected => return connected,
                }
            }
        };
        let write = connect(None).await?;
        let read = connect(Some(READERS)).await?;
        Ok(Self { write, read, clock, rules: Arc::new(rules), outbox: Arc::default() })
    }

    /// Connect to PostgreSQL by a URL such as `postgresql://user:password@host:5432/fiapx`.
    pub async fn postgres(url: &SecretString, clock: Clock, rules: Rules) -> Result<Self, Error> {
        // SQLAlchemy's URLs name their driver behind a plus sign; the rest is the same.
        let url = url.expose_secret();
        let url = url.split_once("://").map_or(url.to_owned(), |(scheme, rest)| {
            let scheme = scheme.split('+').next().unwrap_or(scheme);
            format!("{scheme}://{rest}")
        });
        let mut options = ConnectOptions::new(url);
        options
            .sqlx_logging(false)
            .max_connections(16)
            .acquire_timeout(Duration::from_secs(10))
            .connect_timeout(Duration::from_secs(10));
        let write = sea_orm::Database::connect(options).await.map_err(of_connecting)?;
        Ok(Self {
            read: write.clone(),
            write,
            clock,
            rules: Arc::new(rules),
            outbox: Arc::default(),
        })
    }

    /// Bring the schema up to date, all of it or nothing. Safe to run twice, also by several
    /// processes at once.
    ///
    /// # Errors
    /// [`Error::LaterSchema`] if the schema is that of a later program.
    pub async fn migrate(&self) -> Result<(), Error> {
        let transaction = self.begin().await?;
        if transaction.get_database_backend() == DbBackend::Postgres {
            // On SQLite nobody else writes during this transaction; on PostgreSQL its lock keeps
            // others out. The number names the lock and means nothing.
            transaction.execute_unprepared("SELECT pg_advisory_xact_lock(7394012658)").await?;
        }
        Migrator::up(&transaction, None).await.map_err(of_schema)?;
        Ok(transaction.commit().await?)
    }

    /// Whether the database answers and its schema has all that this program needs. That of a later
    /// program has: while processes are replaced, those of both work on it.
    ///
    /// # Errors
    /// [`Error::Schema`] if the schema is that of an earlier program.
    pub async fn check(&self) -> Result<(), Error> {
        match Migrator::get_pending_migrations_read_only(&self.read).await.map_err(of_schema) {
            Ok(pending) if pending.is_empty() => Ok(()),
            Ok(_) => Err(Error::Schema),
            Err(Error::LaterSchema) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The clock that the rows follow.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The rules that the rows follow.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Wait until this process has put something into the outbox.
    pub async fn outbox_filled(&self) {
        self.outbox.notified().await;
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Tell the relay of this process that there is work. To be called after the commit.
    pub(crate) fn wake_relay(&self) {
        self.outbox.notify_one();
    }

    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, Error> {
        // A deferred transaction that reads before it writes can fail half-way
        // (SQLITE_BUSY_SNAPSHOT).
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(self.write.begin_with_options(options).await?)
    }
}

/// While nobody answers, the pool tries again and again, and then tells only that it has given up.
fn of_connecting(error: DbErr) -> Error {
    match &error {
        DbErr::Conn(RuntimeErr::SqlxError(cause)) if matches!(**cause, SqlxError::PoolTimedOut) => {
            Error::Unreachable
        }
        _ => error.into(),
    }
}

/// The migrator has an error of its own for one case only: the database knows of changes that this
/// program does not.
fn of_schema(error: DbErr) -> Error {
    if matches!(error, DbErr::Custom(_)) { Error::LaterSchema } else { error.into() }
}

/// Whether another process has the SQLite database to itself (SQLITE_BUSY, the low byte of SQLite's
/// result codes).
fn is_busy(error: &DbErr) -> bool {
    let DbErr::Conn(RuntimeErr::SqlxError(error)) = error else { return false };
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    code.is_some_and(|code| code & 0xFF == 5)
}
