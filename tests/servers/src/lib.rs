//! Real servers for tests, started and stopped by the tests themselves.
//!
//! Each server listens on free loopback ports and has its own temporary directory. It ends,
//! and its directory is removed, when its value is dropped or when the test process ends for any
//! reason. `shared()` is one server per process, for tests that use a database or virtual host of
//! their own; `start()` is for a test that stops or kills its server.
//!
//! This crate is for tests only: every failure panics with the end of the server's log.

mod port;
mod directory;
mod process;
pub mod disk;
mod server;
pub mod mailbox;
pub mod garage;
pub mod redis;
pub mod rabbitmq;
pub mod postgres;
pub mod proxy;
mod environment;

pub use environment::environment;
pub use garage::Garage;
pub use mailbox::Mailbox;
pub use port::free as free_port;
pub use postgres::Postgres;
pub use proxy::Proxy;
pub use rabbitmq::RabbitMq;
pub use redis::Redis;
