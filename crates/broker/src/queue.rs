//! Which queues there are, and which message goes where.

use std::fmt;

use jobs::message::Event;

/// A queue. Every message goes to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Jobs that wait for a worker.
    Process,
    /// Outcomes that users may have to be told of.
    Notification,
}

impl Queue {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Process, Self::Notification];

    /// Where messages about an event go.
    #[must_use]
    pub const fn of(event: &Event) -> Self {
        match event {
            Event::Created(_) => Self::Process,
            Event::Completed(_) | Event::Failed(_) | Event::Cancelled(_) => Self::Notification,
        }
    }

    /// The name by which the broker and its operators know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "video.process",
            Self::Notification => "notification.send",
        }
    }

    /// The name under which the broker keeps what was rejected from it, and what nobody took in
    /// time.
    #[must_use]
    pub const fn dead_letters(self) -> &'static str {
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
