//! The OpenAPI document describes the service: every response matches it, and linters accept it.

mod specification;
mod http_file;
mod collections;
mod document;
mod generated_clients;
mod linters;
mod responses;
mod schemathesis;
mod swagger_ui;

use std::path::{Path, PathBuf};

use crate::harness::programs::{fiapx, output};

/// Write the OpenAPI document into a directory.
fn document_in(directory: &Path) -> PathBuf {
    let path = directory.join("openapi.json");
    let document = output(fiapx().arg("openapi")).expect("the command needs no service");
    std::fs::write(&path, document).expect("the directory is writable");
    path
}
