//! Failures of commands for several files or jobs, and the exit status of each failure.

use anyhow::{Error, Result};

use super::bars::Bars;

/// Exit status for a passing failure.
const LATER: u8 = 3;
/// Exit status for a missing or refused key.
const CREDENTIALS: u8 = 4;
/// Exit status for other failures.
const FAILURE: u8 = 1;

/// No key for a service.
#[derive(Debug, thiserror::Error)]
#[error(
    "not logged in{}: run `fiapx remote login`, or set FIAPX_URL and FIAPX_API_KEY",
    .0.as_ref().map(|server| format!(" at {server}")).unwrap_or_default()
)]
pub(super) struct NotLoggedIn(pub Option<remote::Server>);

/// Some of several files or jobs have failed, each of which was reported.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {total} failed")]
struct SomeFailed {
    failed: usize,
    total: usize,
    status: u8,
}

/// Exit status for an error of a command; `None` for one that has no status of its own.
pub fn exit_status(error: &Error) -> Option<u8> {
    if let Some(SomeFailed { status, .. }) = error.downcast_ref() {
        return Some(*status);
    }
    if error.is::<NotLoggedIn>() {
        return Some(CREDENTIALS);
    }
    match error.downcast_ref::<remote::Error>()? {
        error if error.is_of_credentials() => Some(CREDENTIALS),
        error if error.is_temporary() => Some(LATER),
        _ => None,
    }
}

/// Results of several files or jobs.
pub(super) struct Results<'a> {
    bars: &'a Bars,
    total: usize,
    failures: Vec<Error>,
}

impl<'a> Results<'a> {
    /// Results of this number of files or jobs.
    pub fn of(bars: &'a Bars, total: usize) -> Self {
        Self { bars, total, failures: Vec::new() }
    }

    /// Record the result of one. The failure of one among several is reported at once.
    pub fn record(&mut self, name: &str, result: Result<()>) {
        let Err(error) = result else { return };
        // Errors of files name them.
        let is_of_file = matches!(error.downcast_ref(), Some(remote::Error::File { .. }));
        let error = if is_of_file { error } else { error.context(name.to_owned()) };
        if self.total > 1 {
            self.bars.print_error(&format!("fiapx: {error:#}"));
        }
        self.failures.push(error);
    }

    /// Result of the command.
    pub fn finish(self) -> Result<()> {
        let Self { total, mut failures, .. } = self;
        if total == 1 {
            return failures.pop().map_or(Ok(()), Err);
        }
        let status = |error: &Error| exit_status(error).unwrap_or(FAILURE);
        let mut statuses = failures.iter().map(status);
        let Some(first) = statuses.next() else { return Ok(()) };
        let status = if statuses.all(|other| other == first) { first } else { FAILURE };
        Err(SomeFailed { failed: failures.len(), total, status }.into())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::cli::Progress;

    #[test]
    fn one_failure_is_the_error_and_several_are_counted() {
        let results = |failures: Vec<Error>, total| {
            let bars = Bars::new(Progress::Never);
            let mut results = Results::of(&bars, total);
            for error in failures {
                results.record("a.mp4", Err(error));
            }
            results.finish().map_err(|error| (format!("{error:#}"), exit_status(&error)))
        };
        let refused = || Error::new(NotLoggedIn(None));
        let refusal = format!("a.mp4: {}", NotLoggedIn(None));
        assert_eq!(results(Vec::new(), 2), Ok(()));
        let text = |text: &str, status| Err((text.to_owned(), status));
        assert_eq!(results(vec![anyhow!("no")], 1), text("a.mp4: no", None));
        assert_eq!(results(vec![refused()], 1), text(&refusal, Some(4)));
        assert_eq!(results(vec![refused()], 3), text("1 of 3 failed", Some(4)));
        let different = vec![refused(), anyhow!("no")];
        assert_eq!(results(different, 3), text("2 of 3 failed", Some(1)));
    }
}
