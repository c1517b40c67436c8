//! HTTP requests to addresses that users enter: those of webhooks, and of videos. Nobody reaches
//! the network of the service by them.
//!
//! A [`Target`] is a URL whose scheme and literal address the [`Policy`] permits. For each request,
//! the [`Client`] resolves the target's host once, checks the [kind](AddressKind) of every address
//! of it, and connects to an address that it has checked: there is no second look-up that could
//! return another one. It uses no proxy, and ignores the environment variables for them.
//!
//! [`Client::post`] follows no redirects. A [`Fetcher`] reads a [`Remote`] file and follows a
//! few, each to a target that is checked in the same way.

// In dependency order: a module uses only modules above it.
mod address;
mod target;
mod network;
mod error;
mod client;
mod hosts;
mod pace;
mod remote_error;
mod download;
mod remote;
#[cfg(test)]
mod tests;

pub use address::{AddressKind, address_kind};
pub use client::{Answer, Client, MAX_BODY_BYTES, Post};
pub use error::Error;
pub use hyper::header;
pub use network::{Connector, Network, Resolver};
pub use remote::{Fetcher, RangedFile, Remote, RemoteLimits, WholeFile};
pub use remote_error::RemoteError;
pub use target::{InvalidTarget, Policy, Target};
