//! Messages as they are on the wire.

use jobs::Message;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use crate::{Error, Outgoing};

/// `delivery-mode` of messages that are written to disk: AMQP 0-9-1, `basic` class.
const PERSISTENT: u8 = 2;

/// Header of W3C Trace Context, section 3.2, under the same name.
const TRACEPARENT: &str = "traceparent";

/// Body and properties of a message.
pub(super) fn encode(outgoing: &Outgoing) -> Result<(Vec<u8>, BasicProperties), Error> {
    let Outgoing { message, traceparent } = outgoing;
    let body = serde_json::to_vec(message)
        .map_err(|error| Error::Refused { reason: format!("the message is not JSON: {error}") })?;
    let mut headers = FieldTable::default();
    if let Some(traceparent) = traceparent {
        headers.insert(TRACEPARENT.into(), AMQPValue::LongString(traceparent.as_str().into()));
    }
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(message.event_id.to_string().into())
        .with_type(message.event.name().into())
        .with_timestamp(message.timestamp.timestamp().try_into().unwrap_or_default())
        .with_headers(headers);
    Ok((body, properties))
}

/// The message that came, if it is one of ours.
pub(super) fn decode(
    body: &[u8],
    properties: &BasicProperties,
) -> Result<Outgoing, serde_json::Error> {
    let message: Message = serde_json::from_slice(body)?;
    let headers = properties.headers().as_ref().map(FieldTable::inner);
    let traceparent = headers.and_then(|headers| match headers.get(TRACEPARENT)? {
        AMQPValue::LongString(value) => Some(value.to_string()),
        AMQPValue::ShortString(value) => Some(value.to_string()),
        _ => None,
    });
    Ok(Outgoing { message, traceparent })
}
