//! Whole-system stories: results of the service and the command, compared with other programs.
//!
//! They need the command `fiapx` and the load generator (`cargo build --workspace --bins --tests`),
//! and the Debian packages that [`harness::programs::tool`] names. A story whose program is missing
//! fails and names it.

mod harness;

mod accounts;
mod another_job;
mod architecture;
mod avi_files;
mod backup;
mod by_url;
mod cell;
mod command_line;
mod content_selections;
mod contract;
mod crash_recovery;
mod cuts;
mod deployment;
mod determinism;
mod documentation;
mod downloads;
mod engine_limits;
mod events;
mod fair_sharing;
mod faults;
mod forecasts;
mod formats;
mod headers;
mod hostile;
mod hostile_cells;
mod http_messages;
mod independent_spans;
mod keys;
mod lifecycle;
mod linked_libav;
mod listing;
mod load_generator;
mod manifest;
mod memory;
mod operation;
mod ownership;
mod page;
mod partial_reading;
mod pixels;
mod previews;
mod recipes;
mod remote_cli;
mod remote_ranges;
mod resumable;
mod roles;
mod rolling_restart;
mod security_requirements;
mod selections;
mod selective_decoding;
mod shares;
mod sheets;
mod soak;
mod streaming;
mod upgrade;
mod uploads;
mod webhooks;
mod zip_readers;
