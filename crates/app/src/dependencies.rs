//! Dependencies of a process by its roles, whose health it reports.
//!
//! Required is that without which the process should get no work, and should not replace one that
//! has it:
//!
//! | | API, alone or with other roles | worker | notifier |
//! |---|---|---|---|
//! | database | required | required | required |
//! | storage | required | required | |
//! | broker | informative | required | required |
//! | limits | informative | | |
//! | mail | | | informative |
//!
//! An API accepts videos without the broker: their messages wait in the outbox. Without Redis, each
//! process counts requests on its own. A worker or a notifier without the broker learns of no new
//! job or outcome; nothing is sent to it, so being not ready only keeps a rollout from replacing
//! processes that work. It is not restarted for that, because liveness checks no dependency, and
//! continues once the broker is back. Mails wait in the database until the mail server is back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use api::{Dependency, HealthChecks};
use broker::{Broker, Queue};
use jobs::backoff::jittered;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::parts::{InterfaceParts, OpenStorage, Parts};
use crate::roles::Roles;
use crate::settings::Settings;

/// Time for which the result of the check of a mail server is valid. Each check logs in, and mail
/// servers limit that.
const MAIL_VALID_FOR: Duration = Duration::from_mins(5);

/// Prefix under which no object exists.
const PROBE: &str = "videos/check/";

/// Checks of everything that a process with these roles uses.
///
/// # Errors
/// The settings of mails are invalid.
pub(crate) fn health_checks(
    settings: &Settings,
    roles: Roles,
    parts: &Parts,
    stop: CancellationToken,
) -> Result<HealthChecks> {
    let database = parts.database.clone();
    let mut dependencies = vec![Dependency::required("database", move || {
        let database = database.clone();
        async move { database.check().await }
    })];
    if let Some(opened) = &parts.storage {
        dependencies.push(storage(opened));
    }
    let broker = Arc::clone(&parts.broker);
    let check = move || {
        let broker = Arc::clone(&broker);
        async move { broker.check().await }
    };
    dependencies.push(if roles.api {
        Dependency::informative("broker", check)
    } else {
        Dependency::required("broker", check)
    });
    if let Some(InterfaceParts { limits, .. }) = &parts.interface
        && settings.limits.redis_url.is_some()
    {
        let limits = Arc::clone(limits);
        dependencies.push(Dependency::informative("limits", move || {
            let limits = Arc::clone(&limits);
            async move { limits.check().await }
        }));
    }
    if roles.notifier && settings.mail.host.is_some() {
        let mailer = Parts::mailer(settings)?.mailer;
        let mail = Dependency::informative("mail", move || {
            let mailer = Arc::clone(&mailer);
            async move { mailer.check().await }
        });
        dependencies.push(mail.valid_for(MAIL_VALID_FOR));
    }
    Ok(HealthChecks::new(dependencies, stop))
}

/// The store. A bucket is checked by one request, which lists nothing: it shows that the store
/// answers, that the bucket exists, and that the keys are valid. `fiapx check` also tests whether
/// it can be written to. An API whose store is read-only stays ready, because it can still serve
/// downloads.
fn storage(opened: &OpenStorage) -> Dependency {
    let (storage, is_local) = (Arc::clone(&opened.storage), opened.disk.is_some());
    Dependency::required("storage", move || {
        let storage = Arc::clone(&storage);
        async move {
            if is_local { storage.check().await } else { storage.list(PROBE, None).await.map(drop) }
        }
    })
}

/// Empty and delete the queues that earlier releases used, as long as this process receives from
/// their successors. Never returns.
pub(crate) async fn retire_earlier_queues(broker: Arc<dyn Broker>, roles: Roles) {
    /// Maximum time between two attempts while there are such queues.
    const INTERVAL: Duration = Duration::from_mins(1);
    /// The same while there are none. An earlier process may start again, and the server logs each
    /// question about a missing queue as an error.
    const RARE_INTERVAL: Duration = Duration::from_hours(1);
    let queues = Queue::ALL.into_iter().filter(move |queue| match queue {
        Queue::Process => roles.worker,
        Queue::Notification => roles.notifier,
    });
    loop {
        let mut are_left = false;
        for queue in queues.clone() {
            let gauge = metrics::gauge!("fiapx_earlier_queue_messages", "queue" => queue.name());
            match broker.retire_earlier(queue).await {
                Ok(left) => {
                    are_left |= left.is_some();
                    gauge.set(left.unwrap_or(0) as f64);
                }
                Err(error) => {
                    are_left = true;
                    warn!(%queue, %error, "cannot empty the queues of earlier releases; retrying");
                }
            }
        }
        let interval = if are_left { INTERVAL } else { RARE_INTERVAL };
        tokio::time::sleep(jittered(interval, rand::random())).await;
    }
}
