//! Channel of webhooks: signs the events of jobs and sends them to the URLs of users.
//!
//! A delivery is made at least once. It is made twice only if the database cannot record its
//! result, or the answer is lost; then both have the same id, by which receivers recognize it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use database::Database;
use database::webhook_delivery::{AfterFailure, DueDelivery, DueHost, TryResult};
use database::webhooks::DisabledBecause;
use egress::header::{self, HeaderName, HeaderValue};
use egress::{Answer, Client, Post, Target};
use fail::fail_point;
use jobs::UserId;
use metrics::counter;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{Instrument, Span, field, info, info_span, warn};

use crate::channel::{Channel, RECORD_WITHIN, record_success};
use crate::retries::{pause, retry_after};
use crate::signature::sign;

/// Maximum number of deliveries at a time, in all, to one host, and of one user. A host that hangs,
/// or a user whose hosts do, does not hold up the others.
const CONCURRENCY: usize = 32;
const PER_HOST: usize = 4;
const PER_USER: usize = 8;

/// Maximum time until the answer to a delivery.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Number of bytes of an answer's body that are kept.
const KEPT_BYTES: usize = 1024;

/// Time for which a notifier reserves a delivery.
const HOLD: Duration = Duration::from_mins(3);

// The reservation has to last until the delivery is made and recorded.
const _: () = assert!(HOLD.as_secs() > ANSWER_WITHIN.as_secs() + RECORD_WITHIN.as_secs() + 60);

/// Name of this program in requests.
const USER_AGENT: &str = "fiapx";

/// Outcome of a try, as a label of metrics and traces.
const DELIVERED: &str = "delivered";
const RETRIED: &str = "retried";
const FAILED: &str = "failed";

/// Numbers of deliveries in progress.
#[derive(Default)]
struct InProgress {
    hosts: HashMap<String, usize>,
    users: HashMap<UserId, usize>,
}

impl InProgress {
    /// Number of further deliveries that may be made to a host of a user.
    fn free(&self, user: UserId, host: &str) -> usize {
        let count = |count: Option<&usize>| count.copied().unwrap_or(0);
        let of_host = PER_HOST.saturating_sub(count(self.hosts.get(host)));
        of_host.min(PER_USER.saturating_sub(count(self.users.get(&user))))
    }

    fn add(&mut self, user: UserId, host: &str, deliveries: usize) {
        if deliveries == 0 {
            return;
        }
        *self.hosts.entry(host.to_owned()).or_default() += deliveries;
        *self.users.entry(user).or_default() += deliveries;
    }

    fn remove(&mut self, user: UserId, host: &str) {
        remove_one(&mut self.hosts, &host.to_owned());
        remove_one(&mut self.users, &user);
    }
}

/// Subtract one from a count, and forget it if nothing is left.
fn remove_one<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// Place of a delivery among those in progress, which is free when it is dropped.
struct Place {
    in_progress: Arc<Mutex<InProgress>>,
    user: UserId,
    host: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.in_progress.lock().remove(self.user, &self.host);
    }
}

/// Delivery that is due, with its place.
pub(crate) struct PlacedDelivery {
    due: DueDelivery,
    _place: Place,
}

/// Sends the events that are due.
pub(crate) struct WebhookChannel {
    database: Database,
    client: Client,
    /// Notified when a new event is due.
    new_event: Arc<Notify>,
    in_progress: Arc<Mutex<InProgress>>,
}

#[async_trait]
impl Channel for WebhookChannel {
    type Due = PlacedDelivery;

    const NAME: &'static str = "webhook";

    fn initialize_counters(&self) {
        for outcome in [DELIVERED, RETRIED, FAILED] {
            counter!("fiapx_webhook_tries_total", "outcome" => outcome).increment(0);
        }
        for reason in ["GONE", "FAILING"] {
            counter!("fiapx_webhooks_disabled_total", "reason" => reason).increment(0);
        }
    }

    async fn take(&self, running: usize) -> Result<Vec<PlacedDelivery>, database::Error> {
        let mut taken = Vec::new();
        let filled = self.fill(CONCURRENCY.saturating_sub(running), &mut taken).await;
        match filled {
            Err(error) if !taken.is_empty() => {
                // They are reserved, so nobody else sends them.
                warn!(%error, "cannot take more webhooks that are due; sending those taken");
                Ok(taken)
            }
            filled => filled.map(|()| taken),
        }
    }

