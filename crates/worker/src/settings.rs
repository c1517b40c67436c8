//! Settings of a worker.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::engine::EngineLimits;
use crate::isolation::Isolation;

/// Settings of a worker.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the worker in rows and logs.
    pub name: String,
    /// Maximum number of jobs at a time. Each uses all cores; the operating system's scheduler
    /// shares them.
    pub slots: usize,
    /// Maximum duration of an attempt.
    pub timeout: Duration,
    /// Number of threads of an attempt.
    pub threads: NonZeroUsize,
    /// Limits of the engine.
    pub engine: EngineLimits,
    /// Maximum memory of a cell, in bytes.
    pub memory_bytes: u64,
    /// Process in which attempts run.
    pub isolation: Isolation,
    /// Time for running jobs to finish when the worker stops.
    pub grace: Duration,
}
