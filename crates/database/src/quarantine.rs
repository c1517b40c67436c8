//! Quarantine: jobs whose rows maintenance cannot read, because a later version wrote them or an
//! operator changed them. Such a row must not stop the others.

use std::time::Duration;

use jobs::{JobId, Time};
use sea_orm::sea_query::{OnConflict, Query, SelectStatement};
use sea_orm::{ActiveValue, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};
use tracing::error;

use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::rows::{job, quarantine};

/// Time after which a row is read again. A program of a later version may be able to.
const RETRY: Duration = Duration::from_mins(10);

/// Job whose row could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Id of the job.
    pub id: JobId,
    /// Value that could not be read.
    pub reason: String,
    /// Time at which it is read again.
    pub retry_at: Time,
}

impl Database {
    /// Convert the row of a job. A row that cannot be read is quarantined, and the result is
    /// `None`.
    pub(crate) async fn readable(&self, row: job::Model) -> Result<Option<Job>, Error> {
        let id = JobId(row.id);
        match Job::try_from(row) {
            Ok(job) => Ok(Some(job)),
            Err(unreadable) => {
                self.quarantine(id, &unreadable.to_string()).await?;
                Ok(None)
            }
        }
    }

    /// Job with this id, if its row can be read. See [`readable`](Self::readable).
    pub(crate) async fn readable_job(&self, id: JobId) -> Result<Option<Job>, Error> {
        match job::Entity::find_by_id(id.0).one(&self.read).await? {
            Some(row) => self.readable(row).await,
            None => Ok(None),
        }
    }

    async fn quarantine(&self, id: JobId, reason: &str) -> Result<(), Error> {
        error!(job_id = %id, reason, "the row of a job cannot be read; it is left alone");
        let row = quarantine::ActiveModel {
            job_id: ActiveValue::Set(id.0),
            reason: ActiveValue::Set(reason.to_owned()),
            retry_at: ActiveValue::Set(self.now() + RETRY),
        };
        let replace = OnConflict::column(quarantine::Column::JobId)
            .update_columns([quarantine::Column::Reason, quarantine::Column::RetryAt])
            .to_owned();
        let insert = quarantine::Entity::insert(row).on_conflict(replace);
        insert.exec_without_returning(&self.write).await?;
        Ok(())
    }

    /// Ids of the jobs that maintenance leaves alone now.
    pub(crate) fn quarantined_ids(&self) -> SelectStatement {
        Query::select()
            .column(quarantine::Column::JobId)
            .from(quarantine::Entity)
            .cond_where(quarantine::Column::RetryAt.gt(self.now()))
            .to_owned()
    }

    /// Release the rows that are to be read again. If they still cannot be read, they return.
    pub async fn release_quarantined(&self) -> Result<(), Error> {
        quarantine::Entity::delete_many()
            .filter(quarantine::Column::RetryAt.lte(self.now()))
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Jobs in quarantine.
    pub async fn quarantined(&self) -> Result<Vec<Quarantined>, Error> {
        let rows = quarantine::Entity::find()
            .order_by_asc(quarantine::Column::JobId)
            .all(&self.read)
            .await?;
        let job = |row: quarantine::Model| Quarantined {
            id: JobId(row.job_id),
            reason: row.reason,
            retry_at: row.retry_at,
        };
        Ok(rows.into_iter().map(job).collect())
    }

    /// Number of jobs in quarantine.
    pub async fn quarantined_count(&self) -> Result<u64, Error> {
        Ok(quarantine::Entity::find().count(&self.read).await?)
    }
}
