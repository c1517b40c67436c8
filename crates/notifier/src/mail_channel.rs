//! Channel of mails: composes due mails, sends them and records the result.
//!
//! A mail is sent at least once. It is sent twice only if the database cannot record that it was
//! sent; then both mails have the same Message-ID.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use database::Database;
use jobs::{Backoff, Time};
use metrics::counter;
use tokio::sync::Notify;
use tracing::{Instrument, Span, error, field, info, info_span, warn};

use crate::channel::{Channel, RECORD_WITHIN, record_success};
use crate::due::{self, DueMail};
use crate::error::Error;
use crate::mail::{Mail, Sender};
use crate::mailer::Mailer;
use crate::smtp;

/// Number of mails of each kind that are sent at the same time.
const CONCURRENCY: u64 = 8;

/// Time for which a notifier reserves a mail.
const HOLD: Duration = Duration::from_mins(5);

// The reservation has to last until the mail is sent, composed before and recorded after.
const _: () = assert!(HOLD.as_secs() > smtp::MAX_DURATION.as_secs() + RECORD_WITHIN.as_secs() + 60);

/// Pauses between two attempts at a mail.
const BACKOFF: Backoff = Backoff::new(Duration::from_mins(1), Duration::from_hours(1));

/// Pause after attempt number `attempts`, counted from 1; `None` if the next attempt would be later
/// than `until`. `random` spreads the mails that failed at the same moment.
fn retry_pause(attempts: u32, until: Time, now: Time, random: u32) -> Option<Duration> {
    let pause = BACKOFF.pause(attempts, random);
    (now + pause <= until).then_some(pause)
}

/// Outcome of an attempt at a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MailOutcome {
    Sent,
    Retrying,
    Failed,
}

impl MailOutcome {
    const ALL: [Self; 3] = [Self::Sent, Self::Retrying, Self::Failed];

    /// Value of the label `outcome` in metrics and traces.
    const fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Retrying => "retried",
            Self::Failed => "failed",
        }
    }
}

/// Finished attempt at a mail.
struct Attempt {
    outcome: MailOutcome,
    /// Whether the database recorded the outcome.
    recorded: Result<(), database::Error>,
}

/// Sends the mails that are due.
pub(crate) struct MailChannel {
    pub database: Database,
    pub mailer: Arc<dyn Mailer>,
    pub sender: Sender,
    /// The page on which users download archives. Mails link to it because a link to the archive
    /// itself would expire before most mails are read.
    pub page_url: String,
    /// Notified when a new mail is due.
    pub new_mail: Arc<Notify>,
}

#[async_trait]
impl Channel for MailChannel {
    type Due = DueMail;

    const NAME: &'static str = "mail";

    fn initialize_counters(&self) {
        for outcome in MailOutcome::ALL {
            counter!("fiapx_mails_total", "outcome" => outcome.label()).increment(0);
        }
    }

    async fn take(&self, running: usize) -> Result<Vec<DueMail>, database::Error> {
        match CONCURRENCY.saturating_sub(running as u64) {
            0 => Ok(Vec::new()),
            free => due::take(&self.database, free, HOLD).await,
        }
    }

    async fn deliver(&self, due: DueMail) {
        self.send(due).await;
    }

    async fn woken(&self) {
        tokio::select! {
            () = self.new_mail.notified() => {}
            () = self.database.mails_written() => {}
        }
    }
}

impl MailChannel {
    /// Make one attempt at a mail.
    async fn send(&self, due: DueMail) {
        let job = due.job();
        let span = info_span!(
            "mail",
            job_id = job.map(|job| field::display(job.id)),
            user_id = %due.user().id,
            notification_id = %due.id(),
            kind = due.kind(),
            traceparent = job.and_then(|job| job.traceparent.as_deref()),
            attempt = due.attempts(),
            outcome = field::Empty,
            error_code = field::Empty,
        );
        async {
            let sent = match self.compose(&due).await {
                Ok(mail) => self.mailer.send(&mail).await,
                Err(error) => Err(error),
            };
            let Attempt { outcome, recorded } = match sent {
                Ok(()) => {
                    info!(attempts = due.attempts(), "mail sent");
                    let recorded = record_success(|| due.mark_sent(&self.database)).await;
                    Attempt { outcome: MailOutcome::Sent, recorded }
                }
                Err(error) => self.record_failure(&due, &error).await,
            };
            Span::current().record("outcome", outcome.label());
            counter!("fiapx_mails_total", "outcome" => outcome.label()).increment(1);
            if let Err(error) = recorded {
                warn!(
                    %error,
                    hold_s = HOLD.as_secs(),
                    "cannot record the outcome of a mail; it is due again when its hold ends"
                );
            }
        }
        .instrument(span)
        .await;
    }

    /// Compose a mail.
    async fn compose(&self, due: &DueMail) -> Result<Mail, Error> {
        let mut unsubscribe = None;
        if let Some(user) = due.subscriber() {
            let secret = self.database.unsubscribe_secret(user).await.map_err(|error| {
                Error::transient(format!("cannot read the link that ends mails: {error}"))
            })?;
            unsubscribe =
                secret.map(|secret| format!("{}mails/unsubscribe?secret={secret}", self.page_url));
        }
        let now = self.database.clock().now();
        due.compose(&self.sender, &self.page_url, unsubscribe.as_deref(), now)
    }

    /// Log and record that a mail was not sent.
    async fn record_failure(&self, due: &DueMail, error: &Error) -> Attempt {
        let code = if error.permanent { "MAIL_REJECTED" } else { "MAIL_DEFERRED" };
        Span::current().record("error_code", code);
        let now = self.database.clock().now();
        let pause = retry_pause(due.attempts(), due.useful_until(), now, rand::random())
            .filter(|_| !error.permanent);
        // Servers repeat the address that they reject; logs must not contain it.
        let logged = error.to_string().replace(due.address(), "(the user's address)");
        let outcome = if let Some(pause) = pause {
            warn!(
                error = logged,
                attempts = due.attempts(),
                pause_s = pause.as_secs(),
                "mail not sent; another attempt follows"
            );
            MailOutcome::Retrying
        } else {
            error!(
                error = logged,
                attempts = due.attempts(),
                "mail not sent; no further attempt follows, its row is FAILED"
            );
            MailOutcome::Failed
        };
        let recorded = due.record_failure(&self.database, &error.to_string(), pause).await;
        Attempt { outcome, recorded }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_end_after_a_day() {
        let created_at: Time = "2026-01-02T03:04:05Z".parse().expect("a time");
        let until = created_at + TimeDelta::hours(24);
        let mut now = created_at;
        let mut minutes = Vec::new();
        for attempt in 1.. {
            let Some(pause) = retry_pause(attempt, until, now, u32::MAX) else { break };
            minutes.push(pause.as_secs() / 60);
            now += pause;
        }
        assert_eq!(minutes[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(minutes[8..].iter().all(|pause| *pause == 60));
        // 63 minutes of increasing pauses, and 22 pauses of an hour.
        assert_eq!(now - created_at, TimeDelta::minutes(63 + 22 * 60));
        assert_eq!(retry_pause(1, until, until, 0), None);
        // Half of a pause is random.
        for (attempts, limit) in [(2, 2), (u32::MAX, 60)] {
            let limit = Duration::from_mins(limit);
            let pauses =
                [0, u32::MAX].map(|random| retry_pause(attempts, until, created_at, random));
            assert_eq!(pauses, [Some(limit / 2), Some(limit)]);
        }
    }
}
