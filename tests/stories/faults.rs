//! Faults of the servers, and of the processes that work with them: whatever is accepted comes to
//! its end, once.

mod broker;
mod database;
mod limits;
mod mail;
mod store;
mod worker;
