//! Real servers for tests, started and stopped by the tests themselves.
//!
//! Each runs on free loopback ports and in a temporary directory of its own. It ends with the value
//! that stands for it, and with the test process however that ends; so does its directory.
//! `shared()` is one server for the whole process, for tests that keep to a database or virtual
//! host of their own; `start()` is one for a test that stops or kills it.
//!
//! Nothing here is fit for anything but tests: what goes wrong panics, with the end of the server's
//! log.

// The servers, then what they stand on.
pub mod postgres;
pub mod rabbitmq;
pub mod redis;
pub mod garage;
pub mod mailbox;
mod process;
mod directory;
mod port;

pub use garage::Garage;
pub use mailbox::Mailbox;
pub use postgres::Postgres;
pub use rabbitmq::RabbitMq;
pub use redis::Redis;

/// What a process of the service is told to work on servers, by the names of its variables:
/// addresses of a database, a virtual host and a Redis, and a bucket.
#[must_use]
pub fn environment(
    database: String,
    broker: String,
    redis: String,
    garage: &Garage,
    bucket: &str,
) -> Vec<(&'static str, String)> {
    vec![
        ("DATABASE_URL", database),
        ("RABBITMQ_URL", broker),
        ("REDIS_URL", redis),
        ("S3_ENDPOINT", garage.endpoint()),
        ("S3_REGION", garage.region().to_owned()),
        ("S3_ACCESS_KEY", garage.access_key().to_owned()),
        ("S3_SECRET_KEY", garage.secret_key().to_owned()),
        ("S3_BUCKET", bucket.to_owned()),
        ("JWT_SECRET", "a key that only tests and measurements know".to_owned()),
    ]
}
