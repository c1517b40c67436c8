//! The queues, and the routing of messages to them.

use std::fmt;

use jobs::message::Created;

/// A queue. Every message belongs to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Jobs that wait for a worker.
    Process,
    /// Outcomes about which users may have to be notified.
    Notification,
}

impl Queue {
    /// All queues.
    pub const ALL: [Self; 2] = [Self::Process, Self::Notification];

    /// Queue of the messages with an event type. All types but [`Created`] are outcomes.
    #[must_use]
    pub fn of(event_type: &str) -> Self {
        if event_type == Created::EVENT_TYPE { Self::Process } else { Self::Notification }
    }

    /// Name of the queue in logs, metrics and traces. A broker may add a version to it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "video.process",
            Self::Notification => "notification.send",
        }
    }

    /// Name of the queue for messages that were rejected or expired, in logs and metrics.
    #[must_use]
    pub const fn dead_letter_name(self) -> &'static str {
        match self {
            Self::Process => "video.process.dlq",
            Self::Notification => "notification.send.dlq",
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
