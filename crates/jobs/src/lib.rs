//! The vocabulary of one job, shared by everything that touches it: [ids](id), [states](state) and
//! their legal changes, [failures](failure) and whether [another attempt](retry) helps, the
//! [messages](message) between processes, the [trace], the [clock].
//!
//! Nothing here reads, writes or waits.

// In dependency order.
pub mod clock;
pub mod language;
pub mod id;
pub mod video;
pub mod ratio;
pub mod recipe;
pub mod manifest;
pub mod failure;
pub mod retry;
pub mod state;
pub mod trace;
pub mod message;

pub use clock::{Clock, Time};
pub use failure::FailureCode;
pub use id::{JobId, UserId};
pub use language::Language;
pub use manifest::Manifest;
pub use message::Message;
pub use ratio::Ratio;
pub use recipe::Recipe;
pub use state::{State, Transition};
pub use video::VideoFormat;
