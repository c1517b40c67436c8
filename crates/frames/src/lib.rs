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
pub mod extract;
mod limits;
pub mod source;
mod av;
mod bitstream;
pub mod select;
mod plan;
mod read;
mod span;
mod decode;
pub mod convert;
pub mod png;
mod archive;
mod zip;
pub mod manifest;
mod flow;
mod spent;
pub mod probe;
#[cfg(feature = "stages")]
pub mod stages;
mod error;

pub use error::Error;
pub use extract::{Decoding, Options, Progress, Report, extract};
pub use limits::{Limits, Stop};
pub use probe::{Forecast, probe};

/// Versions of the libav libraries that are linked: name and `major.minor.micro`.
#[must_use]
pub fn libav_versions() -> [(&'static str, String); 4] {
    av::versions()
}
