//! Webhooks: URLs of users to which the outcomes of their jobs are sent.

use std::time::Duration;

use jobs::message::{Cancelled, Completed, Failed};
use jobs::{State, Time, UserId};
use sea_orm::sea_query::{
    CaseStatement, Expr, ExprTrait, LockType, Query, SelectStatement, SimpleExpr,
};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use uuid::Uuid;

use crate::bounded::Transaction;
use crate::connection::Database;
use crate::error::Error;
use crate::rows::{webhook, webhook_delivery};
use crate::users::lock_user;

/// Time for which the previous secret signs, too, after a rotation.
pub const ROTATION: Duration = Duration::from_hours(24);

/// Number of deliveries that one statement deletes: each statement has a time limit.
const BATCH: u64 = 1000;

/// Status of a delivery that is not finished.
pub(crate) const PENDING: &str = "PENDING";
pub(crate) const DELIVERED: &str = "DELIVERED";
pub(crate) const FAILED: &str = "FAILED";

/// Code of the error of deliveries that ended because their webhook was disabled.
pub(crate) const DISABLED: &str = "WEBHOOK_DISABLED";

/// Outcome of a job that a webhook can be notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WebhookEvent {
    /// The archive is available.
    Completed,
    /// Processing failed.
    Failed,
    /// The user cancelled the job.
    Cancelled,
    /// The archive was deleted at the end of its retention period.
    Expired,
}

impl WebhookEvent {
    /// All events.
    pub const ALL: [Self; 4] = [Self::Completed, Self::Failed, Self::Cancelled, Self::Expired];

    /// Name of the event type.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => Completed::EVENT_TYPE,
            Self::Failed => Failed::EVENT_TYPE,
            Self::Cancelled => Cancelled::EVENT_TYPE,
            Self::Expired => "job.expired",
        }
    }

    /// Event with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }

    /// Event of a job that has reached a state; `None` if the state is no outcome.
    pub(crate) const fn of(state: State) -> Option<Self> {
        match state {
            State::Done => Some(Self::Completed),
            State::Failed => Some(Self::Failed),
            State::Cancelled => Some(Self::Cancelled),
            State::Expired => Some(Self::Expired),
            State::Uploaded | State::Queued | State::Processing => None,
        }
    }
}

/// Reason why nothing is sent to a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisabledBecause {
    /// The user has disabled it.
    User,
    /// Its receiver responded with 410 (Gone).
    Gone,
    /// Every delivery of several days failed.
    Failing,
}

impl DisabledBecause {
    const ALL: [Self; 3] = [Self::User, Self::Gone, Self::Failing];

    /// Name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::Gone => "GONE",
            Self::Failing => "FAILING",
        }
    }
}

/// Webhook of a user.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Id of the webhook.
    pub id: Uuid,
    /// User.
    pub user_id: UserId,
    /// URL.
    pub url: String,
    /// Events that are sent to it.
    pub events: Vec<WebhookEvent>,
    /// Secret that signs what is sent.
    pub secret: SecretString,
    /// Secret before a rotation, which signs as well until this time.
    pub previous: Option<(SecretString, Time)>,
    /// Reason why nothing is sent to it; enabled if `None`.
    pub disabled: Option<DisabledBecause>,
    /// Time since which every delivery has failed.
    pub failing_since: Option<Time>,
    /// Time of creation.
    pub created_at: Time,
    /// Time of the last change.
    pub updated_at: Time,
}

impl TryFrom<webhook::Model> for Webhook {
    type Error = Error;

    fn try_from(row: webhook::Model) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("{what} of webhook {}", row.id));
        let names: Vec<String> =
            serde_json::from_str(&row.events).map_err(|_| corrupt("events"))?;
        // A later version may know more events and reasons.
        let events = names.iter().filter_map(|name| WebhookEvent::named(name)).collect();
        let disabled = row.disabled_because.as_deref().map(|name| {
            let known = DisabledBecause::ALL.into_iter().find(|reason| reason.name() == name);
            known.unwrap_or(DisabledBecause::User)
        });
        Ok(Self {
            id: row.id,
            user_id: UserId(row.user_id),
            url: row.url,
            events,
            secret: row.secret.into(),
            previous: row.previous_secret.map(SecretString::from).zip(row.previous_until),
            disabled,
            failing_since: row.failing_since,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Destination of a webhook.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// URL.
    pub url: &'a str,
    /// Host of the URL.
    pub host: &'a str,
}

/// Change of a webhook. What is `None` remains.
#[derive(Debug, Clone, Default)]
pub struct WebhookChange<'a> {
    /// New destination, also of deliveries that are pending. Failures of the former one do not
    /// count.
    pub destination: Option<Destination<'a>>,
    /// New events.
    pub events: Option<&'a [WebhookEvent]>,
    /// Whether it is enabled. Disabling it ends its pending deliveries.
    pub enabled: Option<bool>,
}

