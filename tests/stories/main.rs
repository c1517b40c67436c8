//! Whole-system stories: what a user gets, held against other programs.
//!
//! They need the command `fiapx` (`cargo build --package app`) and the Debian packages that [`harness::tool`] names; what is missing
//! fails the story that needs it.

mod architecture;
mod command_line;
mod exact;
mod harness;
mod honest;
mod hostile;
mod limits;
mod linear;
mod memory;
mod readers;
mod same_bytes;
