//! Connection to PostgreSQL or SQLite, and the rules that all transactions follow.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobs::retry::RetryPolicy;
use jobs::{Clock, Time};
use migrations::Migrator;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection};
use sea_orm::sqlx::{Connection as _, Postgres, pool::PoolOptions};
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, RuntimeErr,
    SqliteTransactionMode, SqlxError, Statement, TransactionOptions,
};
use sea_orm_migration::MigratorTrait;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Notify;

use crate::bounded::{Connection, Transaction};
use crate::error::Error;

/// Limits that the transactions apply.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Number of attempts and the pauses between them.
    pub retries: RetryPolicy,
    /// Time for which a worker holds a job without renewing its lease.
    pub lease: Duration,
    /// Time for which the files of a finished job are kept.
    pub retention: Duration,
    /// Quotas of each user.
    pub quotas: Quotas,
}

/// Quotas of one user.
#[derive(Debug, Clone, Copy)]
pub struct Quotas {
    /// Maximum number of jobs that wait or run, and of videos that are being received.
    pub unfinished_jobs: u64,
    /// Maximum number of jobs that are accepted within an hour.
    pub jobs_per_hour: u64,
    /// Maximum size of the stored videos and archives, in bytes.
    pub stored_bytes: u64,
}

impl Default for Quotas {
    /// No limits.
    fn default() -> Self {
        Self { unfinished_jobs: u64::MAX, jobs_per_hour: u64::MAX, stored_bytes: u64::MAX }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            retries: RetryPolicy::default(),
            lease: Duration::from_mins(1),
            retention: Duration::from_hours(7 * 24),
            quotas: Quotas::default(),
        }
    }
}

/// Number of queries that an SQLite database processes at a time. Others wait for a connection, in
/// the order in which they arrived.
pub const SQLITE_READERS: u32 = 8;

/// Maximum number of connections of a process to a PostgreSQL server.
const POSTGRES_CONNECTIONS: u32 = 16;

/// Connected database. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Database {
    /// Connection for writes. SQLite allows one writer at a time; with a single connection no task
    /// of this process finds the database locked.
    pub(crate) write: Connection,
    /// Connections for reads.
    pub(crate) read: Connection,
    pub(crate) clock: Clock,
    pub(crate) rules: Arc<Rules>,
    /// Notified after each commit that wrote into the outbox.
    outbox: Arc<Notify>,
    /// Notified after each commit that wrote a mail about an account.
    mails: Arc<Notify>,
    /// Notified after each commit that wrote the delivery of a webhook outside of an outcome.
    webhooks: Arc<Notify>,
}

impl Database {
    /// Open the SQLite database in a file, and create the file if it does not exist.
    pub async fn sqlite(file: &Path, clock: Clock, rules: Rules) -> Result<Self, Error> {
        let write = connect_sqlite(file, 1).await?;
        let read = connect_sqlite(file, SQLITE_READERS).await?;
        let unlimited = |pool| Connection { pool, limit: None };
        let (write, read) = (unlimited(write), unlimited(read));
        let (outbox, mails, webhooks) = Default::default();
        Ok(Self { write, read, clock, rules: Arc::new(rules), outbox, mails, webhooks })
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
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_timeout(ACQUIRE_TIMEOUT)
            .map_sqlx_postgres_opts(limit_session)
            .map_sqlx_postgres_pool_opts(check_connections);
        let pool = sea_orm::Database::connect(options).await.map_err(connection_error)?;
        let write = Connection { pool, limit: Some(CALL_TIMEOUT) };
        let (read, rules) = (write.clone(), Arc::new(rules));
        let (outbox, mails, webhooks) = Default::default();
        let database = Self { write, read, clock, rules, outbox, mails, webhooks };
        database.synchronize_clock().await?;
        Ok(database)
    }

    /// Number of transactions of one kind that should write at a time, so that others find a
    /// connection. More would wait for one in the order in which they arrived.
    #[must_use]
    pub fn transactions_at_once(&self) -> usize {
        match self.write.get_database_backend() {
            DbBackend::Postgres => POSTGRES_CONNECTIONS as usize / 2,
            // There is one connection that writes.
            _ => 1,
        }
    }

