//! Environment of a process that uses the servers.

use crate::garage::Garage;

/// Environment variables of a process of the service: the URLs of a database, a virtual host and a
/// Redis database, and a bucket of `garage`. Its users need not confirm their addresses.
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
        ("JWT_SECRET", "a key for tests and measurements".to_owned()),
        ("ACCOUNTS_CONFIRM", "false".to_owned()),
    ]
}
