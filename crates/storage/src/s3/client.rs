//! How we talk to the store.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    self, BehaviorVersion, Credentials, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use secrecy::ExposeSecret;

use super::S3Settings;

/// How long it may take to get a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the store may take to answer a request that moves little.
const ANSWER: Duration = Duration::from_secs(20);

/// The slowest way to the store that is good enough, in bytes per second.
const SLOWEST: u64 = 128 << 10;

/// How long the store may take to put the parts of an object together, of which Amazon says that it
/// can be minutes (Amazon S3 API reference, `CompleteMultipartUpload`).
const ASSEMBLY: Duration = Duration::from_mins(5);

/// How long nothing may come of an answer that has begun, or be taken of a request. The SDK's own.
const STALL: Duration = Duration::from_secs(20);

/// How often a request is made that fails for reasons that may pass: no connection, no answer in
/// time, or the store is busy or has an internal error. The pauses between are up to one and two
/// seconds long.
const ATTEMPTS: u32 = 3;

/// A client that reaches the store at `endpoint`. It makes no request yet.
pub(super) fn new(settings: &S3Settings, endpoint: &str) -> Client {
    let credentials = Credentials::new(
        settings.access_key.expose_secret(),
        settings.secret_key.expose_secret(),
        None,
        None,
        "the settings of this service",
    );
    let config = config::Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http_client(endpoint.starts_with("https:")))
        .endpoint_url(endpoint)
        .region(Region::new(settings.region.clone()))
        .force_path_style(settings.path_style)
        .credentials_provider(credentials)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts(ANSWER))
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled().grace_period(STALL).build(),
        )
        // Several stores refuse the checksums that the SDK adds by itself. What is uploaded is
        // protected nevertheless: its SHA-256 is part of the signature.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    Client::from_conf(config)
}

/// Certificates are those that the system trusts, or that the environment names (`SSL_CERT_FILE`,
/// `SSL_CERT_DIR`). They are not looked for where none is needed, since a container may have none.
fn http_client(secure: bool) -> SharedHttpClient {
    let tls = TlsContext::builder()
        .with_trust_store(TrustStore::empty().with_native_roots(secure))
        .build()
        .unwrap_or_default();
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls).build_https()
}

/// What differs for a request that sends so many bytes.
pub(super) fn sending(bytes: usize) -> config::Builder {
    config::Config::builder()
        .timeout_config(timeouts(ANSWER + Duration::from_secs(bytes as u64 / SLOWEST)))
}

/// What differs for a request after which the store puts an object together.
pub(super) fn assembling() -> config::Builder {
    config::Config::builder().timeout_config(timeouts(ASSEMBLY))
}

/// Each attempt may take so long, and all of them with the pauses between.
fn timeouts(attempt: Duration) -> TimeoutConfig {
    let pauses = Duration::from_secs(10);
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(attempt)
        .operation_timeout(attempt * ATTEMPTS + pauses)
        .build()
}
