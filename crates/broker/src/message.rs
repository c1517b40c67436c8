//! A message and its trace.

use jobs::Message;

/// A message, and the trace that it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct TracedMessage {
    /// Message. Its event determines the [queue](crate::Queue::of).
    pub message: Message,
    /// Header `traceparent` of W3C Trace Context, section 3.2, passed on unchanged.
    pub traceparent: Option<String>,
}
