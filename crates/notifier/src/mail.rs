//! A letter with its headers, and who sends it.

use std::time::SystemTime;

use async_trait::async_trait;
use database::users::User;
use jobs::Time;
use lettre::address::{Address, Envelope};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use uuid::Uuid;

use crate::letter::{Letter, called};

/// The name beside the sender's address.
const SENDER_NAME: &str = "FIAP X";

/// Sends mails. Sending one again is harmless: it is recognised by its Message-ID, or by its name.
#[async_trait]
pub trait Mailer: Send + Sync + 'static {
    /// Send a mail. Returns after [`smtp::LONGEST`](crate::smtp::LONGEST) at most.
    async fn send(&self, mail: &Mail) -> Result<(), Error>;

    /// Whether mails could be sent now.
    async fn check(&self) -> Result<(), Error>;
}

/// Why a mail was not sent, in words for whoever runs the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Whether another attempt would end in the same way.
    pub permanent: bool,
    message: String,
}

impl Error {
    pub(crate) fn new(permanent: bool, message: String) -> Self {
        Self { permanent, message }
    }

    pub(crate) fn permanent(message: impl Into<String>) -> Self {
        Self::new(true, message.into())
    }

    pub(crate) fn transient(message: impl Into<String>) -> Self {
        Self::new(false, message.into())
    }
}

/// Whose name and address mails carry.
#[derive(Debug, Clone)]
pub struct Sender(Mailbox);

impl Sender {
    /// The sender of an address such as `fiapx@example.com`, or of a name and an address such as
    /// `Videos <fiapx@example.com>`.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(from: &str) -> Result<Self, Error> {
        let mailbox: Mailbox = from.trim().parse().map_err(|error| {
            Error::permanent(format!("EMAIL_FROM is `{from}`, which is no address ({error}): set one such as fiapx@example.com"))
        })?;
        let name = mailbox.name.unwrap_or_else(|| SENDER_NAME.to_owned());
        Ok(Self(Mailbox::new(Some(name), mailbox.email)))
    }
}

/// A mail that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Mail {
    id: Uuid,
    message: Message,
}

impl Mail {
    /// Put headers before a letter. All attempts at the notification `id` have the same Message-ID.
    pub(crate) fn compose(
        id: Uuid,
        sender: &Sender,
        user: &User,
        letter: Letter,
        now: Time,
    ) -> Result<Self, Error> {
        let to: Address = user
            .email
            .parse()
            .map_err(|error| Error::permanent(format!("the user's address is none: {error}")))?;
        let unbuilt = |error: lettre::error::Error| {
            Error::permanent(format!("the mail could not be put together: {error}"))
        };
        // The envelope is given, or it would be read out of the headers again, and with it whatever
        // a user's name looks like.
        let envelope =
            Envelope::new(Some(sender.0.email.clone()), vec![to.clone()]).map_err(unbuilt)?;
        let body = MultiPart::alternative()
            .boundary(format!("fiapx-{id}"))
            .singlepart(SinglePart::plain(letter.text))
            .singlepart(SinglePart::html(letter.html));
        let message = Message::builder()
            .from(sender.0.clone())
            .to(Mailbox::new(called(user), to))
            .subject(letter.subject)
            .date(SystemTime::from(now))
            .message_id(Some(format!("<{id}@{}>", sender.0.email.domain())))
            // RFC 3834, 5: nobody's holiday notice should answer.
            .raw_header(header("Auto-Submitted", "auto-generated"))
            // RFC 3282.
            .raw_header(header("Content-Language", letter.language))
            .envelope(envelope)
            .multipart(body)
            .map_err(unbuilt)?;
        Ok(Self { id, message })
    }

    /// Names the mail; the same in every attempt.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// From whom and to whom.
    pub(crate) fn envelope(&self) -> &Envelope {
        self.message.envelope()
    }

    /// The mail as it goes out (RFC 5322).
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.message.formatted()
    }
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::sample;
