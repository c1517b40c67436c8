//! Client of the HTTP interface of a service, for `fiapx remote`.
//!
//! A [`Client`] sends requests to one [`Server`] with an API key. Its operations repeat what fails
//! for a while: an upload by tus and a download from the byte at which they were interrupted, an
//! upload as a form with the same idempotency key. [`Credentials`] keeps keys in a file of the
//! user.
//!
//! Requests go to the service and to the links that it returns. Redirects are not followed, and the
//! environment variables for proxies are ignored.

// In dependency order: a module uses only modules above it.
mod server;
mod error;
mod credentials;
mod client;
mod retry;
mod account;
mod job;
mod events;
mod video_file;
mod sending;
mod form_upload;
mod upload_records;
mod resumable_upload;
mod upload;
mod partial;
mod download;

pub use account::{CreatedKey, Session};
pub use client::Client;
pub use credentials::{Credentials, StoredKey};
pub use download::{Destination, Downloaded};
pub use error::{Error, FieldProblem, Problem};
pub use events::Event;
pub use job::{AcceptedVideo, Job, Progress};
pub use retry::Step;
pub use server::{InvalidServer, Server};
pub use upload::UploadLimits;
pub use upload_records::UploadRecords;
