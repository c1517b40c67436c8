//! `fiapx remote download`: download archives.

use std::path::PathBuf;

use anyhow::Result;
use indicatif::DecimalBytes;
use jobs::JobId;
use remote::{Destination, Downloaded};
use serde_json::json;

use super::bars::printable;
use super::context::Context;
use super::failures::Results;
use crate::cli::{DownloadArguments, UsageError};

/// Download archives, one after another.
pub(super) async fn download(context: &Context, arguments: &DownloadArguments) -> Result<()> {
    let DownloadArguments { ids, output, force } = arguments;
    let destination = match output {
        None => Destination::Directory(PathBuf::new()),
        Some(path) if path.is_dir() => Destination::Directory(path.clone()),
        Some(path) if ids.len() == 1 => Destination::File(path.clone()),
        Some(path) => {
            let text = format!("--output: {} is not a directory for archives", path.display());
            return Err(UsageError::new(text).into());
        }
    };
    let mut results = Results::of(&context.bars, ids.len());
    for id in ids {
        let downloaded = fetch(context, *id, &destination, *force).await;
        let result = downloaded.and_then(|archive| print_archive(context, *id, &archive));
        results.record(&id.to_string(), result);
    }
    results.finish()
}

/// Download an archive with a progress bar.
pub(super) async fn fetch(
    context: &Context,
    id: JobId,
    destination: &Destination,
    force: bool,
) -> Result<Downloaded> {
    let bar = context.bars.bytes(&id.to_string());
    Ok(context.client.download(id, destination, force, &|step| bar.show(&step)).await?)
}

fn print_archive(context: &Context, id: JobId, archive: &Downloaded) -> Result<()> {
    let Downloaded { file, size_bytes, resumed_bytes } = archive;
    let file = file.display().to_string();
    let value = json!({
        "job_id": id,
        "file": file,
        "size_bytes": size_bytes,
        "resumed_bytes": resumed_bytes,
    });
    context.print(&value, || {
        let resumed = match resumed_bytes {
            0 => String::new(),
            bytes => format!(", continued after {}", DecimalBytes(*bytes)),
        };
        format!("{}: {}{resumed}", printable(&file), DecimalBytes(*size_bytes))
    })
}
