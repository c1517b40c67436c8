//! The contract: the OpenAPI document says what the service does, and the service does what the
//! document says.

mod answers;
mod collections;
mod document;
mod fuzzed;
mod http_file;
mod page;
mod promise;
