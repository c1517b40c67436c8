//! Mails that are due, about jobs and about accounts.

use std::time::Duration;

use chrono::TimeDelta;
use database::account_mail_delivery::DueAccountMail;
use database::notifications::DueNotification;
use database::users::User;
use database::{Database, Job};
use jobs::{Time, UserId};
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::account_text;
use crate::digest_text;
use crate::error::Error;
use crate::mail::{Mail, Recipient, Sender};
use crate::text::display_name;

/// Time after the outcome of a job at which no further attempt is made at the mail about it.
const OUTCOME_LIFETIME: TimeDelta = TimeDelta::hours(24);

/// Reserve at most `limit` mails of each kind that are due. They have to be sent within `hold`.
pub(crate) async fn take(
    database: &Database,
    limit: u64,
    hold: Duration,
) -> Result<Vec<DueMail>, database::Error> {
    let accounts = database.take_account_mails(limit, hold).await?;
    let outcomes = database.take_notifications(limit, hold).await?;
    let accounts = accounts.into_iter().map(|mail| DueMail::Account(Box::new(mail)));
    let outcomes = outcomes.into_iter().map(|due| DueMail::Outcome(Box::new(due)));
    Ok(accounts.chain(outcomes).collect())
}

/// Mail that is due.
pub(crate) enum DueMail {
    /// About the outcome of a job.
    Outcome(Box<DueNotification>),
    /// About an account.
    Account(Box<DueAccountMail>),
}

impl DueMail {
    /// Id of the mail, the same in every attempt.
    pub(crate) fn id(&self) -> Uuid {
        match self {
            Self::Outcome(due) => due.id,
            Self::Account(due) => due.id,
        }
    }

    /// Kind of the mail, for logs.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Outcome(_) => "OUTCOME",
            Self::Account(due) => due.kind.name(),
        }
    }

    /// User whose job or account the mail is about.
    pub(crate) fn user(&self) -> &User {
        match self {
            Self::Outcome(due) => &due.user,
            Self::Account(due) => &due.user,
        }
    }

    /// Job that the mail is about; the first one of a digest.
    pub(crate) fn job(&self) -> Option<&Job> {
        match self {
            Self::Outcome(due) => Some(&due.job),
            Self::Account(_) => None,
        }
    }

    /// Address of the recipient.
    pub(crate) fn address(&self) -> &str {
        match self {
            Self::Outcome(due) => &due.user.email,
            Self::Account(due) => &due.address,
        }
    }

    /// Number of attempts, including this one.
    pub(crate) fn attempts(&self) -> u32 {
        match self {
            Self::Outcome(due) => due.attempts,
            Self::Account(due) => due.attempts,
        }
    }

    /// Time after which no further attempt is made.
    pub(crate) fn useful_until(&self) -> Time {
        match self {
            Self::Outcome(due) => due.created_at + OUTCOME_LIFETIME,
            Self::Account(due) => due.expires_at,
        }
    }

    /// User whose choice of mails may end mails such as this one. Mails about accounts are sent in
    /// any case.
    pub(crate) fn subscriber(&self) -> Option<UserId> {
        match self {
            Self::Outcome(due) => Some(due.user.id),
            Self::Account(_) => None,
        }
    }

    /// Compose the mail, with links to the page at `page_url`, and with the link `unsubscribe` that
    /// ends mails such as this one.
    pub(crate) fn compose(
        &self,
        sender: &Sender,
        page_url: &str,
        unsubscribe: Option<&str>,
        now: Time,
    ) -> Result<Mail, Error> {
        let (text, name) = match self {
            Self::Outcome(due) => {
                let jobs: Vec<_> = [&due.job].into_iter().chain(&due.others).collect();
                (digest_text::render(&jobs, &due.user, page_url, now), display_name(&due.user))
            }
            Self::Account(due) if due.expires_at <= now => {
                return Err(Error::permanent("the link expired before the mail could be sent"));
            }
            Self::Account(due) => {
                let token = due.token.as_ref().map(ExposeSecret::expose_secret);
                // Without the name: anyone can register with the address of another person.
                (account_text::render(due.kind, due.user.language, page_url, token), None)
            }
        };
        let text = text.map_err(|error| Error::permanent(error.to_string()))?;
        let recipient = Recipient { address: self.address(), name };
        Mail::compose(self.id(), sender, recipient, text, unsubscribe, now)
    }

    /// Record that the mail was sent.
    pub(crate) async fn mark_sent(&self, database: &Database) -> Result<(), database::Error> {
        match self {
            Self::Outcome(due) => database.mark_notifications_sent(&due.rows).await,
            Self::Account(due) => database.mark_account_mail_sent(due.id).await,
        }
    }

    /// Record that the mail could not be sent. It is due again after `pause`; without a pause it
    /// has failed.
    pub(crate) async fn record_failure(
        &self,
        database: &Database,
        error: &str,
        pause: Option<Duration>,
    ) -> Result<(), database::Error> {
        match self {
            Self::Outcome(due) => {
                database.record_notifications_failure(&due.rows, error, pause).await
            }
            Self::Account(due) => database.record_account_mail_failure(due.id, error, pause).await,
        }
    }
}
