//! Request collections for API clients, generated from the OpenAPI document: a quick start, in
//! which responses provide the values of later requests, and every operation with an example.

// In dependency order.
mod collection;
mod http_file;
mod postman;

pub use http_file::http_file;
pub use postman::postman;