    async fn deliver(&self, PlacedDelivery { due, _place }: PlacedDelivery) {
        let span = info_span!(
            "webhook",
            job_id = due.job.map(field::display),
            user_id = %due.webhook.user_id,
            webhook_id = %due.webhook.id,
            delivery_id = %due.id,
            traceparent = due.traceparent.as_deref(),
            attempt = due.tries,
            outcome = field::Empty,
            error_code = field::Empty,
        );
        self.try_to_deliver(due).instrument(span).await;
    }

    async fn woken(&self) {
        tokio::select! {
            () = self.new_event.notified() => {}
            () = self.database.webhooks_written() => {}
        }
    }
}

impl WebhookChannel {
    /// Channel that sends by `client`, and is woken by `new_event`.
    pub(crate) fn new(database: Database, client: Client, new_event: Arc<Notify>) -> Self {
        Self { database, client, new_event, in_progress: Arc::default() }
    }

    /// Take deliveries for free places. A user who has nothing in progress precedes all others,
    /// whatever the age of their deliveries.
    async fn fill(
        &self,
        places: usize,
        taken: &mut Vec<PlacedDelivery>,
    ) -> Result<(), database::Error> {
        let mut free = places;
        loop {
            let before = taken.len();
            for next in self.due(1, free).await? {
                // Not another host of a user who has got a place meanwhile.
                if self.is_idle(next.user) {
                    self.take_from(&next, free.min(1), taken).await?;
                    free = places.saturating_sub(taken.len());
                }
            }
            if taken.len() == before {
                break;
            }
        }
        for next in self.due(PER_USER, free).await? {
            self.take_from(&next, free, taken).await?;
            free = places.saturating_sub(taken.len());
        }
        Ok(())
    }

