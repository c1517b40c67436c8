//! Errors of the client library.

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError};

use crate::error::Error;

impl From<lapin::Error> for Error {
    fn from(error: lapin::Error) -> Self {
        match error.kind() {
            // A server that is being stopped sends this to its connections.
            ErrorKind::ProtocolError(protocol)
                if *protocol.kind() == AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED) =>
            {
                Self::Unavailable { reason: protocol.get_message().to_string() }
            }
            ErrorKind::ProtocolError(protocol) => {
                Self::Rejected { reason: protocol.get_message().to_string() }
            }
            _ => Self::Unavailable { reason: error.to_string() },
        }
    }
}
