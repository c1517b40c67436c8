//! Mails about accounts: written in the transaction that causes them, within a budget of each
//! address, so that nobody can be flooded by what others enter.

use std::time::Duration;

use jobs::{Time, UserId};
use sea_orm::sea_query::SimpleExpr;
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait,
    PaginatorTrait, QueryFilter, Statement,
};
use uuid::Uuid;

use crate::bounded::Transaction;
use crate::connection::Database;
use crate::error::Error;
use crate::rows::account_mail;

/// Maximum numbers of mails in periods of these lengths, separately for links, for notices, and for
/// those about webhooks. The limits on links are those on what strangers can cause; neither a
/// stranger nor the failure of many webhooks can use up the budget of the notices that would warn
/// of a theft.
pub const BUDGET: [(Duration, u64); 2] =
    [(Duration::from_hours(1), 5), (Duration::from_hours(24), 20)];

/// Status of a mail that is not sent yet.
pub(crate) const PENDING: &str = "PENDING";

/// Subject of a mail about an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountMailKind {
    /// Link that confirms the address of a new account.
    ConfirmAddress,
    /// Somebody tried to use the address for another account.
    AlreadyRegistered,
    /// Link to set a new password.
    ResetPassword,
    /// Link that confirms the new address of an account, sent to that address.
    ConfirmNewAddress,
    /// A change of the address was requested, sent to the present address.
    AddressChangeRequested,
    /// The address was changed, sent to the former address.
    AddressChanged,
    /// The password was changed.
    PasswordChanged,
    /// A second factor is required from now on.
    SecondFactorEnabled,
    /// A second factor is not required anymore.
    SecondFactorDisabled,
    /// An API key was created.
    KeyCreated,
    /// Nothing is sent to a webhook anymore, because its receiver has failed for days.
    WebhookDisabled,
}

impl AccountMailKind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::ConfirmAddress,
        Self::AlreadyRegistered,
        Self::ResetPassword,
        Self::ConfirmNewAddress,
        Self::AddressChangeRequested,
        Self::AddressChanged,
        Self::PasswordChanged,
        Self::SecondFactorEnabled,
        Self::SecondFactorDisabled,
        Self::KeyCreated,
        Self::WebhookDisabled,
    ];

    /// Name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConfirmAddress => "CONFIRM_ADDRESS",
            Self::AlreadyRegistered => "ALREADY_REGISTERED",
            Self::ResetPassword => "RESET_PASSWORD",
            Self::ConfirmNewAddress => "CONFIRM_NEW_ADDRESS",
            Self::AddressChangeRequested => "ADDRESS_CHANGE_REQUESTED",
            Self::AddressChanged => "ADDRESS_CHANGED",
            Self::PasswordChanged => "PASSWORD_CHANGED",
            Self::SecondFactorEnabled => "SECOND_FACTOR_ENABLED",
            Self::SecondFactorDisabled => "SECOND_FACTOR_DISABLED",
            Self::KeyCreated => "KEY_CREATED",
            Self::WebhookDisabled => "WEBHOOK_DISABLED",
        }
    }

    /// Whether the mail reports a change that its recipient made with the password or a link, or
    /// the failure of what the recipient has set up. Anybody can cause the others.
    #[must_use]
    pub const fn is_notice(self) -> bool {
        !matches!(
            self,
            Self::ConfirmAddress
                | Self::AlreadyRegistered
                | Self::ResetPassword
                | Self::ConfirmNewAddress
        )
    }
}

/// Mail to write.
pub(crate) struct NewMail<'a> {
    /// User whose account and language the mail has.
    pub(crate) user: UserId,
    pub(crate) kind: AccountMailKind,
    pub(crate) address: &'a str,
    /// Secret of the link, if the mail has one.
    pub(crate) token: Option<&'a str>,
    /// Time from which the mail is of no use.
    pub(crate) expires_at: Time,
}

