//! Connections and transactions whose calls have a time limit.
//!
//! A server that is paused, or a network that drops every packet, would otherwise block its callers
//! until TCP gives up, after about a quarter of an hour (`tcp_retries2` in `tcp(7)`).

use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, RuntimeErr, Statement, TransactionOptions, TransactionTrait,
};

/// Run a call. It fails with a connection error at the end of its time limit.
async fn within<T>(
    limit: Option<Duration>,
    call: impl Future<Output = Result<T, DbErr>>,
) -> Result<T, DbErr> {
    let Some(limit) = limit else { return call.await };
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        let message = format!("no response within {} seconds", limit.as_secs());
        Err(DbErr::Conn(RuntimeErr::Internal(message)))
    })
}

/// Pool of connections.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) pool: DatabaseConnection,
    /// Time limit of each call, if there is one.
    pub(crate) limit: Option<Duration>,
}

impl Connection {
    /// Begin a transaction.
    pub(crate) async fn begin(&self, options: TransactionOptions) -> Result<Transaction, DbErr> {
        let transaction = within(self.limit, self.pool.begin_with_options(options)).await?;
        Ok(Transaction { transaction, limit: self.limit })
    }

    /// The same connections without a time limit, for migrations.
    pub(crate) fn unlimited(&self) -> Self {
        Self { pool: self.pool.clone(), limit: None }
    }
}

/// Transaction, which is rolled back when it is dropped.
pub(crate) struct Transaction {
    pub(crate) transaction: DatabaseTransaction,
    limit: Option<Duration>,
}

impl Transaction {
    /// Commit. After an error the transaction may be committed or not.
    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        within(self.limit, self.transaction.commit()).await
    }

    pub(crate) async fn rollback(self) -> Result<(), DbErr> {
        within(self.limit, self.transaction.rollback()).await
    }
}

/// Implement the trait by calls of a field, each with the time limit.
macro_rules! impl_connection {
    ($name:ident, $field:ident) => {
        #[async_trait::async_trait]
        impl ConnectionTrait for $name {
            fn get_database_backend(&self) -> DbBackend {
                self.$field.get_database_backend()
            }

            async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
                within(self.limit, self.$field.execute_raw(statement)).await
            }

            async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
                within(self.limit, self.$field.execute_unprepared(sql)).await
            }

            async fn query_one_raw(
                &self,
                statement: Statement,
            ) -> Result<Option<QueryResult>, DbErr> {
                within(self.limit, self.$field.query_one_raw(statement)).await
            }

            async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
                within(self.limit, self.$field.query_all_raw(statement)).await
            }
        }
    };
}

impl_connection!(Connection, pool);
impl_connection!(Transaction, transaction);
