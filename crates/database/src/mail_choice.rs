//! Choice of a user which mails about jobs are sent.

use jobs::message::Failed;

/// Mails about jobs that a user gets. Mails about the account are sent in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MailChoice {
    /// One about each job.
    #[default]
    Each,
    /// One about all jobs that end within two minutes.
    Digest,
    /// One about each job that fails.
    Failures,
    /// None.
    None,
}

impl MailChoice {
    /// All choices.
    pub const ALL: [Self; 4] = [Self::Each, Self::Digest, Self::Failures, Self::None];

    /// Name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Each => "EACH",
            Self::Digest => "DIGEST",
            Self::Failures => "FAILURES",
            Self::None => "NONE",
        }
    }

    /// Choice with a name. A later version may write others, which count as [`MailChoice::Each`].
    pub(crate) fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|choice| choice.name() == name).unwrap_or_default()
    }

    /// Whether an outcome of this type is reported.
    pub(crate) fn includes(self, event_type: &str) -> bool {
        match self {
            Self::Each | Self::Digest => true,
            Self::Failures => event_type == Failed::EVENT_TYPE,
            Self::None => false,
        }
    }
}
