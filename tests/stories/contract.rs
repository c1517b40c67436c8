//! The OpenAPI document describes the service: every response matches it, and linters accept it.

mod specification;
mod http_file;
mod collections;
mod document;
mod linters;
mod responses;
mod schemathesis;
mod swagger_ui;
