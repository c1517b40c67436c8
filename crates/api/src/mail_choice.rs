//! Choice of a user which mails about jobs are sent.

use database::mail_choice::MailChoice;
use poem_openapi::Enum;

/// Mails about jobs that a user gets. Mails about the account are sent in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "MailChoice", rename_all = "lowercase")]
pub enum MailChoiceTag {
    /// One about each job.
    Each,
    /// One about all jobs that end within two minutes.
    Digest,
    /// One about each job that fails.
    Failures,
    /// None.
    None,
}

impl From<MailChoiceTag> for MailChoice {
    fn from(tag: MailChoiceTag) -> Self {
        match tag {
            MailChoiceTag::Each => Self::Each,
            MailChoiceTag::Digest => Self::Digest,
            MailChoiceTag::Failures => Self::Failures,
            MailChoiceTag::None => Self::None,
        }
    }
}

impl From<MailChoice> for MailChoiceTag {
    fn from(choice: MailChoice) -> Self {
        match choice {
            MailChoice::Each => Self::Each,
            MailChoice::Digest => Self::Digest,
            MailChoice::Failures => Self::Failures,
            MailChoice::None => Self::None,
        }
    }
}
