//! Errors of requests.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use tokio_rustls::rustls;

/// Reason why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service rejects the request, and states why.
    #[error("{0}")]
    Rejected(Problem),
    /// The response is none of the service: an error of a proxy, or another kind of server.
    #[error("{origin} responds with {status} ({content}), not as FIAP X does: {advice}")]
    Unexpected {
        /// Server that responded.
        origin: String,
        /// HTTP status.
        status: StatusCode,
        /// Media type of the response.
        content: String,
        /// What to do.
        advice: String,
    },
    /// The response has not the form that this version expects.
    #[error("the response of {origin} is invalid ({reason}): check that fiapx is up to date")]
    Invalid {
        /// Server that responded.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// No connection.
    #[error(
        "cannot connect to {origin}: {reason}. Check the URL and the network, and that the service \
         is running"
    )]
    Unreachable {
        /// Server to which the connection was attempted.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// The certificate of the server is not valid, or not trusted.
    #[error(
        "the certificate of {origin} is not trusted: {reason}. If it is that of your own \
         authority, name the authority's certificate in SSL_CERT_FILE"
    )]
    Certificate {
        /// Server with the certificate.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// The connection was lost.
    #[error("the connection to {origin} was lost: {reason}")]
    Interrupted {
        /// Server of the connection.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// Nothing was received or sent for a while.
    #[error("{origin} does not respond")]
    Timeout {
        /// Server of the connection.
        origin: String,
    },
    /// The request cannot be written.
    #[error("the request is invalid: {0}")]
    Request(String),
    /// A local file cannot be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// File or directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Problem document of the service (RFC 9457).
#[derive(Debug, Clone, Deserialize)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Stable code, in upper snake case.
    pub code: String,
    /// Explanation and what to do.
    pub detail: String,
    /// Errors of fields.
    #[serde(default)]
    pub errors: Vec<FieldProblem>,
    /// Time before which another try fails, if the service states one.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

/// Error in one field of a request.
#[derive(Debug, Clone, Deserialize)]
pub struct FieldProblem {
    /// Name of the field.
    pub field: String,
    /// Stable code, in upper snake case.
    pub code: String,
}

impl Problem {
    /// Codes of the problem and of its fields.
    fn codes(&self) -> String {
        let fields = self.errors.iter().map(|error| format!("{}: {}", error.field, error.code));
        let all: Vec<String> = std::iter::once(self.code.clone()).chain(fields).collect();
        all.join(", ")
    }

    /// Further advice, where the explanation is for programmers.
    fn advice(&self) -> &'static str {
        match self.code.as_str() {
            "KEY_INVALID" | "KEY_EXPIRED" | "NOT_LOGGED_IN" | "TOKEN_INVALID" => {
                " Log in with `fiapx remote login`, or set FIAPX_API_KEY."
            }
            _ => "",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{} ({})", self.detail, self.advice(), self.codes())
    }
}

impl Error {
    /// Error of a local file.
    pub(crate) fn file(path: &Path, reason: impl fmt::Display) -> Self {
        Self::File { path: path.to_owned(), reason: reason.to_string() }
    }

    /// Error of an exchange with a server.
    pub(crate) fn of_exchange(origin: String, error: &(dyn StdError + 'static)) -> Self {
        let (mut is_connect, mut reason) = (false, String::new());
        let mut next = Some(error);
        while let Some(cause) = next {
            if let Some(rustls::Error::InvalidCertificate(found)) = tls_error(cause) {
                return Self::Certificate { origin, reason: found.to_string() };
            }
            let client = cause.downcast_ref::<hyper_util::client::legacy::Error>();
            is_connect |= client.is_some_and(hyper_util::client::legacy::Error::is_connect);
            reason = cause.to_string();
            next = cause.source();
        }
        if is_connect {
            Self::Unreachable { origin, reason }
        } else {
            Self::Interrupted { origin, reason }
        }
    }

    /// Code of the service's problem.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Rejected(problem) => Some(&problem.code),
            _ => None,
        }
    }

    /// HTTP status of the response, if there was one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Rejected(problem) => Some(problem.status),
            Self::Unexpected { status, .. } => Some(status.as_u16()),
            _ => None,
        }
    }

    /// Return whether a field of the request has an error with this code.
    #[must_use]
    pub fn has_field_code(&self, code: &str) -> bool {
        matches!(self, Self::Rejected(problem)
            if problem.errors.iter().any(|error| error.code == code))
    }

    /// Return whether the key is missing, invalid, expired, or lacks a scope.
    #[must_use]
    pub fn is_of_credentials(&self) -> bool {
        match self {
            Self::Rejected(problem) => problem.status == 401 || problem.code == "KEY_SCOPE_MISSING",
            // Responses to HEAD have no problem document.
            Self::Unexpected { status, .. } => *status == StatusCode::UNAUTHORIZED,
            _ => false,
        }
    }

    /// Return whether the same request may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Rejected(problem) => is_temporary(problem.status),
            Self::Unexpected { status, .. } => is_temporary(status.as_u16()),
            Self::Unreachable { .. } | Self::Interrupted { .. } | Self::Timeout { .. } => true,
            Self::Invalid { .. }
            | Self::Certificate { .. }
            | Self::Request(_)
            | Self::File { .. } => false,
        }
    }

    /// Time before which another try fails, if the service states one.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected(problem) => problem.retry_after,
            _ => None,
        }
    }
}

/// Return whether a status is that of a passing condition. A full store (507) lasts.
const fn is_temporary(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// Error of TLS that an error is, or that is inside of errors of I/O, whose `source` skips it.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    tls_error(error.downcast_ref::<io::Error>()?.get_ref()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(text: &str) -> Error {
        Error::Rejected(serde_json::from_str(text).expect("a problem document"))
    }

    #[test]
    fn problems_are_shown_with_their_codes_and_advice() {
        let error = rejected(
            r#"{"type": "about:blank", "title": "Unauthorized", "status": 401,
                "code": "KEY_EXPIRED", "detail": "The API key has expired."}"#,
        );
        assert_eq!(
            error.to_string(),
            "The API key has expired. Log in with `fiapx remote login`, or set FIAPX_API_KEY. \
             (KEY_EXPIRED)"
        );
        assert!(error.is_of_credentials() && !error.is_temporary());
        let error = rejected(
            r#"{"status": 422, "code": "INVALID_FIELDS", "detail": "It is empty.",
                "errors": [{"field": "file", "code": "EMPTY_FILE", "message": "It is empty."}]}"#,
        );
        assert_eq!(error.to_string(), "It is empty. (INVALID_FIELDS, file: EMPTY_FILE)");
        assert!(error.has_field_code("EMPTY_FILE") && !error.is_of_credentials());
    }

    #[test]
    fn certificates_are_found_inside_of_other_errors() {
        let reason = rustls::CertificateError::UnknownIssuer;
        let inner = rustls::Error::InvalidCertificate(reason);
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, inner));
        let error = Error::of_exchange("https://a".to_owned(), &error);
        assert!(matches!(&error, Error::Certificate { .. }), "{error:?}");
        let error = io::Error::from(io::ErrorKind::ConnectionReset);
        let error = Error::of_exchange("https://a".to_owned(), &error);
        assert!(matches!(&error, Error::Interrupted { .. }) && error.is_temporary());
    }
}
