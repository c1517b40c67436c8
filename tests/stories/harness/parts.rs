//! Parts that a service runs on. Most stories run twice: on embedded parts, and on real servers
//! that all stories of this process share, with separate namespaces on each. A story that stops
//! servers uses a [`Cluster`](super::cluster::Cluster).

use std::collections::BTreeMap;

use servers::garage::Bucket;
use servers::{Garage, Mailbox, Postgres, RabbitMq, Redis};
use storage::{Key, Storage};
use tokio::task::spawn_blocking;

use super::clips::scratch;
use super::programs::{fiapx, run};

/// The parts of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// SQLite, a queue in the process, the disk, counters in the process, and mails as files.
    Embedded,
    /// PostgreSQL, RabbitMQ, an S3 store, Redis, and a mail server.
    Servers,
}

impl Parts {
    /// Namespaces for a service, if the parts are servers.
    pub async fn namespaces(self) -> Option<Namespaces> {
        match self {
            Self::Embedded => None,
            Self::Servers => Some(Namespaces::shared().await),
        }
    }
}

/// Namespaces of one service on servers: a database, a virtual host, a bucket and a mailbox.
pub struct Namespaces {
    /// Environment variables that lead a process to them.
    pub environment: Vec<(&'static str, String)>,
    /// Bucket for its files.
    pub bucket: Bucket,
    /// Mail server that receives its mails.
    pub mailbox: Mailbox,
}

impl Namespaces {
    /// Namespaces on the servers that all stories share.
    pub async fn shared() -> Self {
        let create = || {
            let broker = RabbitMq::shared().create_virtual_host().url;
            Self::create(Postgres::shared(), broker, Garage::shared(), Redis::shared())
        };
        let (environment, bucket) = spawn_blocking(create).await.expect("the servers start");
        Self::with_mailbox(environment, bucket).await
    }

    /// Namespaces on the servers of one story.
    pub async fn on(
        postgres: &Postgres,
        rabbitmq: &RabbitMq,
        garage: &Garage,
        redis: &Redis,
    ) -> Self {
        let (environment, bucket) = Self::create(postgres, rabbitmq.url(), garage, redis);
        Self::with_mailbox(environment, bucket).await
    }

    fn create(
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

    /// Value of an environment variable.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    /// The environment as borrowed strings.
    pub fn variables(&self) -> Vec<(&'static str, &str)> {
        self.environment.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// Create the schema.
    pub fn migrate(&self) {
        let data = scratch();
        let mut migrate = fiapx();
        migrate.args(["migrate", "--data-dir"]).arg(data.path());
        let migrated = run(migrate.envs(self.environment.iter().cloned()));
        assert_eq!(migrated.code, Some(0), "{migrated:?}");
    }

    /// Number of multipart uploads that are neither completed nor aborted.
    pub async fn unfinished(&self) -> usize {
        let bucket = self.bucket.clone();
        spawn_blocking(move || bucket.unfinished_uploads()).await.expect("the server responds")
    }
}

/// All objects of a store, by key, with their sizes.
pub async fn objects(store: &dyn Storage) -> BTreeMap<String, u64> {
    let (mut found, mut after): (BTreeMap<String, u64>, Option<Key>) = (BTreeMap::new(), None);
    loop {
        let page = store.list(Key::ROOT, after.as_ref()).await.expect("the store responds");
        let Some(last) = page.last() else { return found };
        after = Some(last.key.clone());
        found.extend(page.iter().map(|object| (object.key.to_string(), object.size)));
    }
}
