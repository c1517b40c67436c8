//! Problems of URLs that users enter.

use egress::InvalidTarget;

use crate::problem::Problem;

/// Problem of a field `url` that is not permitted.
pub fn url_problem(reason: InvalidTarget) -> Problem {
    let code = match reason {
        InvalidTarget::Malformed => "URL_MALFORMED",
        InvalidTarget::TooLong => "URL_TOO_LONG",
        InvalidTarget::Scheme => "URL_SCHEME",
        InvalidTarget::Parts => "URL_PARTS",
        InvalidTarget::Host => "URL_HOST",
    };
    Problem::field("url", code, &format!("The URL is not permitted: {reason}."))
}
