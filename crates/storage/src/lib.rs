//! Object storage: uploaded videos and the archives made of them.
//!
//! [`Storage`] documents the guarantees of every adapter, and the test suite `conformance` checks
//! each adapter against them.

mod percent;
mod key;
mod error;
mod byte_range;
mod content_disposition;
mod checkpoint;
mod direct;
mod interface;
#[cfg(test)]
mod memory;
mod job_files;
pub mod blocking;
#[cfg(test)]
mod conformance;
pub mod disk;
pub mod s3;

pub use byte_range::{RequestedRange, content_range, unsatisfied_content_range};
pub use checkpoint::Checkpoint;
pub use content_disposition::content_disposition;
pub use direct::{DirectUploads, PartRequest, StoredPart, WrongParts};
pub use disk::Disk;
pub use error::Error;
pub use interface::{Object, PAGE_SIZE, ResumedUpload, Storage, Upload};
pub use job_files::{delete_job_files, delete_user_files};
pub use key::{InvalidKey, Key, PreviewName};
pub use s3::{S3, S3Settings};
