//! Messages about jobs between the processes of the service.
//!
//! The database is authoritative, and a message only notifies. Messages may be delivered twice, and
//! a broker that loses its data loses no job: unpublished messages wait in the outbox, and lost
//! ones are published again. So every [`Broker`] has only these guarantees:
//!
//! - A published message is delivered at least once, to one subscription at a time.
//! - It stays in its queue until it is [acknowledged](Delivery::ack) or
//!   [rejected](Delivery::reject).
//! - A subscription has at most as many unsettled deliveries as it requested, and receives messages
//!   in the order of their publication, except for those that are delivered again.

mod error;
mod queue;
mod message;
mod delivery;
mod interface;
#[cfg(test)]
mod conformance;
pub mod embedded;
pub mod rabbitmq;

pub use delivery::Delivery;
pub use error::Error;
pub use interface::{Broker, Subscription};
pub use message::TracedMessage;
pub use queue::Queue;
