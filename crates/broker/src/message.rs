//! A message and its trace.

use jobs::message::EncodedMessage;

/// A message, and the trace that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedMessage {
    /// Message. Its event type determines the [queue](crate::Queue::of).
    pub message: EncodedMessage,
    /// Header `traceparent` of W3C Trace Context, section 3.2, passed on unchanged.
    pub traceparent: Option<String>,
}
