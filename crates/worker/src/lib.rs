//! Worker: turns the video of one job into an archive, and cleans up after jobs.
//!
//! [`Worker`] receives messages from the broker, claims the job of each and runs an attempt: the
//! frame engine in a [`cell`], while the lease on the job is renewed. [`relay`] publishes the
//! outbox to the broker. [`maintenance`] handles expired leases, lost messages, expired archives
//! and files without a job.

// In dependency order: a module uses only modules above it.
mod progress;
mod engine;
mod archive_quota;
mod attempt_error;
mod video_input;
mod previews;
mod attempt_io;
pub mod cell;
mod isolation;
mod breaker;
mod settings;
mod lease;
mod source;
mod attempt;
mod worker;
mod error;
mod background;
mod turn;
pub mod relay;
mod reaper;
pub mod sweep;
pub mod maintenance;

pub use attempt_error::AttemptError;
pub use engine::EngineLimits;
pub use error::Error;
pub use isolation::Isolation;
pub use settings::Settings;
pub use worker::Worker;
