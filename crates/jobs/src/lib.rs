//! The vocabulary of one job, shared by everything that touches it: [ids](id), [states](state) and
//! their legal changes, [failures](failure) and whether [another attempt](retry) helps, the
//! [messages](message) between processes, the [trace], the [clock].
//!
//! Nothing here reads, writes or waits.

// In the order in which a video meets them.
pub mod id;
pub mod video;
pub mod state;
pub mod message;
pub mod trace;
pub mod retry;
pub mod failure;
pub mod language;
pub mod clock;

pub use clock::{Clock, Time};
pub use failure::FailureCode;
pub use id::{JobId, UserId};
pub use language::Language;
pub use message::Message;
pub use state::{State, Transition};
pub use video::VideoFormat;
