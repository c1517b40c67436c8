//! `fiapx remote upload`: upload videos, wait for their archives, and download these.

use std::path::Path;

use anyhow::Result;
use futures_util::{StreamExt, stream};
use jobs::Recipe;
use remote::{AcceptedVideo, Destination, Step, UploadLimits};
use serde_json::json;

use super::bars::printable;
use super::context::{Context, upload_records};
use super::downloading::fetch;
use super::failures::Results;
use super::watching::{AT_ONCE, check, done, follow};
use crate::cli::{UploadArguments, UsageError};

/// Upload videos.
pub(super) async fn upload(context: &Context, arguments: &UploadArguments) -> Result<()> {
    let recipe = arguments.recipe.chosen()?.unwrap_or_default();
    if let Some(directory) = arguments.download.as_deref().filter(|path| !path.is_dir()) {
        let text = format!("--download: {} is not a directory", directory.display());
        return Err(UsageError::new(text).into());
    }
    let limits = context.client.upload_limits().await?;
    let waits = arguments.wait || arguments.download.is_some();
    let mut results = Results::of(&context.bars, arguments.files.len());
    let mut accepted = Vec::new();
    // One after another: several at once would share the same connection to the network.
    for file in &arguments.files {
        match upload_one(context, file, &recipe, &limits, !waits).await {
            Ok(video) => accepted.push((file.display().to_string(), video)),
            Err(error) => results.record(&file.display().to_string(), Err(error)),
        }
    }
    if waits {
        let mut finished = stream::iter(accepted)
            .map(|(name, video)| async move { (name, finish(context, &video, arguments).await) })
            .buffer_unordered(AT_ONCE);
        while let Some((name, result)) = finished.next().await {
            results.record(&name, result);
        }
    }
    results.finish()
}

/// Upload a video, and print its job if that is the result.
async fn upload_one(
    context: &Context,
    file: &Path,
    recipe: &Recipe,
    limits: &UploadLimits,
    is_result: bool,
) -> Result<AcceptedVideo> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let bar = context.bars.bytes(&name);
    let (records, report) = (upload_records(), |step: Step<'_>| bar.show(&step));
    let upload = context.client.upload(file, recipe, limits, &records, &report);
    let video = upload.await?;
    drop(bar);
    if is_result {
        context.print(&video, || {
            format!("{} {}: uploaded", video.job_id, printable(&video.filename))
        })?;
    }
    Ok(video)
}

/// Wait for the job of a video, and download its archive if that is wanted.
async fn finish(
    context: &Context,
    video: &AcceptedVideo,
    arguments: &UploadArguments,
) -> Result<()> {
    let job = follow(context, video.job_id, &video.filename, |_| ()).await?;
    let mut value = json!(job);
    let Some(directory) = arguments.download.clone().filter(|_| job.status == "DONE") else {
        if context.json || job.status == "DONE" {
            context.print(&value, || done(&job))?;
        }
        return check(&job);
    };
    let destination = Destination::Directory(directory);
    let archive = fetch(context, job.id, &destination, arguments.force).await?;
    let file = archive.file.display().to_string();
    value["file"] = file.clone().into();
    context.print(&value, || format!("{}, in {}", done(&job), printable(&file)))
}