/// JSON of events, each once.
fn events_json(events: &[WebhookEvent]) -> String {
    let names = WebhookEvent::ALL.into_iter().filter(|event| events.contains(event));
    json!(names.map(WebhookEvent::name).collect::<Vec<_>>()).to_string()
}

impl Database {
    /// Create a webhook, unless the user has `limit` of them: then return `None`.
    pub async fn create_webhook(
        &self,
        user: UserId,
        destination: Destination<'_>,
        events: &[WebhookEvent],
        secret: &SecretString,
        limit: u64,
    ) -> Result<Option<Webhook>, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        // Serializes simultaneous requests of a user.
        if lock_user(&transaction, user).await?.is_none() {
            return Ok(None);
        }
        let of_user = webhook::Entity::find().filter(webhook::Column::UserId.eq(user.0));
        if of_user.count(&transaction).await? >= limit {
            return Ok(None);
        }
        let row = webhook::ActiveModel {
            id: ActiveValue::Set(Uuid::now_v7()),
            user_id: ActiveValue::Set(user.0),
            url: ActiveValue::Set(destination.url.to_owned()),
            host: ActiveValue::Set(destination.host.to_owned()),
            events: ActiveValue::Set(events_json(events)),
            secret: ActiveValue::Set(secret.expose_secret().to_owned()),
            previous_secret: ActiveValue::Set(None),
            previous_until: ActiveValue::Set(None),
            disabled_because: ActiveValue::Set(None),
            failing_since: ActiveValue::Set(None),
            failed_at: ActiveValue::Set(None),
            created_at: ActiveValue::Set(now),
            updated_at: ActiveValue::Set(now),
        };
        let row = row.insert(&transaction).await?;
        transaction.commit().await?;
        Webhook::try_from(row).map(Some)
    }

    /// Webhooks of a user, oldest first.
    pub async fn webhooks(&self, user: UserId) -> Result<Vec<Webhook>, Error> {
        let rows = webhook::Entity::find()
            .filter(webhook::Column::UserId.eq(user.0))
            .order_by_asc(webhook::Column::Id)
            .all(&self.read)
            .await?;
        rows.into_iter().map(Webhook::try_from).collect()
    }

    /// Webhook of a user.
    pub async fn webhook(&self, user: UserId, id: Uuid) -> Result<Option<Webhook>, Error> {
        let row = webhook::Entity::find_by_id(id)
            .filter(webhook::Column::UserId.eq(user.0))
            .one(&self.read)
            .await?;
        row.map(Webhook::try_from).transpose()
    }

    /// Change a webhook, and return it; `None` if the user has no such webhook.
    pub async fn change_webhook(
        &self,
        user: UserId,
        id: Uuid,
        change: &WebhookChange<'_>,
    ) -> Result<Option<Webhook>, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let mut update = webhook::Entity::update_many()
            .col_expr(webhook::Column::UpdatedAt, Expr::value(now))
            .filter(webhook::Column::Id.eq(id))
            .filter(webhook::Column::UserId.eq(user.0));
        if let Some(Destination { url, host }) = change.destination {
            update = update
                .col_expr(webhook::Column::Url, Expr::value(url))
                .col_expr(webhook::Column::Host, Expr::value(host));
        }
        if let Some(events) = change.events {
            update = update.col_expr(webhook::Column::Events, Expr::value(events_json(events)));
        }
        if let Some(enabled) = change.enabled {
            let reason = (!enabled).then_some(DisabledBecause::User.name());
            update = update.col_expr(webhook::Column::DisabledBecause, Expr::value(reason));
        }
        if change.destination.is_some() || change.enabled.is_some() {
            update = update
                .col_expr(webhook::Column::FailingSince, Expr::value(None::<Time>))
                .col_expr(webhook::Column::FailedAt, Expr::value(None::<Time>));
        }
        let Some(row) = update.exec_with_returning(&transaction).await?.pop() else {
            return Ok(None);
        };
        if let Some(Destination { host, .. }) = change.destination {
            webhook_delivery::Entity::update_many()
                .col_expr(webhook_delivery::Column::Host, Expr::value(host))
                .filter(webhook_delivery::Column::WebhookId.eq(id))
                .filter(webhook_delivery::Column::Status.eq(PENDING))
                .exec(&transaction)
                .await?;
        }
        if change.enabled == Some(false) {
            end_deliveries(&transaction, id).await?;
        }
        transaction.commit().await?;
        Webhook::try_from(row).map(Some)
    }

    /// Replace the secret of a webhook. The present one signs as well for the time of a
    /// [`ROTATION`]. During that time another replacement leaves the previous one as it is, because
    /// receivers may know no later one. Return the webhook; `None` if the user has no such webhook.
    pub async fn rotate_webhook_secret(
        &self,
        user: UserId,
        id: Uuid,
        secret: &SecretString,
    ) -> Result<Option<Webhook>, Error> {
        let now = self.now();
        let is_rotating = webhook::Column::PreviousUntil.gt(now);
        let previous = CaseStatement::new()
            .case(is_rotating.clone(), Expr::col(webhook::Column::PreviousSecret))
            .finally(Expr::col(webhook::Column::Secret));
        let until = CaseStatement::new()
            .case(is_rotating, Expr::col(webhook::Column::PreviousUntil))
            .finally(Expr::value(now + ROTATION));
        let changed = webhook::Entity::update_many()
            .col_expr(webhook::Column::PreviousSecret, previous.into())
            .col_expr(webhook::Column::PreviousUntil, until.into())
            .col_expr(webhook::Column::Secret, Expr::value(secret.expose_secret()))
            .col_expr(webhook::Column::UpdatedAt, Expr::value(now))
            .filter(webhook::Column::Id.eq(id))
            .filter(webhook::Column::UserId.eq(user.0))
            .exec_with_returning(&self.write)
            .await?;
        changed.into_iter().next().map(Webhook::try_from).transpose()
    }

    /// Delete a webhook with its deliveries. Return whether the user had it.
    pub async fn delete_webhook(&self, user: UserId, id: Uuid) -> Result<bool, Error> {
        let is_it = webhook::Column::Id.eq(id).and(webhook::Column::UserId.eq(user.0));
        // Disabled first, so that no outcome adds a delivery to those that are being deleted.
        let disabled = webhook::Entity::update_many()
            .col_expr(
                webhook::Column::DisabledBecause,
                Expr::value(Some(DisabledBecause::User.name())),
            )
            .filter(is_it.clone())
            .exec(&self.write)
            .await?;
        if disabled.rows_affected == 0 {
            return Ok(false);
        }
        let of_webhook = webhook_delivery::Column::WebhookId.eq(id);
        delete_deliveries(&self.write, ids_of(of_webhook.clone()), of_webhook).await?;
        // With the few that a transaction has added that began before.
        let deleted = webhook::Entity::delete_many().filter(is_it).exec(&self.write).await?;
        Ok(deleted.rows_affected > 0)
    }

    /// Erase previous secrets that do not sign anymore.
    pub(crate) async fn erase_previous_secrets(&self) -> Result<(), Error> {
        webhook::Entity::update_many()
            .col_expr(webhook::Column::PreviousSecret, Expr::value(None::<String>))
            .col_expr(webhook::Column::PreviousUntil, Expr::value(None::<Time>))
            .filter(webhook::Column::PreviousUntil.lte(self.now()))
            .exec(&self.write)
            .await?;
        Ok(())
    }
}

