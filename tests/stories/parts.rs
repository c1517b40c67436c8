//! What a service of the stories stands on. Most stories are told twice: on embedded parts, and on
//! real servers that all stories of this process share, with places of their own on each. A story
//! that stops servers has a [`Cluster`](crate::cluster::Cluster).

use std::collections::BTreeMap;

use app::settings::Settings;
use servers::garage::Bucket;
use servers::{Garage, Mailbox, Postgres, RabbitMq, Redis};
use storage::{Key, Storage};
use tokio::task::spawn_blocking;

use crate::service::Service;

/// The parts of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// SQLite, a queue in the process, the disk, counting in the process, and mails as files.
    Embedded,
    /// PostgreSQL, RabbitMQ, an S3 store, Redis, and a mail server.
    Servers,
}

impl Parts {
    /// Start a service with the default settings.
    pub async fn start(self) -> Service {
        self.with(|_| {}).await
    }

    /// Start one with other settings.
    pub async fn with(self, change: impl FnOnce(&mut Settings)) -> Service {
        Service::on(self, change).await
    }

    /// Places for a service, if it needs any.
    pub async fn places(self) -> Option<Places> {
        match self {
            Self::Embedded => None,
            Self::Servers => Some(Places::make().await),
        }
    }
}

/// A service's own places on servers.
pub struct Places {
    /// How processes are told of them.
    pub environment: Vec<(&'static str, String)>,
    /// Where its files lie.
    pub bucket: Bucket,
    /// Where its mails go.
    pub mailbox: Mailbox,
}

impl Places {
    /// Places on the servers that all stories share.
    async fn make() -> Self {
        let make = || {
            let broker = RabbitMq::shared().create_virtual_host().url;
            Self::told(Postgres::shared(), broker, Garage::shared(), Redis::shared())
        };
        let (environment, bucket) = spawn_blocking(make).await.expect("the servers start");
        Self::with_mailbox(environment, bucket).await
    }

    /// Places on servers that nobody else uses.
    pub async fn on(
        postgres: &Postgres,
        rabbitmq: &RabbitMq,
        garage: &Garage,
        redis: &Redis,
    ) -> Self {
        let (environment, bucket) = Self::told(postgres, rabbitmq.url(), garage, redis);
        Self::with_mailbox(environment, bucket).await
    }

    fn told(
        postgres: &Postgres,
        broker: String,
        garage: &Garage,
        redis: &Redis,
    ) -> (Vec<(&'static str, String)>, Bucket) {
        let bucket = garage.create_bucket();
        let environment = servers::environment(
            postgres.create_database(),
            broker,
            redis.new_database(),
            garage,
            bucket.name(),
        );
        (environment, bucket)
    }

    async fn with_mailbox(mut environment: Vec<(&'static str, String)>, bucket: Bucket) -> Self {
        let mailbox = Mailbox::start([]).await;
        environment
            .extend([("SMTP_HOST", mailbox.host()), ("SMTP_PORT", mailbox.port().to_string())]);
        Self { environment, bucket, mailbox }
    }

    /// What a process is told, by its name.
    pub fn told_of(&self, name: &str) -> Option<String> {
        self.environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    /// How many uploads are under way that a store would show before they are complete.
    pub async fn unfinished(&self) -> usize {
        let bucket = self.bucket.clone();
        spawn_blocking(move || bucket.unfinished_uploads()).await.expect("the server counts")
    }
}

/// All objects of a store, by their keys, with their sizes.
pub async fn objects(store: &dyn Storage) -> BTreeMap<String, u64> {
    let (mut found, mut after): (BTreeMap<String, u64>, Option<Key>) = (BTreeMap::new(), None);
    loop {
        let page = store.list(Key::ROOT, after.as_ref()).await.expect("the store answers");
        let Some(last) = page.last() else { return found };
        after = Some(last.key.clone());
        found.extend(page.iter().map(|object| (object.key.to_string(), object.size)));
    }
}
