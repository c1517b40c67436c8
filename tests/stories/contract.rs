//! The contract: the OpenAPI document says what the service does, and the service does what the document says.

mod answers;
mod document;
mod fuzzed;
mod page;
mod promise;
