//! What was noted, told: mails that are due are composed, sent and ticked off.
//!
//! A mail is sent at least once. It is sent twice only if it went out and the database could not be
//! told; then both have the same Message-ID.

use std::time::Duration;

use chrono::TimeDelta;
use database::notifications::DueNotification;
use futures_util::StreamExt;
use futures_util::stream;
use jobs::Time;
use metrics::counter;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, error, field, info, info_span, warn};

use crate::letter::Letter;
use crate::{Error, Mail, Notifier, smtp};

/// Mails that are sent at the same time.
const AT_ONCE: u64 = 8;

/// How long a mail belongs to the notifier that has taken it.
const HOLD: Duration = Duration::from_mins(5);

// Whoever sends a mail still has it when it is out, with time left for composing it and for telling
// the database.
const _: () = assert!(HOLD.as_secs() > smtp::LONGEST.as_secs() + 60);

/// How often the database is asked for mails whose pause is over. New ones of this process are sent
/// at once.
const EVERY: Duration = Duration::from_secs(5);

/// The pause after the first attempt.
const FIRST_PAUSE: Duration = Duration::from_mins(1);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// For how long a mail is tried.
const GIVE_UP: TimeDelta = TimeDelta::hours(24);

/// The pause after `failures` in a row: each is twice the one before, up to `longest`.
pub(crate) fn doubled(first: Duration, longest: Duration, failures: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(longest)
}

/// How long to wait after attempt number `attempts`, counted from 1; none if the next would come
/// later than a day after the outcome.
fn pause(attempts: u32, created_at: Time, now: Time) -> Option<Duration> {
    let pause = doubled(FIRST_PAUSE, LONGEST_PAUSE, attempts);
    (now + pause <= created_at + GIVE_UP).then_some(pause)
}

impl Notifier {
    /// Send what is due until `stop` is cancelled.
    pub(crate) async fn deliver(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.database.take_notifications(AT_ONCE, HOLD).await {
                Ok(due) => {
                    let count = due.len() as u64;
                    stream::iter(due).for_each_concurrent(None, |due| self.tell(due)).await;
                    if count >= AT_ONCE {
                        continue;
                    }
                }
                Err(error) => warn!(%error, "mails that are due cannot be taken from the database"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.noted.notified() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Tell one user of one outcome.
    async fn tell(&self, due: DueNotification) {
        let span = info_span!(
            "mail",
            job_id = %due.job.id,
            user_id = %due.user.id,
            notification_id = %due.id,
            traceparent = due.job.traceparent.as_deref(),
            attempt = due.attempts,
            outcome = field::Empty,
            error_code = field::Empty,
        );
        async {
            let sent = match self.compose(&due) {
                Ok(mail) => self.mailer.send(&mail).await,
                Err(error) => Err(error),
            };
            let span = Span::current();
            if let Err(error) = &sent {
                span.record("error_code", if error.permanent { "MAIL_REFUSED" } else { "MAIL_NOT_TAKEN" });
            }
            let (outcome, written) = match sent {
                Ok(()) => {
                    info!(attempts = due.attempts, "mail sent");
                    ("sent", self.database.mark_notification_sent(due.id).await)
                }
                Err(error) => self.not_sent(&due, &error).await,
            };
            span.record("outcome", outcome);
            counter!("fiapx_mails_total", "outcome" => outcome).increment(1);
            if let Err(error) = written {
                warn!(%error, hold_s = HOLD.as_secs(), "what became of a mail could not be written down; it is due again after its hold");
            }
        }
        .instrument(span)
        .await;
    }

    fn compose(&self, due: &DueNotification) -> Result<Mail, Error> {
        let now = self.database.clock().now();
        let letter = Letter::about(&due.job, &due.user, &self.page, now)
            .map_err(|untold| Error::permanent(untold.to_string()))?;
        Mail::compose(due.id, &self.sender, &due.user, letter, now)
    }

    async fn not_sent(
        &self,
        due: &DueNotification,
        error: &Error,
    ) -> (&'static str, Result<(), database::Error>) {
        let pause = pause(due.attempts, due.created_at, self.database.clock().now())
            .filter(|_| !error.permanent);
        // Servers repeat the address that they refuse; logs are no place for it.
        let logged = error.to_string().replace(&due.user.email, "(the user's address)");
        let outcome = if let Some(pause) = pause {
            warn!(
                error = logged,
                attempts = due.attempts,
                pause_s = pause.as_secs(),
                "mail not sent; it is tried again"
            );
            "retried"
        } else {
            error!(
                error = logged,
                attempts = due.attempts,
                "mail given up; it is kept as FAILED among the notifications"
            );
            "failed"
        };
        (
            outcome,
            self.database.record_notification_failure(due.id, &error.to_string(), pause).await,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_end_after_a_day() {
        let created_at: Time = "2026-01-02T03:04:05Z".parse().expect("a time");
        let mut now = created_at;
        let mut minutes = Vec::new();
        for attempt in 1.. {
            let Some(pause) = pause(attempt, created_at, now) else { break };
            minutes.push(pause.as_secs() / 60);
            now += pause;
        }
        assert_eq!(minutes[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(minutes[8..].iter().all(|pause| *pause == 60));
        // 63 minutes of growing pauses, and 22 whole hours.
        assert_eq!(now - created_at, TimeDelta::minutes(63 + 22 * 60));
        assert_eq!(pause(1, created_at, created_at + TimeDelta::hours(24)), None);
        assert_eq!(pause(u32::MAX, created_at, created_at), Some(LONGEST_PAUSE));
    }
}