/// Delete all webhooks of a user with their deliveries.
pub(crate) async fn remove_webhooks(on: &Transaction, user: UserId) -> Result<(), Error> {
    // Locked before their deliveries, as by those who record the results of tries.
    webhook::Entity::find()
        .filter(webhook::Column::UserId.eq(user.0))
        .order_by_asc(webhook::Column::Id)
        .lock(LockType::Update)
        .all(on)
        .await?;
    let of_user = webhook_delivery::Column::UserId.eq(user.0);
    delete_deliveries(on, ids_of(of_user.clone()), of_user).await?;
    webhook::Entity::delete_many().filter(webhook::Column::UserId.eq(user.0)).exec(on).await?;
    Ok(())
}

/// Query for the ids of the deliveries that satisfy a condition.
pub(crate) fn ids_of(condition: SimpleExpr) -> SelectStatement {
    Query::select()
        .column(webhook_delivery::Column::Id)
        .from(webhook_delivery::Entity)
        .and_where(condition)
        .to_owned()
}

/// Delete the deliveries whose ids a query returns, some in each statement. They have to satisfy a
/// condition still when they are deleted: another transaction may have changed them.
pub(crate) async fn delete_deliveries(
    on: &impl ConnectionTrait,
    mut chosen: SelectStatement,
    condition: SimpleExpr,
) -> Result<(), Error> {
    chosen.limit(BATCH);
    loop {
        let deleted = webhook_delivery::Entity::delete_many()
            .filter(webhook_delivery::Column::Id.in_subquery(chosen.clone()))
            .filter(condition.clone())
            .exec(on)
            .await?;
        if deleted.rows_affected < BATCH {
            return Ok(());
        }
    }
}

/// End the pending deliveries of a webhook that is disabled.
pub(crate) async fn end_deliveries(on: &impl ConnectionTrait, webhook: Uuid) -> Result<(), Error> {
    webhook_delivery::Entity::update_many()
        .col_expr(webhook_delivery::Column::Status, Expr::value(FAILED))
        .col_expr(webhook_delivery::Column::ErrorCode, Expr::value(DISABLED))
        .filter(webhook_delivery::Column::WebhookId.eq(webhook))
        .filter(webhook_delivery::Column::Status.eq(PENDING))
        .exec(on)
        .await?;
    Ok(())
}