impl Database {
    /// Write a mail if the budget of its address allows it. Return whether it does. After the
    /// commit, [wake](Self::wake_mailer) the notifier.
    pub(crate) async fn write_account_mail(
        &self,
        on: &Transaction,
        mail: NewMail<'_>,
    ) -> Result<bool, Error> {
        let (now, mailbox) = (self.now(), mailbox(mail.address));
        lock_budget(on, &mailbox).await?;
        // A user alone cannot write to more addresses than one can receive mails.
        let of_mailbox = account_mail::Column::Mailbox.eq(mailbox.as_str());
        let of_user = account_mail::Column::UserId.eq(mail.user.0);
        for (period, limit) in BUDGET {
            for which in [&of_mailbox, &of_user] {
                if count_since(on, which.clone(), mail.kind, now - period).await? >= limit {
                    return Ok(false);
                }
            }
        }
        let row = account_mail::ActiveModel {
            id: ActiveValue::Set(Uuid::now_v7()),
            user_id: ActiveValue::Set(mail.user.0),
            kind: ActiveValue::Set(mail.kind.name().to_owned()),
            is_notice: ActiveValue::Set(mail.kind.is_notice()),
            address: ActiveValue::Set(mail.address.to_owned()),
            mailbox: ActiveValue::Set(mailbox),
            token: ActiveValue::Set(mail.token.map(str::to_owned)),
            status: ActiveValue::Set(PENDING.to_owned()),
            attempts: ActiveValue::Set(0),
            created_at: ActiveValue::Set(now),
            next_attempt_at: ActiveValue::Set(now),
            expires_at: ActiveValue::Set(mail.expires_at),
            sent_at: ActiveValue::Set(None),
            last_error: ActiveValue::Set(None),
        };
        row.insert(on).await?;
        Ok(true)
    }
}

/// Number of mails with the budget of a kind that were written since a time.
async fn count_since(
    on: &Transaction,
    which: SimpleExpr,
    kind: AccountMailKind,
    since: Time,
) -> Result<u64, Error> {
    let about_webhooks = AccountMailKind::WebhookDisabled;
    let is_in_budget = if kind == about_webhooks {
        account_mail::Column::Kind.eq(about_webhooks.name())
    } else {
        account_mail::Column::Kind.ne(about_webhooks.name())
    };
    let written = account_mail::Entity::find()
        .filter(which)
        .filter(is_in_budget)
        .filter(account_mail::Column::IsNotice.eq(kind.is_notice()))
        .filter(account_mail::Column::CreatedAt.gt(since));
    Ok(written.count(on).await?)
}

/// Serialize the transactions that write mails to an address, so that the budget is exact. SQLite
/// has a single writer.
async fn lock_budget(on: &Transaction, mailbox: &str) -> Result<(), Error> {
    // The first number distinguishes these locks from others; it is arbitrary.
    const LOCK: &str = "SELECT pg_advisory_xact_lock(739401, hashtext($1))";
    if on.get_database_backend() == DbBackend::Postgres {
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, LOCK, [mailbox.into()]);
        on.execute_raw(statement).await?;
    }
    Ok(())
}

/// Address whose budget mails to `address` count towards: without the detail after a plus sign,
/// because `ana+1@example.com` and `ana+2@example.com` usually reach the same mailbox (RFC 5233).
fn mailbox(address: &str) -> String {
    let address = address.to_lowercase();
    match address.rsplit_once('@') {
        Some((local, domain)) => {
            let user = local.split('+').next().filter(|user| !user.is_empty());
            format!("{}@{domain}", user.unwrap_or(local))
        }
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subaddresses_share_a_mailbox() {
        for address in ["ana@example.com", "Ana+1@example.com", "ana+a+b@EXAMPLE.com"] {
            assert_eq!(mailbox(address), "ana@example.com");
        }
        assert_eq!(mailbox("+1@example.com"), "+1@example.com");
        assert_eq!(mailbox("ana@example.org"), "ana@example.org");
    }

    #[test]
    fn kinds_have_different_names() {
        let names = AccountMailKind::ALL.map(AccountMailKind::name);
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}
