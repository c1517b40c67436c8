//! Video bytes in, a ZIP of PNG pictures out: by default one a second, pixel for pixel those of
//! `ffmpeg -vf fps=1`.
//!
//! The way of a video, one module a step: [`source`] knows the container and guards the reading,
//! `av` demuxes, `bitstream` tells what each packet is to the others, [`select`] says which
//! pictures are wanted, `plan` cuts the packets into spans and leaves out what nobody needs,
//! `decode` makes pictures of them, [`convert`] turns them upright and into RGB, [`png`] encodes,
//! `zip` writes the archive and [`manifest`] its last entry. [`extract`](mod@extract) runs these
//! steps side by side: `read` on one thread, `span` on the threads of a pool, `archive` on a third
//! kind, `flow` keeps them in pace, and `spent` adds up their time.
//!
//! Nothing here knows of networks, databases or async run-times.

#![deny(unsafe_code)]

// In the order in which a video meets them.
mod error;
mod limits;
mod time;
mod options;
pub mod source;
mod orientation;
mod av;
mod bitstream;
mod select;
mod plan;
mod spent;
mod flow;
mod decode;
mod convert;
mod png;
mod span;
mod read;
mod zip;
mod manifest;
mod archive;
mod extract;
mod probe;
#[cfg(feature = "stages")]
pub mod stages;

pub use error::Error;
pub use extract::extract;
pub use limits::{Limits, Stop};
pub use options::{Decoding, Options, Progress, Report};
pub use probe::{Forecast, probe};

/// Versions of the libav libraries that are linked: name and `major.minor.micro`.
#[must_use]
pub fn libav_versions() -> [(&'static str, String); 4] {
    av::versions()
}
