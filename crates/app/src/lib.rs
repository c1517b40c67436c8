//! The composition root: settings, telemetry, and the parts of the system put together to a running
//! service.
//!
//! The command `fiapx` in front of it, and tests that start a service of their own, are all that
//! uses it.

pub mod settings;
pub mod telemetry;
mod parts;
mod connection;
pub mod figures;
pub mod serve;
pub mod ready;
pub mod version;

pub use parts::Parts;
