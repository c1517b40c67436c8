//! Faults of the servers, and of the processes that use them: every accepted video reaches a final
//! state, once.

mod broker;
mod clocks;
mod database;
mod mail;
mod network;
mod queue_arguments;
mod redis;
mod storage;
mod worker;
mod wrong_database;
