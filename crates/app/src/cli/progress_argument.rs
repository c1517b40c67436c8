//! Choice whether progress is shown.

use clap::ValueEnum;
use indicatif::ProgressDrawTarget;

/// When to show progress bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// If stderr is a terminal.
    Auto,
    /// Never.
    Never,
}

impl Progress {
    /// Target of progress bars.
    pub(crate) fn target(self) -> ProgressDrawTarget {
        match self {
            Self::Auto => ProgressDrawTarget::stderr(),
            Self::Never => ProgressDrawTarget::hidden(),
        }
    }
}
