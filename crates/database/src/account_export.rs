//! Rows of one user, for an export of everything that the database has of them. Columns are not
//! chosen but left out, so that those of later versions are included.

use std::collections::HashMap;

use jobs::UserId;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use serde_json::Value;
use uuid::Uuid;

use crate::connection::Database;
use crate::error::Error;
use crate::rows::{
    account_mail, account_token, api_key, idempotency_key, job, job_event, job_share, notification,
    past_job, refresh_token, resumable_upload, upload, user, webhook, webhook_delivery,
};

/// Maximum number of rows in a page.
const PAGE: u64 = 200;

/// Columns that are left out: secrets, and hashes of secrets.
const SECRETS: [&str; 8] = [
    "password_hash",
    "token_hash",
    "token",
    "key_hash",
    "secret",
    "previous_secret",
    "source_query",
    "unsubscribe_secret",
];

/// Columns with JSON, as text.
const JSON_COLUMNS: [&str; 7] =
    ["record", "recipe", "warnings", "warning_details", "events", "body", "parts"];

/// Rows of a user in one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportedTable {
    /// The user.
    Account,
    /// Refresh tokens of sessions.
    Sessions,
    /// API keys.
    Keys,
    /// Jobs with their events and notifications.
    Jobs,
    /// Jobs that ended long ago.
    JobHistory,
    /// Links by which others see jobs.
    JobShares,
    /// Uploads in progress.
    Uploads,
    /// Resumable uploads, also those that are jobs.
    ResumableUploads,
    /// Keys of repeated requests.
    IdempotencyKeys,
    /// Links in mails.
    Links,
    /// Mails about the account.
    Mails,
    /// Webhooks.
    Webhooks,
    /// Deliveries to webhooks.
    WebhookDeliveries,
}

impl ExportedTable {
    /// All tables.
    pub const ALL: [Self; 13] = [
        Self::Account,
        Self::Sessions,
        Self::Keys,
        Self::Jobs,
        Self::JobHistory,
        Self::JobShares,
        Self::Uploads,
        Self::ResumableUploads,
        Self::IdempotencyKeys,
        Self::Links,
        Self::Mails,
        Self::Webhooks,
        Self::WebhookDeliveries,
    ];

    /// Name, in lower case with underscores.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Sessions => "sessions",
            Self::Keys => "keys",
            Self::Jobs => "jobs",
            Self::JobHistory => "job_history",
            Self::JobShares => "job_shares",
            Self::Uploads => "uploads",
            Self::ResumableUploads => "resumable_uploads",
            Self::IdempotencyKeys => "idempotency_keys",
            Self::Links => "links",
            Self::Mails => "mails",
            Self::Webhooks => "webhooks",
            Self::WebhookDeliveries => "webhook_deliveries",
        }
    }
}

/// Page of rows.
#[derive(Debug, Clone)]
pub struct ExportedPage {
    /// Rows as JSON objects.
    pub rows: Vec<Value>,
    /// Last row of the page, if there may be more.
    pub next: Option<Uuid>,
}

impl Database {
    /// Rows of a user in a table, without secrets, a page at a time: `after` is the end of the
    /// previous page.
    pub async fn export(
        &self,
        user: UserId,
        table: ExportedTable,
        after: Option<Uuid>,
    ) -> Result<ExportedPage, Error> {
        macro_rules! page {
            ($table:ident, $owner:ident) => {{
                let of_user = $table::Entity::find().filter($table::Column::$owner.eq(user.0));
                self.export_page(of_user, $table::Column::Id, after).await
            }};
        }
        match table {
            ExportedTable::Account => page!(user, Id),
            ExportedTable::Sessions => page!(refresh_token, UserId),
            ExportedTable::Keys => page!(api_key, UserId),
            ExportedTable::Jobs => {
                let page = page!(job, UserId)?;
                self.with_events(page).await
            }
            ExportedTable::JobHistory => page!(past_job, UserId),
            ExportedTable::JobShares => page!(job_share, UserId),
            ExportedTable::Uploads => page!(upload, UserId),
            ExportedTable::ResumableUploads => page!(resumable_upload, UserId),
            ExportedTable::IdempotencyKeys => {
                // They have no id, and are few: each is kept for a day.
                let rows = idempotency_key::Entity::find()
                    .filter(idempotency_key::Column::UserId.eq(user.0))
                    .into_json()
                    .all(&self.read)
                    .await?;
                Ok(ExportedPage { rows, next: None })
            }
            ExportedTable::Links => page!(account_token, UserId),
            ExportedTable::Mails => page!(account_mail, UserId),
            ExportedTable::Webhooks => page!(webhook, UserId),
            ExportedTable::WebhookDeliveries => page!(webhook_delivery, UserId),
        }
    }

    /// A page of the rows of a query, in the order of their ids.
    async fn export_page<E: EntityTrait>(
        &self,
        query: Select<E>,
        id: E::Column,
        after: Option<Uuid>,
    ) -> Result<ExportedPage, Error> {
        let query = match after {
            Some(after) => query.filter(id.gt(after)),
            None => query,
        };
        let mut rows = query.order_by_asc(id).limit(PAGE).into_json().all(&self.read).await?;
        for row in &mut rows {
            if let Some(columns) = row.as_object_mut() {
                columns.retain(|name, _| !SECRETS.contains(&name.as_str()));
                for (name, value) in columns {
                    if JSON_COLUMNS.contains(&name.as_str())
                        && let Some(text) = value.as_str()
                        && let Ok(json) = serde_json::from_str(text)
                    {
                        *value = json;
                    }
                }
            }
        }
        let is_full = rows.len() as u64 == PAGE;
        let next = rows.last().filter(|_| is_full).map(id_of).transpose()?;
        Ok(ExportedPage { rows, next })
    }

    /// Add the events and the notifications of jobs.
    async fn with_events(&self, mut page: ExportedPage) -> Result<ExportedPage, Error> {
        let ids = page.rows.iter().map(id_of).collect::<Result<Vec<Uuid>, _>>()?;
        let events = job_event::Entity::find()
            .filter(job_event::Column::JobId.is_in(ids.iter().copied()))
            .order_by_asc(job_event::Column::Id)
            .into_json()
            .all(&self.read)
            .await?;
        let notifications = notification::Entity::find()
            .filter(notification::Column::JobId.is_in(ids.iter().copied()))
            .order_by_asc(notification::Column::Id)
            .into_json()
            .all(&self.read)
            .await?;
        let (mut events, mut notifications) = (by_job(events), by_job(notifications));
        for row in &mut page.rows {
            let id = row["id"].as_str().unwrap_or_default().to_owned();
            row["events"] = events.remove(&id).unwrap_or_default().into();
            row["notifications"] = notifications.remove(&id).unwrap_or_default().into();
        }
        Ok(page)
    }
}

/// Rows by the id of their job.
fn by_job(rows: Vec<Value>) -> HashMap<String, Vec<Value>> {
    let mut by_job = HashMap::<_, Vec<_>>::new();
    for row in rows {
        by_job.entry(row["job_id"].as_str().unwrap_or_default().to_owned()).or_default().push(row);
    }
    by_job
}

/// Id of a row.
fn id_of(row: &Value) -> Result<Uuid, Error> {
    let id = row["id"].as_str().and_then(|id| id.parse().ok());
    id.ok_or_else(|| Error::Corrupt(format!("id {} of an exported row", row["id"])))
}
