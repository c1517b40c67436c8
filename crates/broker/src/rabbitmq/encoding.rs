//! Encoding of messages as AMQP bodies and properties.

use jobs::Message;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use crate::message::TracedMessage;

/// `delivery-mode` of messages that are written to disk (AMQP 0-9-1, class `basic`).
const PERSISTENT: u8 = 2;

/// Name of the AMQP header: that of the HTTP header in W3C Trace Context, section 3.2.
const TRACEPARENT: &str = "traceparent";

/// Body and properties of a message.
pub(super) struct Encoded {
    pub(super) body: Vec<u8>,
    pub(super) properties: BasicProperties,
}

/// Return the body and the properties of a message.
pub(super) fn encode(message: &TracedMessage) -> Encoded {
    let TracedMessage { message, traceparent } = message;
    let mut headers = FieldTable::default();
    if let Some(traceparent) = traceparent {
        headers.insert(TRACEPARENT.into(), AMQPValue::LongString(traceparent.as_str().into()));
    }
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(message.event_id.to_string().into())
        .with_type(message.event_type.as_str().into())
        .with_timestamp(message.timestamp.timestamp().try_into().unwrap_or_default())
        .with_headers(headers);
    Encoded { body: message.json.clone().into_bytes(), properties }
}

/// A received message.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) message: Message,
    pub(super) traceparent: Option<String>,
}

/// Decode a message. Fails if the message is not one of this service.
pub(super) fn decode(
    body: &[u8],
    properties: &BasicProperties,
) -> Result<Decoded, serde_json::Error> {
    let message: Message = serde_json::from_slice(body)?;
    let headers = properties.headers().as_ref().map(FieldTable::inner);
    let traceparent = headers.and_then(|headers| match headers.get(TRACEPARENT)? {
        AMQPValue::LongString(value) => Some(value.to_string()),
        AMQPValue::ShortString(value) => Some(value.to_string()),
        _ => None,
    });
    Ok(Decoded { message, traceparent })
}
