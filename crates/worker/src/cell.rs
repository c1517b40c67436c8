//! The cell: a process without privileges that runs the frame engine for one attempt.
//!
//! libav is a large C library that parses untrusted files. An attacker who takes control of it
//! controls a process that has no files, network, environment variables or keys, and whose memory
//! and time are limited: this program, started again for each attempt. Storage, database and broker
//! stay in the worker, and only compressed bytes cross the boundary. The worker uses the output of
//! a cell for the cell's own job only, and trusts nothing in it: `receiver` bounds what a cell
//! sends, `video` what it reads, and `threads` what it starts.

mod protocol;
mod text;
mod confine;
mod output;
#[cfg(feature = "failpoints")]
mod hostile;
mod process;
mod program;
mod video;
mod threads;
mod receiver;
mod supervisor;

pub use process::main;
pub use program::Program;
pub use supervisor::Cells;
