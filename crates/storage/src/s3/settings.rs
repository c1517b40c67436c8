//! Settings of the store.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::part_size;
use crate::error::Error;

/// Minimum of [`S3Settings::upload_memory`] in bytes: the largest part, which only very large
/// objects have.
pub const MIN_UPLOAD_MEMORY: usize = part_size::MAX;

/// Recommended [`S3Settings::upload_memory`]: 128 MiB. Including the overhead of the allocator, a
/// hundred simultaneous uploads use less than 200 MiB.
pub const DEFAULT_UPLOAD_MEMORY: usize = 128 << 20;

/// Recommended [`S3Settings::assembly_timeout`]: the assembly can take minutes (Amazon S3 API
/// reference, `CompleteMultipartUpload`).
pub const DEFAULT_ASSEMBLY_TIMEOUT: Duration = Duration::from_mins(5);

/// Address of the store, and credentials.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// Address of the store, `http://` or `https://` (`S3_ENDPOINT`).
    pub endpoint: String,
    /// Address of the same store for browsers, used in links; the same as `endpoint` if `None`
    /// (`S3_PUBLIC_ENDPOINT`). Its host is part of the signature, so proxies must not change it.
    pub public_endpoint: Option<String>,
    /// Region in signatures (`S3_REGION`).
    pub region: String,
    /// Existing bucket of the objects (`S3_BUCKET`).
    pub bucket: String,
    /// Access key ID (`S3_ACCESS_KEY`).
    pub access_key: SecretString,
    /// Secret access key (`S3_SECRET_KEY`).
    pub secret_key: SecretString,
    /// Whether URLs have the bucket in their path instead of the host name. Every store supports
    /// that, but only few support the other form.
    pub path_style: bool,
    /// Memory in bytes of all videos together that are being received, and as much again of all
    /// archives that are being written; at least [`MIN_UPLOAD_MEMORY`]. [`DEFAULT_UPLOAD_MEMORY`]
    /// is a good value; a single upload uses 25 MiB.
    pub upload_memory: usize,
    /// Timeout of each attempt to assemble an object from its parts. [`DEFAULT_ASSEMBLY_TIMEOUT`]
    /// is a good value.
    pub assembly_timeout: Duration,
}

/// Validate the address of a store and remove slashes at its end.
pub(super) fn parse_endpoint(setting: &'static str, address: &str) -> Result<String, Error> {
    let invalid = |problem: String| Error::Setting { setting, problem };
    let url = Url::parse(address)
        .map_err(|error| invalid(format!("is {address:?} ({error}), not like http://host:port")))?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    if !is_http
        || url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err(invalid("is not like http://host:port".to_owned()));
    }
    Ok(address.trim_end_matches('/').to_owned())
}
