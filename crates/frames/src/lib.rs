//! Frame engine: reads the bytes of a video and writes the bytes of a ZIP of its frames. By default
//! these are one per second, pixel for pixel those of `ffmpeg -vf fps=1`.
//!
//! One module per step: `source` detects the container and guards reading, `av` demuxes,
//! `bitstream` determines the role of each packet, `select` decides which frames are
//! selected, `plan` cuts the packets into spans and leaves out those that no selected frame depends
//! on, `decode` decodes a span, `convert` rotates, scales (`fit`) and converts its frames, `encode`
//! encodes them. `rendering` does this for each frame, with small copies of it by which `left_out`
//! recognizes blank and repeated frames (`thumbprint`) and of which `sheets` composes contact
//! sheets, and with `previews` of some. `archive` writes the ZIP and `manifest` describes it.
//! `extract` runs these steps in parallel: `reader` on one thread, `span` on the threads of a pool,
//! `writer` on another thread; `flow` bounds the memory between them, and `timing` measures the
//! work.
//!
//! The crate does not use networks, databases or an async runtime.

#![deny(unsafe_code)]

// In dependency order: a module uses only modules above it.
mod error;
mod limits;
mod time;
mod options;
mod mode;
mod structure;
mod composition;
pub mod source;
mod fit;
mod orientation;
mod av;
mod best_effort;
mod bitstream;
mod select;
mod plan;
mod preparation;
mod timing;
mod context;
mod index;
mod guide;
mod route;
mod decode;
mod convert;
mod encode;
mod thumbprint;
mod left_out;
mod sheets;
mod previews;
mod rendering;
mod flow;
mod span;
mod reader;
mod archive;
mod manifest;
mod writer;
mod extract;
mod probe;
#[cfg(feature = "stages")]
pub mod stages;

pub use av::{LibavBuild, build as libav_build, clear_environment, versions as libav_versions};
pub use encode::check_encoders;
pub use error::Error;
pub use extract::extract;
pub use limits::{Limits, Stop};
pub use options::{Decoding, MAX_PREVIEW_BYTES, Options, Preview, PreviewSink, Progress, Report};
pub use probe::{Forecast, probe};
