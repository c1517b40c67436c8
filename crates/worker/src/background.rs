//! Error handling of background loops.

use std::fmt::Display;

use tracing::error;

/// Log the error of one step of a background loop. The next round of the loop repeats the step.
pub(crate) fn log_error<T, E: Display>(result: Result<T, E>, step: &'static str) -> Option<T> {
    result.map_err(|error| error!(%error, "{step} failed; retrying")).ok()
}
