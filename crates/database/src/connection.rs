//! Connection to PostgreSQL or SQLite, and the rules that all transactions follow.

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

use crate::error::Error;

/// Time limits that the transactions apply.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Number of attempts and the pauses between them.
    pub retries: RetryPolicy,
    /// Time for which a worker holds a job without renewing its lease.
    pub lease: Duration,
    /// Time for which the files of a finished job are kept.
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

/// Connected database. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Database {
    /// Connection for writes. SQLite allows one writer at a time; with a single connection no task
    /// of this process finds the database locked.
    pub(crate) write: DatabaseConnection,
    /// Connections for reads.
    pub(crate) read: DatabaseConnection,
    pub(crate) clock: Clock,
    pub(crate) rules: Arc<Rules>,
    /// Notified after each commit that wrote into the outbox.
    outbox: Arc<Notify>,
}

impl Database {
    /// Open the SQLite database in a file, and create the file if it does not exist.
    pub async fn sqlite(file: &Path, clock: Clock, rules: Rules) -> Result<Self, Error> {
        const READERS: u32 = 4;
        let write = connect_sqlite(file, 1).await?;
        let read = connect_sqlite(file, READERS).await?;
        Ok(Self { write, read, clock, rules: Arc::new(rules), outbox: Arc::default() })
    }

    /// Connect to PostgreSQL at a URL such as `postgresql://user:password@host:5432/fiapx`.
    pub async fn postgres(url: &SecretString, clock: Clock, rules: Rules) -> Result<Self, Error> {
        // URLs of SQLAlchemy name a driver after a plus sign; the rest is equal.
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
        let write = sea_orm::Database::connect(options).await.map_err(connection_error)?;
        Ok(Self {
            read: write.clone(),
            write,
            clock,
            rules: Arc::new(rules),
            outbox: Arc::default(),
        })
    }

    /// Apply all pending migrations in one transaction. Several processes may do so at once.
    ///
    /// # Errors
    /// [`Error::LaterSchema`] if a later program has migrated the database.
    pub async fn migrate(&self) -> Result<(), Error> {
        let transaction = self.begin().await?;
        if transaction.get_database_backend() == DbBackend::Postgres {
            // On SQLite this transaction is the only writer; on PostgreSQL an advisory lock keeps
            // other processes out. Its number is arbitrary.
            transaction.execute_unprepared("SELECT pg_advisory_xact_lock(7394012658)").await?;
        }
        Migrator::up(&transaction, None).await.map_err(migration_error)?;
        Ok(transaction.commit().await?)
    }

    /// Check that the database answers and that its schema has everything this program needs. The
    /// schema of a later program has: both versions run on it while processes are replaced.
    ///
    /// # Errors
    /// [`Error::Schema`] if migrations are pending.
    pub async fn check(&self) -> Result<(), Error> {
        match Migrator::get_pending_migrations_read_only(&self.read).await.map_err(migration_error)
        {
            Ok(pending) if pending.is_empty() => Ok(()),
            Ok(_) => Err(Error::Schema),
            Err(Error::LaterSchema) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Clock that sets all times in the database.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Time limits that the transactions apply.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Wait until this process has written into the outbox.
    pub async fn outbox_filled(&self) {
        self.outbox.notified().await;
    }

    /// Current time of the clock.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Wake the relay of this process. Must be called after the commit.
    pub(crate) fn wake_relay(&self) {
        self.outbox.notify_one();
    }

    /// Begin a transaction that writes.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, Error> {
        // A deferred transaction that reads before it writes can fail with SQLITE_BUSY_SNAPSHOT.
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(self.write.begin_with_options(options).await?)
    }
}

/// Time for which a process waits for another one that writes to the same SQLite database.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Open a pool of connections to an SQLite database.
async fn connect_sqlite(file: &Path, connections: u32) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new("sqlite::memory:");
    let file = file.to_owned();
    options.sqlx_logging(false).max_connections(connections).map_sqlx_sqlite_opts(move |options| {
        // `synchronous=FULL` makes a commit survive a power failure; the default of WAL mode
        // may lose the last ones (SQLite, "PRAGMA synchronous").
        options
            .in_memory(false)
            .shared_cache(false)
            .filename(&file)
            .create_if_missing(true)
            .foreign_keys(true)
            .pragma("journal_mode", "WAL")
            .pragma("synchronous", "FULL")
            .busy_timeout(SQLITE_BUSY_TIMEOUT)
            .read_only(false)
    });
    // The busy timeout does not apply when two processes switch to the write-ahead log at once.
    let began = Instant::now();
    loop {
        match sea_orm::Database::connect(options.clone()).await {
            Err(error) if is_busy(&error) && began.elapsed() < SQLITE_BUSY_TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            connected => return connected,
        }
    }
}

/// Map the timeout of the pool, which retries while no server responds and drops the cause.
fn connection_error(error: DbErr) -> Error {
    match &error {
        DbErr::Conn(RuntimeErr::SqlxError(cause)) if matches!(**cause, SqlxError::PoolTimedOut) => {
            Error::Unreachable
        }
        _ => error.into(),
    }
}

/// Map errors of the migrator. It uses `DbErr::Custom` only if the database has migrations that
/// this program does not know.
fn migration_error(error: DbErr) -> Error {
    if matches!(error, DbErr::Custom(_)) { Error::LaterSchema } else { error.into() }
}

/// Whether another process has locked the SQLite database (SQLITE_BUSY is the low byte of SQLite's
/// extended result codes).
fn is_busy(error: &DbErr) -> bool {
    let DbErr::Conn(RuntimeErr::SqlxError(error)) = error else { return false };
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    code.is_some_and(|code| code & 0xFF == 5)
}
