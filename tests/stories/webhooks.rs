//! Webhooks: the outcomes of jobs at servers of users, signed, at least once, and never within the
//! network of the service.

mod client;

mod deliveries;
mod failures;
mod guard;
mod kills;
mod management;
mod signatures;