    /// Set the clock to that of the database server, so that all processes have the same time even
    /// if the clocks of their machines differ. The embedded database uses that of its machine.
    pub async fn synchronize_clock(&self) -> Result<(), Error> {
        if self.write.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        for _ in 0..CLOCK_ATTEMPTS {
            let statement =
                Statement::from_string(DbBackend::Postgres, "SELECT clock_timestamp() AS time");
            let asked = Instant::now();
            let row = self.write.query_one_raw(statement).await?;
            let round_trip = asked.elapsed();
            let time = row.map(|row| row.try_get("", "time")).transpose()?;
            if let Some(time) = time
                && round_trip <= MAX_CLOCK_ROUND_TRIP
            {
                // The server has read its clock at some time between the request and its response.
                self.clock.synchronize(time, asked + round_trip / 2);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Apply all pending migrations in one transaction. Several processes may do so at once.
    ///
    /// # Errors
    /// [`Error::LaterSchema`] if a later program has migrated the database.
    pub async fn migrate(&self) -> Result<(), Error> {
        let transaction = self.write.unlimited().begin(transaction_options()).await?;
        if transaction.get_database_backend() == DbBackend::Postgres {
            // A new index on a large table takes minutes.
            for limit in ["statement_timeout", "lock_timeout"] {
                transaction.execute_unprepared(&format!("SET LOCAL {limit} = 0")).await?;
            }
            // On SQLite this transaction is the only writer; on PostgreSQL an advisory lock keeps
            // other processes out. Its number is arbitrary.
            transaction.execute_unprepared("SELECT pg_advisory_xact_lock(7394012658)").await?;
        }
        Migrator::up(&transaction.transaction, None).await.map_err(migration_error)?;
        Ok(transaction.commit().await?)
    }

    /// Check that the database answers and that its schema has everything this program needs. The
    /// schema of a later program has: both versions run on it while processes are replaced.
    ///
    /// # Errors
    /// [`Error::Schema`] if migrations are pending.
    pub async fn check(&self) -> Result<(), Error> {
        match Migrator::get_pending_migrations_read_only(&self.read.pool)
            .await
            .map_err(migration_error)
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

    /// Limits that the transactions apply.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Wait until this process has written into the outbox.
    pub async fn outbox_filled(&self) {
        self.outbox.notified().await;
    }

    /// Wait until this process has written a mail about an account.
    pub async fn mails_written(&self) {
        self.mails.notified().await;
    }

    /// Wait until this process has asked for the delivery of a webhook.
    pub async fn webhooks_written(&self) {
        self.webhooks.notified().await;
    }

    /// Current time of the clock.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Wake the relay of this process. Must be called after the commit.
    pub(crate) fn wake_relay(&self) {
        self.outbox.notify_one();
    }

    /// Wake the notifier of this process. Must be called after the commit.
    pub(crate) fn wake_mailer(&self) {
        self.mails.notify_one();
    }

    /// Wake the delivery of webhooks in this process. Must be called after the commit.
    pub(crate) fn wake_webhooks(&self) {
        self.webhooks.notify_one();
    }

    /// Begin a transaction that writes.
    pub(crate) async fn begin(&self) -> Result<Transaction, Error> {
        Ok(self.write.begin(transaction_options()).await?)
    }
}

/// Options of transactions that write.
fn transaction_options() -> TransactionOptions {
    // A deferred transaction that reads before it writes can fail with SQLITE_BUSY_SNAPSHOT.
    TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    }
}

/// Maximum time until a connection is available.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum time of one call, including the wait for a connection.
const CALL_TIMEOUT: Duration = Duration::from_secs(25);

/// Maximum time until an idle connection has to respond before it is used, and a used one before it
/// is idle again. It is short because all connections may be broken at once.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum time between the request for the server's clock and the response: the bound of the error
/// is half of it.
const MAX_CLOCK_ROUND_TRIP: Duration = Duration::from_secs(1);

/// Maximum number of requests for the server's clock. If all take too long, the clock goes on as it
/// is until the next synchronization.
const CLOCK_ATTEMPTS: usize = 3;

/// Set limits that the server enforces. A process that is frozen within a transaction, or whose
/// network fails, holds the locks of its rows until the server ends the transaction (PostgreSQL,
/// "Client Connection Defaults" and "TCP Settings").
fn limit_session(options: PgConnectOptions) -> PgConnectOptions {
    options.options([
        ("statement_timeout", "20s"),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
    ])
}

/// Check connections before and after their use, within a time limit; those that fail are closed.
fn check_connections(options: PoolOptions<Postgres>) -> PoolOptions<Postgres> {
    options
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(ping(connection)))
        .after_release(|connection, _| Box::pin(ping(connection)))
}

async fn ping(connection: &mut PgConnection) -> Result<bool, SqlxError> {
    let timeout = || SqlxError::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(PING_TIMEOUT, connection.ping()).await.map_err(|_| timeout())??;
    Ok(true)
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
    // No connection can break. Without the check, a query wakes the thread of its connection once
    // instead of twice.
    options.map_sqlx_sqlite_pool_opts(|options| options.test_before_acquire(false));
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
