//! Client of the store: timeouts, retries and TLS.

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

use super::settings::S3Settings;

/// Timeout of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of a request with little data.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Minimum acceptable bandwidth in bytes per second.
const MIN_BANDWIDTH: u64 = 128 << 10;

/// Maximum time without progress of a request or response body: the default of the SDK.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Maximum number of attempts if a request fails for a temporary reason: no connection, a timeout,
/// a busy store or an internal error. The pauses between them are up to one and two seconds long.
const MAX_ATTEMPTS: u32 = 3;

/// Create a client of the store at `endpoint`. Makes no request yet.
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
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .timeout_config(timeouts(REQUEST_TIMEOUT))
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled().grace_period(STALL_TIMEOUT).build(),
        )
        // Several stores reject the checksums that the SDK adds by default. Uploads are protected
        // by their SHA-256 in the signature.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    Client::from_conf(config)
}

/// Create an HTTP client. Its certificates are those of the system, or of the environment variables
/// `SSL_CERT_FILE` and `SSL_CERT_DIR`. Without TLS they are not loaded, because a container may not
/// have any.
fn http_client(secure: bool) -> SharedHttpClient {
    let tls = TlsContext::builder()
        .with_trust_store(TrustStore::empty().with_native_roots(secure))
        .build()
        .unwrap_or_default();
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls).build_https()
}

/// Configuration override for a request that sends this number of bytes.
pub(super) fn timeouts_for_sending(bytes: usize) -> config::Builder {
    config::Config::builder().timeout_config(timeouts(
        REQUEST_TIMEOUT + Duration::from_secs(bytes as u64 / MIN_BANDWIDTH),
    ))
}

/// Configuration override for a request after which the store assembles an object, with the
/// timeout of each attempt.
pub(super) fn timeouts_for_assembling(attempt: Duration) -> config::Builder {
    config::Config::builder().timeout_config(timeouts(attempt))
}

/// Timeouts of each attempt and of all attempts with the pauses between them.
fn timeouts(attempt: Duration) -> TimeoutConfig {
    let pauses = Duration::from_secs(10);
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(attempt)
        .operation_timeout(attempt * MAX_ATTEMPTS + pauses)
        .build()
}
