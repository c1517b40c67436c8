//! Delivery of mails about accounts, like that of [notifications](crate::notifications).

use std::time::Duration;

use jobs::Time;
use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType, Query};
use sea_orm::{ColumnTrait, EntityTrait, Order, QueryFilter, UpdateMany};
use secrecy::SecretString;
use uuid::Uuid;

use crate::account_mails::{AccountMailKind, PENDING};
use crate::connection::Database;
use crate::error::Error;
use crate::rows::{account_mail, restrict_to};
use crate::users::User;

const SENT: &str = "SENT";
const FAILED: &str = "FAILED";

/// Time for which mails are kept. The longest period of the budget is shorter.
const KEPT_FOR: Duration = Duration::from_hours(48);

/// Mail about an account that is due.
#[derive(Debug, Clone)]
pub struct DueAccountMail {
    /// Id of the mail, equal in all attempts.
    pub id: Uuid,
    /// Subject of the mail.
    pub kind: AccountMailKind,
    /// User whose account it is about.
    pub user: User,
    /// Address of the recipient.
    pub address: String,
    /// Secret of the link, if the mail has one.
    pub token: Option<SecretString>,
    /// Number of attempts to send it, including this one.
    pub attempts: u32,
    /// Time from which the mail is of no use.
    pub expires_at: Time,
}

impl Database {
    /// Reserve at most `limit` mails about accounts that are due and return them. The caller has to
    /// send them within `hold`; after that they are due again. Mails of kinds that only a later
    /// version knows are left to it.
    pub async fn take_account_mails(
        &self,
        limit: u64,
        hold: Duration,
    ) -> Result<Vec<DueAccountMail>, Error> {
        let now = self.now();
        let is_due = account_mail::Column::Status
            .eq(PENDING)
            .and(account_mail::Column::NextAttemptAt.lte(now))
            .and(account_mail::Column::Kind.is_in(AccountMailKind::ALL.map(AccountMailKind::name)));
        let due = Query::select()
            .column(account_mail::Column::Id)
            .from(account_mail::Entity)
            .cond_where(is_due)
            .order_by(account_mail::Column::NextAttemptAt, Order::Asc)
            .limit(limit)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .to_owned();
        let attempts = account_mail::Column::Attempts;
        let update = account_mail::Entity::update_many()
            .col_expr(account_mail::Column::NextAttemptAt, Expr::value(now + hold))
            .col_expr(attempts, Expr::col(attempts).add(1));
        let rows = restrict_to(update, account_mail::Column::Id, due)
            .exec_with_returning(&self.write)
            .await?;
        let mut taken = Vec::with_capacity(rows.len());
        for row in rows {
            let kind = AccountMailKind::ALL.into_iter().find(|kind| kind.name() == row.kind);
            // The user may be deleted meanwhile, and the mail with it.
            let user = self.user(jobs::UserId(row.user_id)).await?;
            let Some((kind, user)) = kind.zip(user) else { continue };
            taken.push(DueAccountMail {
                id: row.id,
                kind,
                user,
                address: row.address,
                token: row.token.map(SecretString::from),
                attempts: row.attempts as u32,
                expires_at: row.expires_at,
            });
        }
        Ok(taken)
    }

    /// Record that a mail was sent, and forget the secret of its link.
    pub async fn mark_account_mail_sent(&self, id: Uuid) -> Result<(), Error> {
        let sent_at = Expr::value(Some(self.now()));
        let update = ended(SENT).col_expr(account_mail::Column::SentAt, sent_at);
        update.filter(account_mail::Column::Id.eq(id)).exec(&self.write).await?;
        Ok(())
    }

    /// Record that a mail could not be sent. It is due again after `pause`; without a pause it has
    /// failed, and the secret of its link is forgotten.
    pub async fn record_account_mail_failure(
        &self,
        id: Uuid,
        error: &str,
        pause: Option<Duration>,
    ) -> Result<(), Error> {
        let update = match pause {
            Some(pause) => account_mail::Entity::update_many()
                .col_expr(account_mail::Column::NextAttemptAt, Expr::value(self.now() + pause)),
            None => ended(FAILED),
        };
        update
            .col_expr(account_mail::Column::LastError, Expr::value(error))
            .filter(account_mail::Column::Id.eq(id))
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Delete mails that were written days ago.
    pub(crate) async fn purge_account_mails(&self) -> Result<(), Error> {
        account_mail::Entity::delete_many()
            .filter(account_mail::Column::CreatedAt.lt(self.now() - KEPT_FOR))
            .exec(&self.write)
            .await?;
        Ok(())
    }
}

/// Update of a mail to which no attempt follows.
fn ended(status: &str) -> UpdateMany<account_mail::Entity> {
    account_mail::Entity::update_many()
        .col_expr(account_mail::Column::Status, Expr::value(status))
        .col_expr(account_mail::Column::Token, Expr::cust("NULL"))
}
