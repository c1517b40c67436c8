//! The cell: a process without privileges that runs the frame engine for one attempt.
//!
//! libav is a large C library that parses untrusted files. An attacker who takes control of it
//! controls a process that has no files, network, environment variables or keys, and whose memory
//! and time are limited: this program, started again for each attempt. Storage, database and broker
//! stay in the worker, and only compressed bytes cross the boundary. The worker uses the output of
//! a cell for the cell's own job only.

mod protocol;
mod confine;
mod process;
mod program;
mod supervisor;

pub use process::main;
pub use program::Program;
pub use supervisor::Cells;
