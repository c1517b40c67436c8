//! A mail with its headers, and its sender.

use std::time::SystemTime;

use jobs::Time;
use lettre::address::{Address, Envelope};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use uuid::Uuid;

use crate::error::Error;
use crate::text::MailText;

/// Display name of the sender, if the configured address has none.
const DEFAULT_SENDER_NAME: &str = "FIAP X";

/// Sender of the mails: name and address.
#[derive(Debug, Clone)]
pub struct Sender(Mailbox);

impl Sender {
    /// Parse an address such as `fiapx@example.com`, or a name and an address such as
    /// `Videos <fiapx@example.com>`.
    ///
    /// # Errors
    /// `from` is neither.
    pub fn parse(from: &str) -> Result<Self, Error> {
        let mailbox: Mailbox = from.trim().parse().map_err(|error| {
            Error::permanent(format!(
                "EMAIL_FROM: `{from}` is not a mail address ({error}); set one such as \
                 fiapx@example.com"
            ))
        })?;
        let name = mailbox.name.unwrap_or_else(|| DEFAULT_SENDER_NAME.to_owned());
        Ok(Self(Mailbox::new(Some(name), mailbox.email)))
    }
}

/// Recipient of a mail.
pub(crate) struct Recipient<'a> {
    pub(crate) address: &'a str,
    /// Name on one line, if the mail contains it.
    pub(crate) name: Option<String>,
}

/// A mail that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Mail {
    id: Uuid,
    message: Message,
}

impl Mail {
    /// Compose a mail with its headers. All mails of the notification `id` have the same
    /// Message-ID. `unsubscribe` is the address that ends such mails, at which a POST suffices.
    pub(crate) fn compose(
        id: Uuid,
        sender: &Sender,
        recipient: Recipient<'_>,
        text: MailText,
        unsubscribe: Option<&str>,
        now: Time,
    ) -> Result<Self, Error> {
        let to: Address = recipient
            .address
            .parse()
            .map_err(|error| Error::permanent(format!("the user's address is invalid: {error}")))?;
        let build_error = |error: lettre::error::Error| {
            Error::permanent(format!("cannot compose the mail: {error}"))
        };
        // Without an explicit envelope, lettre parses it from the headers, which contain the user's
        // name.
        let envelope =
            Envelope::new(Some(sender.0.email.clone()), vec![to.clone()]).map_err(build_error)?;
        let body = MultiPart::alternative()
            .boundary(format!("fiapx-{id}"))
            .singlepart(SinglePart::plain(text.plain))
            .singlepart(SinglePart::html(text.html));
        let mut builder = Message::builder()
            .from(sender.0.clone())
            .to(Mailbox::new(recipient.name, to))
            .subject(text.subject)
            .date(SystemTime::from(now))
            .message_id(Some(format!("<{id}@{}>", sender.0.email.domain())))
            // RFC 3834, 5: asks for no automatic replies, such as vacation notices.
            .raw_header(header("Auto-Submitted", "auto-generated"))
            // RFC 3282.
            .raw_header(header("Content-Language", text.language));
        if let Some(url) = unsubscribe {
            // RFC 2369, 3.2.
            builder = builder.raw_header(header("List-Unsubscribe", &format!("<{url}>")));
            // RFC 8058, 3.1: without confirmation, and by HTTPS only.
            if url.starts_with("https://") {
                let value = "List-Unsubscribe=One-Click";
                builder = builder.raw_header(header("List-Unsubscribe-Post", value));
            }
        }
        let message = builder.envelope(envelope).multipart(body).map_err(build_error)?;
        Ok(Self { id, message })
    }

    /// Id of the mail, the same in every attempt.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Sender and recipient addresses (RFC 5321).
    pub(crate) fn envelope(&self) -> &Envelope {
        self.message.envelope()
    }

    /// The complete message (RFC 5322).
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
