//! Whole-system stories: what a user gets, held against other programs.
//!
//! They need the command `fiapx` (`cargo build --package app`), the load generator (`cargo build
//! --package load`) and the Debian packages that [`harness::tool`] names; what is missing fails the
//! story that needs it.

mod accounting;
mod accounts;
mod architecture;
mod backup;
mod cell;
mod cluster;
mod collector;
mod command_line;
mod contract;
mod downloads;
mod events;
mod exact;
mod faults;
mod harness;
mod headers;
mod honest;
mod hostile;
mod letters;
mod lifecycle;
mod limits;
mod linear;
mod listing;
mod load;
mod many_machines;
mod memory;
mod operation;
mod ownership;
mod page;
mod parts;
mod process;
mod readers;
mod readme;
mod rolling;
mod same_bytes;
mod service;
mod soak;
mod streaming;
mod survival;
mod uploads;
