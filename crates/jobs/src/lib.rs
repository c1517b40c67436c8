//! Vocabulary of a job, shared by all crates: [ids](id), [states](state) and their transitions,
//! [recipes](recipe), [addresses](source) of videos, [manifests](manifest), [warnings](warning),
//! [forecasts](forecast), [failure codes](failure), [retry rules](retry), [messages](message)
//! between processes, [trace] contexts, [time zones](time_zone), the [clock] and the [backoff] of
//! what keeps failing.
//!
//! This crate performs no I/O.

// In dependency order: a module uses only modules above it.
mod names;
mod excerpt;
mod units;
pub mod backoff;
pub mod clock;
pub mod time_zone;
pub mod language;
pub mod id;
pub mod video;
pub mod source;
pub mod ratio;
pub mod recipe;
pub mod stored_recipe;
pub mod warning;
pub mod manifest;
pub mod forecast;
pub mod failure;
pub mod retry;
pub mod attempt;
pub mod state;
pub mod trace;
pub mod message;

pub use attempt::AttemptOutcome;
pub use backoff::Backoff;
pub use clock::{Clock, Mark, Time};
pub use excerpt::Excerpt;
pub use failure::FailureCode;
pub use id::{InstallationId, JobId, UserId};
pub use language::Language;
pub use manifest::Manifest;
pub use message::Message;
pub use ratio::Ratio;
pub use recipe::Recipe;
pub use source::SourceUrl;
pub use state::{State, Transition};
pub use stored_recipe::StoredRecipe;
pub use time_zone::TimeZone;
pub use units::MEGABYTE;
pub use video::VideoFormat;
pub use warning::Warning;