    /// At most `limit` users and hosts to which something is due, without users who have `per_user`
    /// deliveries in progress, and hosts to which no further delivery may be made now.
    async fn due(&self, per_user: usize, limit: usize) -> Result<Vec<DueHost>, database::Error> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let (users, hosts) = self.busy(per_user);
        self.database.due_webhook_hosts(&users, &hosts, limit as u64).await
    }

    /// Whether nothing of a user is in progress.
    fn is_idle(&self, user: UserId) -> bool {
        !self.in_progress.lock().users.contains_key(&user)
    }

    /// Take at most `limit` deliveries to a host of a user, as far as both have free places.
    async fn take_from(
        &self,
        next: &DueHost,
        limit: usize,
        taken: &mut Vec<PlacedDelivery>,
    ) -> Result<(), database::Error> {
        let limit = limit.min(self.in_progress.lock().free(next.user, &next.host));
        if limit == 0 {
            return Ok(());
        }
        let deliveries = self.database.take_webhook_deliveries(next, limit as u64, HOLD).await?;
        self.in_progress.lock().add(next.user, &next.host, deliveries.len());
        taken.extend(deliveries.into_iter().map(|due| PlacedDelivery {
            due,
            _place: Place {
                in_progress: Arc::clone(&self.in_progress),
                user: next.user,
                host: next.host.clone(),
            },
        }));
        Ok(())
    }

    /// Users who have `per_user` deliveries in progress, and hosts to which no further delivery may
    /// be made now.
    fn busy(&self, per_user: usize) -> (Vec<UserId>, Vec<String>) {
        let in_progress = self.in_progress.lock();
        let users = in_progress.users.iter().filter(|(_, count)| **count >= per_user);
        let hosts = in_progress.hosts.iter().filter(|(_, count)| **count >= PER_HOST);
        (users.map(|(user, _)| *user).collect(), hosts.map(|(host, _)| host.clone()).collect())
    }

    /// Make one try, and record its result.
    async fn try_to_deliver(&self, due: DueDelivery) {
        fail_point!("webhook.before-send");
        let sent = self.send(&due).await;
        fail_point!("webhook.after-send");
        let (result, asked) = self.result_of(sent);
        let (outcome, recorded) = if let Some(code) = result.error_code {
            Span::current().record("error_code", code);
            self.record_failure(&due, &result, asked).await
        } else {
            info!(tries = due.tries, "webhook delivered");
            let record = || self.database.mark_webhook_delivered(&due, &result);
            (DELIVERED, record_success(record).await)
        };
        Span::current().record("outcome", outcome);
        counter!("fiapx_webhook_tries_total", "outcome" => outcome).increment(1);
        if let Err(error) = recorded {
            let hold_s = HOLD.as_secs();
            warn!(%error, hold_s, "cannot record the result of a webhook; it is repeated later");
        }
    }

    /// Send an event. The error is a code.
    async fn send(&self, due: &DueDelivery) -> Result<Answer, &'static str> {
        let target = Target::parse(&due.webhook.url, self.client.policy())
            // The policy may have changed since it was accepted.
            .map_err(|_| "HOST_FORBIDDEN")?;
        let headers = self.headers(due).ok_or("REQUEST_INVALID")?;
        let body = due.body.clone().into();
        let post = Post { headers, body, within: ANSWER_WITHIN, keep: KEPT_BYTES };
        self.client.post(&target, post).await.map_err(|error| {
            // Errors may name the host, which is the user's business.
            let code = error.code();
            tracing::debug!(%error, code, "no answer to a webhook");
            code
        })
    }

    /// Headers of an event (Standard Webhooks, "Webhook headers"): signed with the secret, and with
    /// the previous one for a while.
    fn headers(&self, due: &DueDelivery) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let (now, id) = (self.database.clock().now(), due.id.to_string());
        let previous = due.webhook.previous.as_ref().filter(|(_, until)| *until > now);
        let secrets = [Some(&due.webhook.secret), previous.map(|(secret, _)| secret)];
        let signed = secrets.into_iter().flatten();
        let signatures = signed.map(|secret| sign(secret, &id, now.timestamp(), &due.body));
        let signatures = signatures.collect::<Option<Vec<String>>>()?.join(" ");
        Some(vec![
            (HeaderName::from_static("webhook-id"), id.parse().ok()?),
            (HeaderName::from_static("webhook-timestamp"), now.timestamp().into()),
            (HeaderName::from_static("webhook-signature"), signatures.parse().ok()?),
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::USER_AGENT, HeaderValue::from_static(USER_AGENT)),
        ])
    }

    /// Result of a try, and the pause that the receiver asks for.
    fn result_of(&self, sent: Result<Answer, &'static str>) -> (TryResult, Option<Duration>) {
        let answer = match sent {
            Ok(answer) => answer,
            Err(code) => {
                return (TryResult { error_code: Some(code), ..TryResult::default() }, None);
            }
        };
        let error_code = match answer.status {
            200..300 => None,
            300..400 => Some("ANSWER_REDIRECT"),
            _ => Some("ANSWER_STATUS"),
        };
        // PostgreSQL stores no NUL in a text.
        let body = String::from_utf8_lossy(&answer.body).replace('\0', "\u{fffd}");
        let body = Some(body).filter(|body| !body.is_empty());
        let now = self.database.clock().now();
        let asked = answer.retry_after.and_then(|value| retry_after(&value, now));
        (TryResult { status: Some(answer.status), body, error_code }, asked)
    }

    /// Record that a try failed.
    async fn record_failure(
        &self,
        due: &DueDelivery,
        result: &TryResult,
        asked: Option<Duration>,
    ) -> (&'static str, Result<(), database::Error>) {
        const GONE: u16 = 410;
        let after = if result.status == Some(GONE) {
            AfterFailure::Disable
        } else {
            let pause = pause(due.failures, asked, rand::random());
            pause.map_or(AfterFailure::GiveUp, AfterFailure::Retry)
        };
        let outcome = if matches!(after, AfterFailure::Retry(_)) { RETRIED } else { FAILED };
        info!(tries = due.tries, status = result.status, outcome, "webhook not delivered");
        let recorded = self.database.record_webhook_failure(due, result, after).await;
        let recorded = recorded.map(|disabled| {
            if let Some(reason) = disabled.map(DisabledBecause::name) {
                warn!(reason, "a webhook is disabled");
                counter!("fiapx_webhooks_disabled_total", "reason" => reason).increment(1);
            }
        });
        (outcome, recorded)
    }
}
