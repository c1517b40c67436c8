//! Composition root: command line, settings, telemetry, and the parts of the system assembled into
//! a running service.
//!
//! Used by the binary `fiapx`, and by tests and benches that start a service in their own process.

pub mod version;
mod instance;
pub mod settings;
pub mod telemetry;
pub mod metrics;
mod data_dir;
mod disk_reserve;
mod roles;
mod confirmation;
mod parts;
mod maintenance;
mod dependencies;
mod connection;
mod open_connections;
mod http_server;
mod api_server;
pub mod ready;
pub mod service;
pub mod collections;
pub mod cli;
pub mod commands;

pub use parts::Parts;
