//! `fiapx openapi`: the OpenAPI document and its derived request collections.

use anyhow::Result;

use super::console::print;
use crate::cli::{DocumentFormat, OpenapiArguments};
use crate::collections;

/// Print the OpenAPI document in the requested format.
pub(super) fn run(arguments: &OpenapiArguments) -> Result<()> {
    let document = api::document();
    match arguments.format {
        DocumentFormat::Json => print(&document),
        DocumentFormat::Postman => print(&collections::postman(&document)?),
        DocumentFormat::Http => print(&collections::http_file(&document)?),
    }
}
